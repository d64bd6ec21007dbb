package controller_test

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A transactional controller", func() {
	It("creates a child and writes the status at one revision", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		Expect(controller.New(m, "site", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			child := newDeployment(site.Name)
			if _, ok := controller.Get[*appsv1.Deployment](tx, store.KeyOf(child)); !ok {
				if err := tx.Own(site, child); err != nil {
					return controller.Result{}, err
				}
				tx.Create(child)
			}
			if site.Status.ObservedGeneration != site.Generation {
				site.Status = SiteStatus{Ready: site.Spec.Replicas, ObservedGeneration: site.Generation}
				tx.UpdateStatus(site)
			}
			return controller.Result{}, nil
		}, controller.Options{}, controller.Owns[*appsv1.Deployment]())).Error().To(Succeed())
		run(m)

		site := newSite("a", 3)
		_, err := m.Store().Create(ctx, site)
		Expect(err).NotTo(HaveOccurred())
		Eventually(func(g Gomega) {
			got, err := store.Get[*Site](ctx, m.Store(), store.KeyOf(site))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got.Status).To(Equal(SiteStatus{Ready: 3, ObservedGeneration: 1}))
			child, err := store.Get[*appsv1.Deployment](ctx, m.Store(), store.KeyOf(site))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(child.ResourceVersion).To(Equal(got.ResourceVersion))
			g.Expect(child.OwnerReferences).To(HaveLen(1))
		}).Should(Succeed())

		// A deleted child comes back.
		_, err = m.Store().Delete(ctx, newDeployment("a"), store.DeleteOptions{})
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() error {
			_, err := store.Get[*appsv1.Deployment](ctx, m.Store(), store.KeyOf(site))
			return err
		}).Should(Succeed())
	}, SpecTimeout(time.Minute))

	It("writes nothing when its function fails, and tries again", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		var calls atomic.Int32
		Expect(controller.New(m, "site", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			tx.Create(newDeployment(site.Name))
			switch calls.Add(1) {
			case 1:
				return controller.Result{}, errors.New("no")
			case 2:
				panic("really not")
			}
			return controller.Result{}, nil
		}, controller.Options{}, controller.For[*Site](informer.GenerationChanged[*Site]()))).Error().To(Succeed())
		deployments, err := informer.For[*appsv1.Deployment](m.Replica())
		Expect(err).NotTo(HaveOccurred())
		var added atomic.Int32
		deployments.AddHandler(func(context.Context, informer.Event[*appsv1.Deployment]) { added.Add(1) })
		run(m)
		_, err = m.Store().Create(ctx, newSite("a", 1))
		Expect(err).NotTo(HaveOccurred())
		Eventually(added.Load).Should(Equal(int32(1)))
		Expect(calls.Load()).To(Equal(int32(3)))
	}, SpecTimeout(time.Minute))
})
