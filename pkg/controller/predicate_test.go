package controller_test

import (
	"encoding/json"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/condition"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A predicate", func() {
	blue := controller.Matching[*Site](labels.SelectorFromSet(labels.Set{"color": "blue"}))
	generation, label, annotation := controller.GenerationChanged[*Site](), controller.LabelsChanged[*Site](), controller.AnnotationsChanged[*Site]()

	replicas := controller.FieldChanged(func(s *Site) int32 { return s.Spec.Replicas })
	compiled := func(expr string) controller.Predicate[*Site] {
		f, err := condition.ForObjects[*Site](expr)
		Expect(err).NotTo(HaveOccurred())
		return controller.Condition(f)
	}
	grown, born := compiled(`old.spec.replicas < new.spec.replicas`), compiled(`op == "create"`)

	modified := func(change func(obj *Site)) informer.Event[*Site] {
		old := newSite("a", 1)
		old.UID, old.Generation = "1", 1
		obj := old.DeepCopy()
		change(obj)
		return informer.Event[*Site]{Type: store.Modified, Object: obj, Old: old}
	}
	added := func(color string) informer.Event[*Site] {
		obj := newSite("a", 1)
		obj.Labels = map[string]string{"color": color}
		return informer.Event[*Site]{Type: store.Added, Object: obj}
	}
	deleted := func(color string) informer.Event[*Site] {
		e := added(color)
		e.Type = store.Deleted
		return e
	}

	DescribeTable("passes or drops", func(p controller.Predicate[*Site], e informer.Event[*Site], passes bool) {
		Expect(p(e)).To(Equal(passes))
	},
		Entry("generation: created", generation, added(""), true),
		Entry("generation: deleted", generation, deleted(""), true),
		Entry("generation: spec", generation, modified(func(s *Site) { s.Generation++ }), true),
		Entry("generation: status", generation, modified(func(s *Site) { s.Status.Ready++ }), false),
		Entry("generation: being deleted", generation, modified(func(s *Site) { s.DeletionTimestamp = new(metav1.Now()) }), true),
		Entry("generation: of a kind without one", generation, modified(func(s *Site) { s.Generation = 0 }), true),
		Entry("labels: created", label, added(""), true),
		Entry("labels: deleted", label, deleted(""), true),
		Entry("labels: changed", label, modified(func(s *Site) { s.Labels = map[string]string{"a": "b"} }), true),
		Entry("labels: spec", label, modified(func(s *Site) { s.Generation++ }), false),
		Entry("annotations: changed", annotation, modified(func(s *Site) { s.Annotations = map[string]string{"a": "b"} }), true),
		Entry("annotations: labels", annotation, modified(func(s *Site) { s.Labels = map[string]string{"a": "b"} }), false),
		Entry("field: created", replicas, added(""), true),
		Entry("field: deleted", replicas, deleted(""), true),
		Entry("field: changed", replicas, modified(func(s *Site) { s.Spec.Replicas++ }), true),
		Entry("field: another", replicas, modified(func(s *Site) { s.Status.Ready++ }), false),
		Entry("condition: created", grown, added(""), false),
		Entry("condition: deleted", grown, deleted(""), false),
		Entry("condition: met", grown, modified(func(s *Site) { s.Spec.Replicas++ }), true),
		Entry("condition: not met", grown, modified(func(s *Site) { s.Spec.Replicas-- }), false),
		Entry("condition: creation", born, added(""), true),
		Entry("condition: creation is no deletion", born, deleted(""), false),
		Entry("condition: creation is no update", born, modified(func(s *Site) { s.Spec.Replicas-- }), false),
		Entry("matching: created", blue, added("blue"), true),
		Entry("matching: another created", blue, added("red"), false),
		Entry("matching: deleted", blue, deleted("blue"), true),
		Entry("matching: begins to", blue, modified(func(s *Site) { s.Labels = map[string]string{"color": "blue"} }), true),
		Entry("matching: ceases to", blue, func() informer.Event[*Site] {
			e := modified(func(s *Site) { s.Labels = map[string]string{"color": "blue"} })
			e.Object, e.Old = e.Old, e.Object
			return e
		}(), true),
		Entry("any: one", controller.Any(generation, label), modified(func(s *Site) { s.Generation++ }), true),
		Entry("any: none", controller.Any(generation, label), modified(func(s *Site) { s.Status.Ready++ }), false),
		Entry("any: of none", controller.Any[*Site](), added(""), false),
		Entry("not", controller.Not(blue), added("red"), true),
		Entry("not: passes", controller.Not(blue), added("blue"), false),
	)

	It("does not take another object of the same name for a change", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		var calls names
		Expect(controller.NewFor[*Site](m, "c", &calls, controller.Options{}, controller.For(generation, label, annotation))).Error().To(Succeed())
		run(m)
		site := newSite("a", 1)
		create(ctx, m.Store(), site)
		Eventually(calls.len).Should(Equal(1))
		// As a replica sees it that was cut off when one went and another came.
		site.UID, site.ResourceVersion = "another", ""
		value, err := json.Marshal(site)
		Expect(err).NotTo(HaveOccurred())
		Expect(etcd.Client().Put(ctx, m.Store().Prefix()+"example.com/sites/default/a", string(value))).Error().NotTo(HaveOccurred())
		Eventually(calls.len).Should(BeNumerically(">", 1))
	}, SpecTimeout(time.Minute))

	It("keeps changes from the queue, and all of a source's must pass", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		var calls names
		Expect(controller.NewFor[*Site](m, "c", &calls, controller.Options{},
			controller.For(generation, controller.Not(blue)))).Error().To(Succeed())
		run(m)
		site, dull := newSite("a", 1), newSite("dull", 1)
		dull.Labels = map[string]string{"color": "blue"}
		create(ctx, m.Store(), dull, site)
		Eventually(calls.all).Should(Equal([]string{"a"}))
		site.Status.Ready = 1
		Expect(m.Store().UpdateStatus(ctx, site)).Error().NotTo(HaveOccurred())
		site.Spec.Replicas = 2
		Expect(m.Store().Update(ctx, site)).Error().NotTo(HaveOccurred())
		create(ctx, m.Store(), newSite("last", 1))
		Eventually(calls.all).Should(Equal([]string{"a", "a", "last"}))
	}, SpecTimeout(time.Minute))
})
