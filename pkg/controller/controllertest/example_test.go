package controllertest_test

import (
	"testing"

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
