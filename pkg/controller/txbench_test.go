package controller_test

import (
	"context"
	"fmt"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/store"
)

// txBench runs functions in transactions of a controller for sites, one after
// another.
type txBench struct {
	manager *controller.Manager
	site    *Site // that is reconciled

	mu    sync.Mutex
	steps int
	step  func(ctx context.Context, tx *controller.Tx, site *Site) error
	done  chan error
}

const stepAnnotation = "example.com/step"

// newTxBench runs a manager. The sources name the kinds that the functions read.
func newTxBench(ctx context.Context, m *controller.Manager, sources ...controller.Source[controller.Request]) *txBench {
	GinkgoHelper()
	b := &txBench{manager: m, site: newSite("a", 1), done: make(chan error, 1)}
	Expect(controller.New(m, "bench", b.reconcile, controller.Options{}, sources...)).Error().To(Succeed())
	create(ctx, m.Store(), b.site)
	run(m)
	return b
}

func (b *txBench) reconcile(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.step == nil || site.Annotations[stepAnnotation] != fmt.Sprint(b.steps) {
		return controller.Result{}, nil
	}
	step := b.step
	b.step = nil
	err := step(ctx, tx, site)
	if err == nil {
		err = tx.Commit(ctx)
	}
	b.done <- err
	return controller.Result{}, err
}

// try runs a function on a snapshot that has all earlier writes. It returns the
// error of the function or of its commit.
func (b *txBench) try(ctx context.Context, step func(ctx context.Context, tx *controller.Tx, site *Site) error) error {
	GinkgoHelper()
	b.mu.Lock()
	b.step = step
	b.steps++
	id := fmt.Sprint(b.steps)
	b.mu.Unlock()
	site, _, err := store.Mutate(ctx, b.manager.Store(), store.KeyOf(b.site), func(site *Site) error {
		site.Annotations = map[string]string{stepAnnotation: id}
		return nil
	})
	Expect(err).NotTo(HaveOccurred())
	b.site = site
	Eventually(ctx, b.done).Should(Receive(&err))
	return err
}

// do is try for a function that must succeed.
func (b *txBench) do(ctx context.Context, step func(tx *controller.Tx, site *Site)) {
	GinkgoHelper()
	Expect(b.try(ctx, func(_ context.Context, tx *controller.Tx, site *Site) error { step(tx, site); return nil })).To(Succeed())
}
