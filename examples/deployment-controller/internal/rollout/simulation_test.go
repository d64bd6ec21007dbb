package rollout_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/replicas"
	"github.com/homeostat/homeostat/examples/deployment-controller/internal/rollout"
)

const historyLimit = 2

// TestSimulation drives both controllers through random histories: a user who
// scales, changes images, pauses, resumes and rolls back, controllers that lag,
// Pods that start late, never or fail. At every step the bounds must hold, and
// once the user is content all must come to rest in exactly the right state.
func TestSimulation(t *testing.T) {
	const seeds = 16
	rolling, recreate := appsv1.RollingUpdateDeploymentStrategyType, appsv1.RecreateDeploymentStrategyType
	modes := []struct {
		name       string
		strategies []appsv1.DeploymentStrategyType
		flaky      bool
	}{
		{"rolling", []appsv1.DeploymentStrategyType{rolling}, false},
		{"rolling with failures", []appsv1.DeploymentStrategyType{rolling}, true},
		{"recreate", []appsv1.DeploymentStrategyType{recreate}, false},
		{"recreate with failures", []appsv1.DeploymentStrategyType{recreate}, true},
		{"changing strategy", []appsv1.DeploymentStrategyType{rolling, recreate}, false},
	}
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			for seed := range uint64(seeds) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, seed)
					w.flaky, w.podEvents = mode.flaky, seed%2 == 0
					w.bounds.exclusive = !slices.Contains(mode.strategies, rolling)
					w.d = stored(w, w.randomDeployment(mode.strategies[0]))
					w.bounds.widen(w)
					w.deploymentChanged()
					for range 12 {
						w.run(w.rng.IntN(25))
						w.act(mode.strategies)
					}
					w.settle()
				})
			}
		})
	}
}

func randomBound(rng *rand.Rand) *intstr.IntOrString {
	v := intstr.FromInt32(rng.Int32N(4))
	if rng.IntN(2) == 0 {
		v = intstr.FromString(fmt.Sprintf("%d%%", rng.IntN(60)))
	}
	return &v
}

func (w *world) randomDeployment(strategy appsv1.DeploymentStrategyType) *appsv1.Deployment {
	replicas, deadline, limit := w.rng.Int32N(12), int32(60), int32(historyLimit)
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ns"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, ProgressDeadlineSeconds: &deadline, RevisionHistoryLimit: &limit,
			MinReadySeconds: w.rng.Int32N(3) * 2,
			Selector:        &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template:        template("v1"),
		},
	}
	w.create(&d.ObjectMeta)
	w.setStrategy(d, strategy)
	return d
}

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: image}}},
	}
}

func (w *world) setStrategy(d *appsv1.Deployment, strategy appsv1.DeploymentStrategyType) {
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: strategy}
	if strategy == appsv1.RollingUpdateDeploymentStrategyType {
		d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{
			MaxSurge: randomBound(w.rng), MaxUnavailable: randomBound(w.rng),
		}
	}
}

// run lets the world go on for some seconds.
func (w *world) run(seconds int) {
	for range seconds {
		w.now = w.now.Add(time.Second)
		w.bounds.available = w.available()
		for range 1 + w.rng.IntN(20) {
			w.step()
		}
	}
}

// step does one thing that can be done.
func (w *world) step() {
	w.t.Helper()
	switch choice := w.rng.IntN(10); {
	case choice < 2 && w.deployments.ready(w.now):
		before := reported(w)
		w.syncDeployment()
		w.bounds.decided(w, before)
		w.bounds.check(w, "deployment controller")
	case choice < 5 && len(w.sets) > 0:
		i := w.rng.IntN(len(w.sets))
		if w.replicaSets[w.sets[i].UID].ready(w.now) {
			w.syncReplicaSet(i)
			w.bounds.check(w, "replicaset controller")
		}
	default:
		w.kubelet()
		w.bounds.check(w, "kubelet")
	}
}

// act is one thing that a user does.
func (w *world) act(strategies []appsv1.DeploymentStrategyType) {
	switch w.rng.IntN(8) {
	case 0, 1:
		w.scale(w.rng.Int32N(14))
	case 2:
		w.image(fmt.Sprint("v", w.rng.IntN(5)))
	case 3:
		w.image(fmt.Sprint("broken-", w.rng.IntN(3)))
	case 4:
		w.edit("pause", func(d *appsv1.Deployment) { d.Spec.Paused = true })
	case 5:
		w.edit("resume", func(d *appsv1.Deployment) { d.Spec.Paused = false })
	case 6:
		w.rollBack()
	case 7:
		w.mishap(strategies)
	}
}

func (w *world) scale(replicas int32) {
	w.bounds.resized = true
	w.edit(fmt.Sprintf("scale to %d", replicas), func(d *appsv1.Deployment) { d.Spec.Replicas = &replicas })
}

func (w *world) image(image string) {
	w.edit("image "+image, func(d *appsv1.Deployment) { d.Spec.Template = template(image) })
}

func (w *world) rollBack() {
	if len(w.sets) == 0 {
		return
	}
	rs := w.sets[w.rng.IntN(len(w.sets))]
	w.edit("roll back to "+rs.Name, func(d *appsv1.Deployment) {
		d.Spec.Template = *rs.Spec.Template.DeepCopy()
		delete(d.Spec.Template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	})
}

// mishap orphans a ReplicaSet, which is to be adopted again, or changes the
// strategy.
func (w *world) mishap(strategies []appsv1.DeploymentStrategyType) {
	if len(strategies) > 1 {
		strategy := strategies[w.rng.IntN(len(strategies))]
		w.bounds.resized = true
		w.edit("strategy "+string(strategy), func(d *appsv1.Deployment) { w.setStrategy(d, strategy) })
		return
	}
	if len(w.sets) == 0 {
		return
	}
	rs := w.sets[w.rng.IntN(len(w.sets))].DeepCopy()
	if len(rs.OwnerReferences) == 0 {
		return
	}
	rs.OwnerReferences = nil
	w.notef("user: orphan %s", rs.Name)
	w.updateSet(rs)
}

// settle leaves the world with something that can work, and checks that it
// does and that the controllers then stop.
func (w *world) settle() {
	w.t.Helper()
	w.flaky = false
	w.image("v9")
	w.edit("resume", func(d *appsv1.Deployment) { d.Spec.Paused = false })
	for range 600 {
		w.run(1)
		if w.quiet() {
			w.checkSettled()
			return
		}
	}
	w.fatalf("does not come to rest")
}

// quiet reports whether no controller has anything to do, and no Pod either.
func (w *world) quiet() bool {
	if w.deployments.due || slices.ContainsFunc(w.sets, func(rs *appsv1.ReplicaSet) bool { c := w.replicaSets[rs.UID]; return c.due || !c.at.IsZero() }) {
		return false
	}
	return !slices.ContainsFunc(w.pods, func(pod *corev1.Pod) bool {
		return pod.DeletionTimestamp != nil || replicas.Active(pod) && len(pod.Status.Conditions) == 0
	})
}

func (w *world) checkSettled() {
	w.t.Helper()
	w.now = w.now.Add(time.Hour)
	if plan := w.planDeployment(); plan.Create != nil || plan.Deployment != nil || len(plan.Update)+len(plan.Delete)+len(plan.Events) > 0 || plan.RequeueAfter != 0 {
		w.fatalf("at rest the Deployment plans %+v", plan)
	}
	want, old := *w.d.Spec.Replicas, 0
	for _, rs := range w.sets {
		if plan := w.planReplicaSet(rs); plan.ReplicaSet != nil || len(plan.Create)+len(plan.Delete)+len(plan.Update) > 0 {
			w.fatalf("at rest %s plans %+v", rs.Name, plan)
		}
		size := int32(0)
		if rs.Spec.Template.Spec.Containers[0].Image == "v9" {
			size = want
		} else {
			old++
		}
		if replicas.Replicas(rs) != size {
			w.fatalf("%s has size %d, want %d", rs.Name, replicas.Replicas(rs), size)
		}
	}
	if old > historyLimit || w.active() != want || w.available() != want {
		w.fatalf("%d old ReplicaSets, %d Pods, %d available, want %d", old, w.active(), w.available(), want)
	}
	w.checkStatus(want)
}

func (w *world) checkStatus(want int32) {
	w.t.Helper()
	s := w.d.Status
	if s.ObservedGeneration != w.d.Generation || s.Replicas != want || s.UpdatedReplicas != want || s.ReadyReplicas != want ||
		s.AvailableReplicas != want || s.UnavailableReplicas != 0 || s.TerminatingReplicas == nil || *s.TerminatingReplicas != 0 {
		w.fatalf("status %+v, want %d", s, want)
	}
	reasons := map[appsv1.DeploymentConditionType]string{}
	for _, c := range s.Conditions {
		reasons[c.Type] = c.Reason
	}
	if len(reasons) != 2 || reasons[appsv1.DeploymentProgressing] != rollout.ReasonReplicaSetAvailable ||
		reasons[appsv1.DeploymentAvailable] != rollout.ReasonAvailable {
		w.fatalf("conditions %v", s.Conditions)
	}
}
