package controller

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// A controller that runs again starts with the objects that exist, and with nothing of
// its last run: no keys, times or handlers.
func TestControllerRunsAgain(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	s, err := store.New(etcdtest.Start(t, etcdtest.Options{}).Client(), store.Options{Scheme: scheme.Scheme})
	must(t, err)
	m, err := NewManager(s, ManagerOptions{})
	must(t, err)
	calls := make(chan string, 100)
	l, err := NewFor[*corev1.ConfigMap](m, "c", ReconcilerFunc[Request](func(ctx context.Context, r Request) (Result, error) {
		causes, _ := Causes(ctx)
		calls <- r.Name + " " + string(causes[0].Type)
		return Result{RequeueAfter: time.Hour}, nil
	}), Options{})
	must(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	replica := make(chan error)
	go func() { replica <- m.replica.Run(ctx) }()
	must(t, m.replica.WaitForSync(ctx))
	created, err := s.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "map"}})
	must(t, err)
	must(t, m.replica.WaitForRevision(ctx, created))
	for range 3 {
		term, end := context.WithCancel(ctx)
		ended := make(chan error)
		go func() { ended <- l.run(term, ctx) }()
		if got := <-calls; got != "map initial" {
			t.Errorf("got %q", got)
		}
		last := l.sources.current()
		end()
		must(t, <-ended)
		if left := last.queue.KeyStates(1); len(left) != 0 || l.sources.current() != nil {
			t.Errorf("left of a run: %v", left)
		}
	}
	if len(calls) != 0 {
		t.Errorf("more than one call a run: %v", <-calls)
	}
	cancel()
	must(t, <-replica)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
