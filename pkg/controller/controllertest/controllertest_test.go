package controllertest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/controllertest"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

type siteSpec struct {
	Pages int `json:"pages"`
}

type siteStatus struct {
	Pages int `json:"pages"`
}

type site = store.Resource[siteSpec, siteStatus]

func kinds() controllertest.Options {
	return controllertest.Options{Store: store.Options{Kinds: []store.AnyKind{
		store.Kind[*site]{GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"}},
		store.Kind[*corev1.ConfigMap]{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("ConfigMap")},
	}}}
}

// add adds a controller that creates the pages of a site, one at a time.
func add(m *controller.Manager) (*controller.Controller[controller.Request], error) {
	return controller.New(m, "site", reconcile, controller.Options{}, controller.Owns[*corev1.ConfigMap]())
}

// newEnv returns an Env and its controller.
func newEnv(t etcdtest.TB, objects ...store.Object) (*controllertest.Env, *controller.Controller[controller.Request]) {
	t.Helper()
	env := controllertest.New(t, kinds(), objects...)
	c, err := add(env.Manager())
	if err != nil {
		t.Fatalf("add the controller: %v", err)
	}
	return env, c
}

func reconcile(_ context.Context, tx *controller.Tx, s *site) (controller.Result, error) {
	var pages []*corev1.ConfigMap
	for page := range controller.Owned[*corev1.ConfigMap](tx, s) {
		pages = append(pages, page)
	}
	switch {
	case s.Spec.Pages < 0:
		return controller.Result{}, errors.New("less than nothing")
	case s.Spec.Pages > 1000:
		panic("far too many")
	case len(pages) < s.Spec.Pages:
		page := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: fmt.Sprintf("%s-%d", s.Name, len(pages))}}
		if err := tx.Own(s, page); err != nil {
			return controller.Result{}, err
		}
		tx.Create(page)
		s.Status.Pages = len(pages) + 1
	case len(pages) > s.Spec.Pages:
		tx.Delete(pages[len(pages)-1], store.DeleteOptions{})
		s.Status.Pages = len(pages) - 1
	}
	tx.UpdateStatus(s)
	return controller.Result{}, nil
}

func newSite(pages int) *site {
	return &site{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "blog"}, Spec: siteSpec{pages}}
}

func page(owner *site, name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, OwnerReferences: []metav1.OwnerReference{
		*metav1.NewControllerRef(owner, schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"}),
	}}}
}

func expect(t *testing.T, o controllertest.Outcome, lines ...string) {
	t.Helper()
	if o.Err != nil {
		t.Fatal(o.Err)
	}
	if want := strings.Join(lines, "\n"); o.Changes.String() != want {
		t.Fatalf("changes:\n%s\nwant:\n%s", o.Changes, want)
	}
}

func TestReconcileStepByStep(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	blog := newSite(2)
	env, c := newEnv(t, blog)
	key := store.KeyOf(blog)
	expect(t, env.Reconcile(c, key), "ADDED core/configmaps/default/blog-0", "MODIFIED example.com/sites/default/blog")
	out := env.Reconcile(c, key)
	expect(t, out, "ADDED core/configmaps/default/blog-1", "MODIFIED example.com/sites/default/blog")
	if sites := controllertest.Written[*site](out); len(sites) != 1 || sites[0].Status.Pages != 2 {
		t.Fatalf("written sites: %v", sites)
	}
	expect(t, env.Reconcile(c, key)) // nothing is left to do

	_, _, err := store.Mutate(t.Context(), env.Store(), key, func(s *site) error { s.Spec.Pages = 1; return nil })
	if err != nil {
		t.Fatal(err)
	}
	out = env.Reconcile(c, key)
	expect(t, out, "DELETED core/configmaps/default/blog-1", "MODIFIED example.com/sites/default/blog")
	if gone := controllertest.Deleted[*corev1.ConfigMap](out); len(gone) != 1 || gone[0].Name != "blog-1" {
		t.Fatalf("deleted: %v", gone)
	}
	if _, ok := controllertest.Get[*corev1.ConfigMap](env, store.Key{Namespace: "default", Name: "blog-1"}); ok {
		t.Fatal("it is still there")
	}
	if s, ok := controllertest.Get[*site](env, key); !ok || s.Status.Pages != 1 {
		t.Fatalf("the site is %v", s)
	}
	expect(t, env.Reconcile(c, store.Key{Namespace: "default", Name: "unknown"}))
}

func TestPutTakesObjectsAsTheyAre(t *testing.T) {
	blog := newSite(1)
	blog.UID, blog.Status.Pages, blog.Generation = "u-1", 7, 4
	now := metav1.Now().Rfc3339Copy()
	blog.DeletionTimestamp, blog.Finalizers = &now, []string{"example.com/keep"}
	env, c := newEnv(t, blog, page(blog, "blog-0"))
	got, ok := controllertest.Get[*site](env, store.KeyOf(blog))
	if !ok || got.UID != "u-1" || got.Status.Pages != 7 || got.Generation != 4 || !got.DeletionTimestamp.Equal(&now) {
		t.Fatalf("got %+v", got)
	}
	if got.ResourceVersion != blog.ResourceVersion {
		t.Fatalf("resourceVersion %s, want %s", got.ResourceVersion, blog.ResourceVersion)
	}
	expect(t, env.Reconcile(c, store.KeyOf(blog))) // the owner's uid is known: the page is its own
}

func TestFailuresAreReturned(t *testing.T) {
	env, c := newEnv(t, newSite(-1))
	key := store.KeyOf(newSite(0))
	if out := env.Reconcile(c, key); out.Err == nil || out.Err.Error() != "less than nothing" || len(out.Changes) != 0 {
		t.Fatalf("got %+v", out)
	}
	env.Put(newSite(1001))
	if out := env.Reconcile(c, key); out.Err == nil || !strings.Contains(out.Err.Error(), "far too many") {
		t.Fatalf("got %+v", out)
	}
}

func TestConflictWithAnotherWriter(t *testing.T) {
	env := controllertest.New(t, kinds(), newSite(1))
	c, err := controller.New(env.Manager(), "site", func(ctx context.Context, tx *controller.Tx, s *site) (controller.Result, error) {
		_, _, err := store.Mutate(ctx, env.Store(), store.KeyOf(s), func(s *site) error { s.Spec.Pages++; return nil })
		if err != nil {
			return controller.Result{}, err
		}
		return reconcile(ctx, tx, s)
	}, controller.Options{})
	if err != nil {
		t.Fatal(err)
	}
	informerOf(t, env)
	out := env.Reconcile(c, store.KeyOf(newSite(1)))
	if !apierrors.IsConflict(out.Err) {
		t.Fatalf("got %+v", out)
	}
	if out.Changes.String() != "MODIFIED example.com/sites/default/blog" {
		t.Fatalf("changes: %s", out.Changes)
	}
}

// informerOf makes the replica hold ConfigMaps, for which there is no source here.
func informerOf(t *testing.T, env *controllertest.Env) {
	t.Helper()
	if _, err := informer.For[*corev1.ConfigMap](env.Manager().Replica()); err != nil {
		t.Fatal(err)
	}
}

func TestGenericKeys(t *testing.T) {
	env := controllertest.New(t, kinds())
	c, err := controller.NewReconciler(env.Manager(), "squares", controller.ReconcilerFunc[int](
		func(ctx context.Context, n int) (controller.Result, error) {
			_, err := env.Store().Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("n-", n*n)}})
			return controller.Result{}, err
		}), controller.Options{}, controller.WatchesEvents(func(context.Context, informer.Event[*site]) []int { return nil }))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, controllertest.ReconcileKey(env, c, 3), "ADDED core/configmaps/default/n-9")
}

// recorder is a test that records its failure.
type recorder struct {
	*testing.T
	failure string
}

type failed struct{}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failure = fmt.Sprintf(format, args...)
	panic(failed{})
}

func TestMistakesFailTheTest(t *testing.T) {
	cases := map[string]struct {
		do   func(t *recorder)
		want string
	}{
		"kind": {func(t *recorder) { controllertest.New(t, kinds(), &corev1.Pod{}) }, "Pod"},
		"name": {func(t *recorder) { controllertest.New(t, kinds(), &site{}) }, "has no name"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := &recorder{T: t}
			func() {
				defer func() {
					if p := recover(); p != nil && p != (failed{}) {
						panic(p)
					}
				}()
				c.do(r)
			}()
			if !strings.Contains(r.failure, c.want) {
				t.Fatalf("failure %q, want %q", r.failure, c.want)
			}
		})
	}
}

// fake is a test that may fail.
type fake struct {
	*testing.T
	cleanups []func()
	failures []string
}

func (f *fake) Cleanup(c func()) { f.cleanups = append(f.cleanups, c) }

func (f *fake) Fatalf(format string, args ...any) {
	f.failures = append(f.failures, fmt.Sprintf(format, args...))
}

func TestChangingWhatIsSharedFails(t *testing.T) {
	f := &fake{T: t}
	env, c := newEnv(f, newSite(1))
	sites, err := informer.For[*site](env.Manager().Replica())
	if err != nil {
		t.Fatal(err)
	}
	sites.AddIndex(func(s *site) []string {
		s.Spec.Pages = 7
		return nil
	})
	env.Reconcile(c, store.KeyOf(newSite(1))) // has the replica catch up
	for _, c := range slices.Backward(f.cleanups) {
		c()
	}
	if len(f.failures) != 1 || !strings.Contains(f.failures[0], `+  "pages": 7`) {
		t.Error(f.failures)
	}
}
