package controller_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A transaction on a kind that is kept in part", func() {
	var m *controller.Manager
	stripped := newConfigMap("stripped")

	BeforeEach(func(ctx SpecContext) {
		m = newManager(controller.ManagerOptions{})
		_, err := informer.Restrict(m.Replica(), informer.Scope[*corev1.ConfigMap]{Transform: func(cm *corev1.ConfigMap) *corev1.ConfigMap {
			cm.Data = nil
			return cm
		}})
		Expect(err).NotTo(HaveOccurred())
		cm := stripped.DeepCopy()
		cm.Data = map[string]string{"a": "1"}
		create(ctx, m.Store(), cm, newSite("site", 1))
	})

	// outcome is what a transaction that write fills ends in.
	outcome := func(ctx context.Context, write func(tx *controller.Tx, cm *corev1.ConfigMap)) error {
		GinkgoHelper()
		result := make(chan error, 1)
		Expect(controller.New(m, "c", func(ctx context.Context, tx *controller.Tx, _ *Site) (controller.Result, error) {
			cm, ok := controller.Get[*corev1.ConfigMap](tx, store.KeyOf(stripped))
			if !ok {
				return controller.Result{}, nil
			}
			write(tx, cm.DeepCopy())
			select {
			case result <- tx.Commit(ctx):
			default:
			}
			return controller.Result{}, nil
		}, controller.Options{}, controller.For[*Site]())).Error().To(Succeed())
		run(m)
		var err error
		Eventually(ctx, result).Should(Receive(&err))
		return err
	}

	It("refuses an update that would lose the rest of the object", func(ctx SpecContext) {
		err := outcome(ctx, func(tx *controller.Tx, cm *corev1.ConfigMap) {
			cm.Labels = map[string]string{"l": "v"}
			tx.Update(cm)
		})
		Expect(err).To(MatchError(ContainSubstring("keeps only a part")))
		got, err := store.Get[*corev1.ConfigMap](ctx, m.Store(), store.KeyOf(stripped))
		Expect(err).NotTo(HaveOccurred())
		Expect(got.Data).To(HaveKeyWithValue("a", "1"))
	}, SpecTimeout(time.Minute))

	It("refuses a status that may have been stripped", func(ctx SpecContext) {
		err := outcome(ctx, func(tx *controller.Tx, cm *corev1.ConfigMap) { tx.UpdateStatus(cm) })
		Expect(err).To(MatchError(ContainSubstring("keeps only a part")))
	}, SpecTimeout(time.Minute))

	It("can delete the object", func(ctx SpecContext) {
		Expect(outcome(ctx, func(tx *controller.Tx, cm *corev1.ConfigMap) { tx.Delete(cm, store.DeleteOptions{}) })).To(Succeed())
		_, err := store.Get[*corev1.ConfigMap](ctx, m.Store(), store.KeyOf(stripped))
		Expect(apierrors.IsNotFound(err)).To(BeTrue())
	}, SpecTimeout(time.Minute))

	It("can have the object as a condition", func(ctx SpecContext) {
		Expect(outcome(ctx, func(tx *controller.Tx, cm *corev1.ConfigMap) { tx.Unchanged(cm) })).To(Succeed())
	}, SpecTimeout(time.Minute))
})
