package progress_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/progress"
)

// A condition of an earlier rollout stays until the next one makes progress.
func TestRolloutTellsItsFailureFromAnEarlierOne(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	late := func(generation, observed int64, since time.Time) *appsv1.Deployment {
		d := deployment("a", 1, 3, status{updated: 3, total: 3, reason: "ProgressDeadlineExceeded"})
		seconds := int32(10)
		d.Generation, d.Status.ObservedGeneration, d.Spec.ProgressDeadlineSeconds = generation, observed, &seconds
		d.Status.Conditions[1].LastUpdateTime = metav1.NewTime(since)
		return d
	}
	before, after := noon.Add(-time.Minute), noon.Add(5*time.Second)
	for name, c := range map[string]struct {
		applied, seen *appsv1.Deployment
		at            time.Duration
		failed        bool
	}{
		"the old one, not observed": {late(5, 4, before), late(5, 4, before), time.Second, false},
		"the old one, observed":     {late(5, 4, before), late(5, 5, before), time.Second, false},
		"no progress since":         {late(5, 4, before), late(5, 5, before), 10 * time.Second, true},
		"its own":                   {late(5, 4, before), late(5, 5, after), 6 * time.Second, true},
		"its own, first":            {deployment("a", 1, 3, status{}), late(4, 4, after), 6 * time.Second, true},
		"nothing was changed":       {late(4, 4, before), late(4, 4, before), 0, true},
		"a cache that is behind":    {late(5, 4, before), late(4, 4, before), time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := progress.NewRollout(c.applied, noon)
			if _, failed := r.Failed(c.seen, noon.Add(c.at)); failed != c.failed {
				t.Errorf("failed %t, want %t", failed, c.failed)
			}
		})
	}
	if got := progress.NewRollout(late(5, 4, before), noon).Recheck(); !got.Equal(noon.Add(10 * time.Second)) {
		t.Errorf("recheck at %s", got)
	}
}

func TestRolloutIsNotCompleteBeforeItsGeneration(t *testing.T) {
	done := deployment("a", 1, 3, status{updated: 3, ready: 3, available: 3, total: 3, reason: "NewReplicaSetAvailable"})
	applied := done.DeepCopy()
	applied.Generation++
	if progress.NewRollout(applied, time.Now()).Complete(done) {
		t.Error("an older generation completes the rollout")
	}
}
