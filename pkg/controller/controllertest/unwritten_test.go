package controllertest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/controllertest"
	"github.com/homeostat/homeostat/pkg/store"
)

// forgetful are functions that lose or keep a change, by what the failure of the test
// must contain. "" means that the test does not fail.
var forgetful = map[string]struct {
	want string
	f    func(ctx context.Context, tx *controller.Tx, s *site) error
}{
	"a status": {"changed the status of", func(_ context.Context, _ *controller.Tx, s *site) error {
		s.Status.Pages = 3
		return nil
	}},
	"a status beside a write": {"call tx.UpdateStatus", func(_ context.Context, tx *controller.Tx, s *site) error {
		s.Status.Pages, s.Spec.Pages = 3, 5
		tx.Update(s) // writes no status
		return nil
	}},
	"a status after the write": {"after the last change", func(ctx context.Context, tx *controller.Tx, s *site) error {
		s.Status.Pages = 3
		tx.UpdateStatus(s)
		if err := tx.Commit(ctx); err != nil {
			return err
		}
		s.Status.Pages = 4
		return nil
	}},
	"labels beside a status": {"changed the labels of", func(_ context.Context, tx *controller.Tx, s *site) error {
		s.Labels, s.Status.Pages = map[string]string{"a": "b"}, 3
		tx.UpdateStatus(s)
		return nil
	}},
	"annotations": {"changed the annotations of", func(_ context.Context, _ *controller.Tx, s *site) error {
		s.Annotations = map[string]string{"a": "b"}
		return nil
	}},
	"a finalizer": {"changed the finalizers of", func(_ context.Context, _ *controller.Tx, s *site) error {
		s.Finalizers = []string{"example.com/a"}
		return nil
	}},
	"an owner": {"changed the ownerReferences of", func(_ context.Context, _ *controller.Tx, s *site) error {
		s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "A", Name: "a", UID: "a"}}
		return nil
	}},
	"nothing": {"", func(context.Context, *controller.Tx, *site) error { return nil }},
	"empty instead of nil": {"", func(_ context.Context, _ *controller.Tx, s *site) error {
		s.Labels, s.Finalizers = map[string]string{}, []string{}
		return nil
	}},
	"a status that is written": {"", func(_ context.Context, tx *controller.Tx, s *site) error {
		s.Status.Pages, s.Annotations = 3, map[string]string{"a": "b"}
		tx.UpdateStatus(s)
		return nil
	}},
	"a status that another copy writes": {"", func(_ context.Context, tx *controller.Tx, s *site) error {
		s.Status.Pages = 3
		tx.UpdateStatus(s.DeepCopy())
		return nil
	}},
	"a change of a copy": {"", func(_ context.Context, _ *controller.Tx, s *site) error {
		s.DeepCopy().Status.Pages = 3
		return nil
	}},
	"a default": {"", func(_ context.Context, _ *controller.Tx, s *site) error { s.Spec.Pages = 9; return nil }},
	"a deleted object": {"", func(_ context.Context, tx *controller.Tx, s *site) error {
		s.Status.Pages = 3
		tx.Delete(s, store.DeleteOptions{})
		return nil
	}},
	"a failure": {"", func(_ context.Context, _ *controller.Tx, s *site) error {
		s.Status.Pages = 3
		return errors.New("it is tried again")
	}},
	"a reported failure": {"", func(ctx context.Context, tx *controller.Tx, s *site) error {
		s.Status.Pages = 3
		tx.UpdateStatus(s)
		return tx.Fail(ctx, errors.New("it is tried again"))
	}},
}

func TestUnwrittenChangesFailTheTest(t *testing.T) {
	f := &fake{T: t}
	env := controllertest.New(f, kinds())
	defer func() {
		for _, c := range f.cleanups {
			defer c()
		}
	}()
	for name, c := range forgetful {
		t.Run(name, func(t *testing.T) {
			f.failures = nil
			blog := newSite(1)
			env.Put(blog)
			sites, err := controller.New(env.Manager(), name, func(ctx context.Context, tx *controller.Tx, s *site) (controller.Result, error) {
				return controller.Result{}, c.f(ctx, tx, s)
			}, controller.Options{})
			if err != nil {
				t.Fatal(err)
			}
			env.Reconcile(sites, store.KeyOf(blog))
			got := strings.Join(f.failures, "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("failure %q, want %q", got, c.want)
			}
		})
	}
}
