package informer

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ clock.WithTickerAndDelayedExecution = (*clocktesting.FakeClock)(nil)

func getConfigMap(t *testing.T, maps *Informer[*corev1.ConfigMap], name string) *corev1.ConfigMap {
	t.Helper()
	cm, ok := maps.Get(maps.replica.Snapshot(), store.Key{Namespace: "default", Name: name})
	if !ok {
		t.Fatalf("%s is missing", name)
	}
	return cm
}

func TestMutationsAreFound(t *testing.T) {
	r, maps := offline(t, Options{OnMutation: func(Mutation) {}})
	names := func() (names []string) {
		for _, m := range r.mutations.sample(true) {
			names = append(names, m.Key.Name)
		}
		slices.Sort(names)
		return names
	}
	for _, name := range []string{"stays", "replaced", "deleted", "listed", "quiet"} {
		set(maps, "default", name, "1")
	}
	if found := names(); found != nil {
		t.Fatalf("%s changed by nobody", found)
	}

	getConfigMap(t, maps, "stays").Data["values"] = "2"
	found := r.mutations.sample(true)
	if len(found) != 1 || found[0].Kind != "ConfigMap" || found[0].Key.String() != "default/stays" || found[0].Revision == 0 ||
		!strings.Contains(found[0].String(), `"1"`) || !strings.Contains(found[0].String(), `"2"`) || strings.Contains(found[0].Diff, "quiet") {
		t.Errorf("found %v", found)
	}
	if again := names(); again != nil {
		t.Errorf("%s found again", again)
	}

	getConfigMap(t, maps, "replaced").Labels = map[string]string{"a": "b"}
	set(maps, "default", "replaced", "new")
	getConfigMap(t, maps, "deleted").Labels = map[string]string{"a": "b"}
	set(maps, "default", "deleted")
	if found := names(); !slices.Equal(found, []string{"deleted", "replaced"}) {
		t.Errorf("found %s", found)
	}

	// A list that lacks one object and has the others unchanged.
	getConfigMap(t, maps, "listed").Labels = map[string]string{"a": "b"}
	lists := r.kindLists()
	lists[0].chunks = [][]*entry{nil}
	for e := range r.Snapshot().kind(maps.kind).list(ListOptions{}) {
		if !strings.HasSuffix(e.key, "listed") {
			lists[0].chunks[0] = append(lists[0].chunks[0], e)
		}
	}
	(&reflector{replica: r}).install(lists, 50, epochID{}, false)
	if found := names(); !slices.Equal(found, []string{"listed"}) {
		t.Errorf("found %s", found)
	}
	if n := len(r.mutations.known); n != 3 { // stays, replaced, quiet
		t.Errorf("%d objects are remembered", n)
	}
}

// A mutation by an index function is found like any other.
func TestMutationByAnIndexIsFound(t *testing.T) {
	r, maps := offline(t, Options{OnMutation: func(Mutation) {}})
	maps.AddIndex(func(cm *corev1.ConfigMap) []string {
		cm.Annotations = map[string]string{"indexed": "yes"}
		return nil
	})
	set(maps, "default", "a", "1")
	if found := r.mutations.sample(true); len(found) != 1 {
		t.Errorf("found %v", found)
	}
}

func TestMutationsAreReportedPeriodicallyAndAtTheEnd(t *testing.T) {
	fake := clocktesting.NewFakeClock(clock.RealClock{}.Now())
	reported := make(chan string)
	r, maps := offline(t, Options{Clock: fake, OnMutation: func(m Mutation) {
		reported <- m.Key.Name
		panic("boom") // harms nobody
	}})
	set(maps, "default", "a", "1")
	getConfigMap(t, maps, "a").Data["values"] = "2"
	stop := r.startMutations()
	for !fake.HasWaiters() {
	}
	fake.Step(r.timing.mutation)
	if got := <-reported; got != "a" {
		t.Error(got)
	}
	set(maps, "default", "b", "1")
	getConfigMap(t, maps, "b").Data["values"] = "2"
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	if got := <-reported; got != "b" {
		t.Error(got)
	}
	<-stopped
}
