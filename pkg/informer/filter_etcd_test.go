package informer_test

import (
	"context"
	"regexp"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/condition"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

type mapFilter = informer.Filter[*corev1.ConfigMap]

func valueIs(v string) mapFilter {
	return informer.Where(func(cm *corev1.ConfigMap) bool { return cm.Data["v"] == v })
}

func must[T any](value T, err error) T {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	return value
}

// story is the sequence of changes in a spec. Some objects exist at first. Some
// change while the replica watches, and some while it is cut off and etcd is
// compacted. At the end they are deleted.
type story struct {
	direct *store.Store
	r      *informer.Replica
	maps   *informer.Informer[*corev1.ConfigMap]
	cut    func()
	heal   func()
}

func newStory() *story {
	GinkgoHelper()
	link, behind, direct := linked(etcd)
	s := &story{direct: direct}
	s.r, s.maps = newReplica(behind)
	s.cut = func() {
		GinkgoHelper()
		link.Cut()
		Eventually(replicaErr(s.r)).Should(HaveOccurred())
	}
	s.heal = link.Heal
	return s
}

func (s *story) received(ctx context.Context, filters ...mapFilter) []string {
	GinkgoHelper()
	red := func(cm *corev1.ConfigMap) *corev1.ConfigMap {
		cm.Labels = map[string]string{"color": "red"}
		return cm
	}
	web1, web2, db := red(configMap("web-1", "v", "1")), configMap("web-2", "v", "1"), red(configMap("db", "v", "1"))
	for _, cm := range []*corev1.ConfigMap{web1, web2, db} {
		create(ctx, s.direct, cm)
	}
	var received audit[*corev1.ConfigMap]
	s.maps.AddHandler(received.handle, filters...)
	all := audited(s.maps)
	stop := startSynced(ctx, s.r)

	setValue(ctx, s.direct, web1, "2")
	setValue(ctx, s.direct, db, "2")
	db.Labels = nil
	Expect(s.r.WaitForRevision(ctx, setValue(ctx, s.direct, db, "3"))).To(Succeed())
	Eventually(all.lines).Should(HaveLen(6))

	s.cut()
	setValue(ctx, s.direct, red(web2), "2")
	remove(ctx, s.direct, web1)
	create(ctx, s.direct, red(configMap("web-1", "v", "3")))
	compact(ctx, etcd.Client())
	s.heal()
	Eventually(all.lines).Should(HaveLen(9))

	rev := remove(ctx, s.direct, configMap("web-2"))
	remove(ctx, s.direct, configMap("web-1"))
	Expect(s.r.WaitForRevision(ctx, rev+1)).To(Succeed())
	Eventually(all.lines).Should(HaveLen(11))
	Expect(relists(s.r)()).To(HaveKey("compacted"))
	// The filtered handler was given what passes before the other was given all.
	Eventually(func() []int { return s.r.Status().Kinds[0].Backlogs }).Should(Equal([]int{0, 0}))
	stop() // waits for a call that is under way
	return received.lines()
}

var _ = Describe("A handler with a filter", func() {
	DescribeTable("gets the changes that pass, over a relist in between",
		func(ctx SpecContext, filter func(*story) mapFilter, want ...string) {
			s := newStory()
			received := s.received(ctx, filter(s))
			Expect(received).To(Equal(want))
		},
		Entry("by key pattern", SpecTimeout(specTimeout), func(*story) mapFilter {
			return must(informer.KeyGlob[*corev1.ConfigMap]("def*/web-?"))
		}, "ADDED web-1 1", "ADDED web-2 1", "MODIFIED web-1 2", "MODIFIED web-2 2", "DELETED web-1 2", "ADDED web-1 3", "DELETED web-2 2", "DELETED web-1 3"),
		Entry("by regular expression", SpecTimeout(specTimeout), func(*story) mapFilter {
			return informer.KeyRegexp[*corev1.ConfigMap](regexp.MustCompile("^default$"), regexp.MustCompile("^[^w]"))
		}, "ADDED db 1", "MODIFIED db 2", "MODIFIED db 3"),
		Entry("by label", SpecTimeout(specTimeout), func(*story) mapFilter {
			return informer.LabelSelector[*corev1.ConfigMap](labels.SelectorFromSet(labels.Set{"color": "red"}))
		}, "ADDED db 1", "ADDED web-1 1", "MODIFIED web-1 2", "MODIFIED db 2", "DELETED db 2", "ADDED web-2 2", "DELETED web-1 2", "ADDED web-1 3", "DELETED web-2 2", "DELETED web-1 3"),
		Entry("by field", SpecTimeout(specTimeout), func(s *story) mapFilter {
			return must(informer.FieldSelector(s.maps, fields.OneTermEqualSelector("metadata.name", "web-2")))
		}, "ADDED web-2 1", "MODIFIED web-2 2", "DELETED web-2 2"),
		Entry("by a function of the object", SpecTimeout(specTimeout), func(*story) mapFilter { return valueIs("2") },
			"ADDED web-1 2", "ADDED db 2", "DELETED db 2", "ADDED web-2 2", "DELETED web-1 2", "DELETED web-2 2"),
		Entry("by creation and deletion", SpecTimeout(specTimeout), func(*story) mapFilter {
			return informer.Operations[*corev1.ConfigMap](informer.Create, informer.Delete)
		}, "ADDED db 1", "ADDED web-1 1", "ADDED web-2 1", "DELETED web-1 2", "ADDED web-1 3", "DELETED web-2 2", "DELETED web-1 3"),
		Entry("by update", SpecTimeout(specTimeout), func(*story) mapFilter {
			return informer.Operations[*corev1.ConfigMap](informer.Update)
		}, "MODIFIED web-1 2", "MODIFIED db 2", "MODIFIED db 3", "MODIFIED web-2 2"),
		Entry("by transition", SpecTimeout(specTimeout), func(*story) mapFilter {
			return informer.Transition(func(old, new *corev1.ConfigMap) bool {
				return old != nil && new != nil && old.Data["v"] == "1" && new.Data["v"] == "2"
			})
		}, "MODIFIED web-1 2", "MODIFIED db 2", "MODIFIED web-2 2"),
		Entry("by an expression about old and new", SpecTimeout(specTimeout), func(*story) mapFilter {
			return must(condition.Transition[*corev1.ConfigMap](`old.data.v == "1" && new.data.v == "2" || op == "delete"`))
		}, "MODIFIED web-1 2", "MODIFIED db 2", "MODIFIED web-2 2", "DELETED web-1 2", "DELETED web-2 2", "DELETED web-1 3"),
		Entry("by an expression about the object", SpecTimeout(specTimeout), func(*story) mapFilter {
			return must(condition.Where[*corev1.ConfigMap](`object.data.v == "3" && has(object.metadata.labels)`))
		}, "ADDED web-1 3", "DELETED web-1 3"),
		Entry("by several filters together", SpecTimeout(specTimeout), func(*story) mapFilter {
			web := must(informer.KeyGlob[*corev1.ConfigMap]("web-*"))
			return informer.Or(informer.And(web, informer.Not(valueIs("1"))), informer.And(informer.Not(web), valueIs("1")))
		}, "ADDED db 1", "ADDED web-1 2", "DELETED db 1", "ADDED web-2 2", "DELETED web-1 2", "ADDED web-1 3", "DELETED web-2 2", "DELETED web-1 3"),
	)

	It("gets the changes that pass all filters, at the revision of the change", func(ctx SpecContext) {
		s := newStore()
		a := configMap("a", "v", "1")
		create(ctx, s, a)
		r, maps := newReplica(s)
		var received audit[*corev1.ConfigMap]
		maps.AddHandler(received.handle, informer.Not(valueIs("1")), informer.Not(valueIs("2")))
		all := audited(maps)
		startSynced(ctx, r)
		setValue(ctx, s, a, "2")
		entered := setValue(ctx, s, a, "3")
		left := setValue(ctx, s, a, "1")
		Eventually(all.lines).Should(HaveLen(4))
		Eventually(received.lines).Should(Equal([]string{"ADDED a 3", "DELETED a 3"}))
		Expect(received.all()[0].Revision).To(Equal(entered))
		Expect(received.all()[1].Revision).To(Equal(left))
		Expect(received.all()[1].Size).To(BeZero())
		Expect(received.found()).To(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("selects by the fields of its kind", func(ctx SpecContext) {
		base := newStore()
		s := must(store.New(base.Client(), store.Options{Scheme: scheme.Scheme, Prefix: base.Prefix(), Kinds: []store.AnyKind{store.Kind[*site]{
			GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"},
			Fields:           func(s *site) fields.Set { return fields.Set{"spec.region": s.Spec.Region} },
		}}}))
		r := informer.Hasten(informer.NewReplica(s, informer.Options{}))
		sites := informerFor[*site](r)
		var received audit[*site]
		sites.AddHandler(received.handle, must(informer.FieldSelector(sites, fields.OneTermEqualSelector("spec.region", "north"))))
		all := audited(sites)
		startSynced(ctx, r)
		create(ctx, s, newSite("a", "south"))
		b := newSite("b", "north")
		create(ctx, s, b)
		b.Spec.Region = "south"
		update(ctx, s, b)
		Eventually(all.lines).Should(HaveLen(3))
		Eventually(received.lines).Should(Equal([]string{"ADDED b", "DELETED b"}))
	}, SpecTimeout(specTimeout))

	It("does not queue dropped changes, and is exact when it is slow", func(ctx SpecContext) {
		s := newStore()
		const objects, rounds = 100, 44 // more changes than informer.BacklogLimit
		r, maps := newReplica(s)
		release := make(chan struct{})
		slow := audit[*corev1.ConfigMap]{}
		reg := maps.AddHandler(func(ctx context.Context, e configMapEvent) {
			select {
			case <-release:
			case <-ctx.Done():
			}
			slow.handle(ctx, e)
		}, informer.Not(valueIs("odd")))
		none := maps.AddHandler(func(context.Context, configMapEvent) { <-release }, valueIs("none"))
		startSynced(ctx, r)
		var rev int64
		for round := range rounds {
			rev = putAll(ctx, s, objects, []string{"even", "odd"}[round%2])
		}
		enqueued(r, rev)
		Expect(reg.Backlog()).To(BeNumerically("<=", informer.BacklogLimit+objects))
		Expect(none.Backlog()).To(BeZero())
		enqueued(r, putAll(ctx, s, objects, "even"))
		close(release)
		Eventually(slow.received).Should(Equal(inEtcd(ctx, s, "core/configmaps")))
		Expect(slow.found()).To(BeEmpty())
	}, SpecTimeout(specTimeout))
})
