package controllertest_test

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/controllertest"
	"github.com/homeostat/homeostat/pkg/store"
)

// This test checks what one reconcile decides.
func Example() {
	_ = func(t *testing.T) {
		blog := newSite(1)
		env := controllertest.New(t, kinds(), blog)
		sites, err := controller.New(env.Manager(), "site", reconcile, controller.Options{})
		if err != nil {
			t.Fatal(err)
		}
		out := env.Reconcile(sites, store.KeyOf(blog))
		if out.Err != nil {
			t.Fatal(out.Err)
		}
		const want = "ADDED core/configmaps/default/blog-0\nMODIFIED example.com/sites/default/blog"
		if out.Changes.String() != want {
			t.Errorf("changes:\n%s\nwant:\n%s", out.Changes, want)
		}
	}
}

// This test sets the time, and checks which Events a reconcile records.
func ExampleOptions() {
	_ = func(t *testing.T) {
		clock := clocktesting.NewFakeClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
		o := kinds()
		o.Manager.Clock = clock
		blog := newSite(1)
		env := controllertest.New(t, o, blog)
		grow := func(_ context.Context, tx *controller.Tx, s *site) (controller.Result, error) {
			tx.Eventf(s, nil, corev1.EventTypeNormal, "Looked", "Look", "it has %d pages", s.Spec.Pages)
			return controller.Result{RequeueAfter: time.Hour}, nil
		}
		sites, err := controller.New(env.Manager(), "site", grow, controller.Options{})
		if err != nil {
			t.Fatal(err)
		}
		out := env.Reconcile(sites, store.KeyOf(blog))
		const want = "Normal Looked default/blog: it has 1 pages"
		if out.Err != nil || out.Events.String() != want {
			t.Errorf("events:\n%s\nwant:\n%s", out.Events, want)
		}
		clock.Step(out.Result.RequeueAfter) // the next reconcile is an hour later
	}
}
