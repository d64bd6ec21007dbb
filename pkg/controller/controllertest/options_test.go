package controllertest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/controllertest"
	"github.com/homeostat/homeostat/pkg/serving"
	"github.com/homeostat/homeostat/pkg/store"
)

// with adds a controller of sites to an Env.
func with(t *testing.T, env *controllertest.Env, f controller.TxFunc[*site]) *controller.Controller[controller.Request] {
	t.Helper()
	c, err := controller.New(env.Manager(), "site", f, controller.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheManagersClockIsThatOfTheTest(t *testing.T) {
	begin := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := clocktesting.NewFakeClock(begin)
	o := kinds()
	o.Manager.Clock = clock
	blog := newSite(1)
	env := controllertest.New(t, o, blog)
	c := with(t, env, func(_ context.Context, tx *controller.Tx, s *site) (controller.Result, error) {
		tx.Create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, GenerateName: "page-"}})
		return controller.Result{}, nil
	})
	for hour := range 3 { // also without a kind for ConfigMaps in the replica
		out := env.Reconcile(c, store.KeyOf(blog))
		pages := controllertest.Written[*corev1.ConfigMap](out)
		if want := begin.Add(time.Duration(hour) * time.Hour); out.Err != nil || len(pages) != 1 || !pages[0].CreationTimestamp.Time.Equal(want) {
			t.Fatalf("got %+v at %v", out, want)
		}
		clock.Step(time.Hour)
	}
	if created := blog.CreationTimestamp.Time; !created.Equal(begin) {
		t.Errorf("put at %v", created)
	}
}

func TestOptionsOfARunningManagerAreIgnored(t *testing.T) {
	o := kinds()
	o.Manager.Leadership, o.Manager.Sharding = &controller.Leadership{Name: "a"}, &controller.Sharding{Name: "a"}
	o.Manager.Address, o.Manager.Pprof, o.Manager.Serving = "0.0.0.0:1", true, serving.Options{}
	o.Manager.Checkpoint.Path = "/nonexistent/file"
	env := controllertest.New(t, o, newSite(1))
	c, err := add(env.Manager())
	if err != nil {
		t.Fatal(err)
	}
	expect(t, env.Reconcile(c, store.KeyOf(newSite(1))), "ADDED core/configmaps/default/blog-0", "MODIFIED example.com/sites/default/blog")
}

// notes is a recorder of the test's own.
type notes []string

func (n *notes) Eventf(_, _ runtime.Object, _, _, _, note string, args ...any) {
	*n = append(*n, note+args[0].(string))
}

func TestEventsAreShown(t *testing.T) {
	var own notes
	o := kinds()
	o.Manager.Events = &own
	blog := newSite(1)
	env := controllertest.New(t, o, blog)
	refusal := errors.New("no")
	c := with(t, env, func(ctx context.Context, tx *controller.Tx, s *site) (controller.Result, error) {
		if s.Spec.Pages > 1 {
			tx.Eventf(s, nil, corev1.EventTypeNormal, "Lost", "Say", "in vain")
			return controller.Result{}, refusal
		}
		s.Status.Pages = 7
		tx.UpdateStatus(s)
		tx.Eventf(s, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, corev1.EventTypeNormal, "Said", "Say", "%d%%", 100)
		env.Events().Eventf(s, nil, corev1.EventTypeWarning, "Cried", "Cry", "at once")
		return controller.Result{}, nil
	})
	key := store.KeyOf(blog)
	out := env.Reconcile(c, key)
	if want := "Warning Cried default/blog: at once\nNormal Said default/blog: 100%"; out.Err != nil || out.Events.String() != want {
		t.Fatalf("events:\n%s\nwant:\n%s\nerror %v", out.Events, want, out.Err)
	}
	said := out.Events[1]
	if s := said.Regarding.(*site); s.Status.Pages != 7 || s.ResourceVersion == blog.ResourceVersion {
		t.Errorf("regarding %+v: want it as committed", s)
	}
	if said.Action != "Say" || said.Related.(*corev1.ConfigMap).Name != "a" || out.Events[0].Related != nil {
		t.Errorf("got %+v", out.Events)
	}
	if got := strings.Join(own, "|"); got != "%sat once|%s100%" {
		t.Errorf("the test's own recorder got %q", got)
	}
	env.Events().Eventf(blog, nil, corev1.EventTypeNormal, "Between", "Say", "nobody asked")
	env.Put(newSite(2))
	if out := env.Reconcile(c, key); !errors.Is(out.Err, refusal) || len(out.Events) != 0 {
		t.Errorf("got %+v", out)
	}
}
