package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("Create", func() {
	It("fills in the fields that the store decides", func(ctx SpecContext) {
		now := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
		s := newStore(func(o *store.Options) { o.Clock = clocktesting.NewFakePassiveClock(now) })
		site := newSite("a")
		rev, err := s.Create(ctx, site)
		Expect(err).NotTo(HaveOccurred())
		Expect(site.UID).NotTo(BeEmpty())
		Expect(site.CreationTimestamp.Time).To(BeTemporally("==", now.Truncate(time.Second)))
		Expect(site.Generation).To(BeEquivalentTo(1))
		Expect(site.ResourceVersion).To(Equal(store.FormatRevision(rev)))
		Expect(site.Spec.Zone).To(Equal("a"), "the default")
		Expect(site.APIVersion).To(Equal("example.com/v1"))
		Expect(site.Kind).To(Equal("Site"))
		Expect(get(ctx, s, "a").UID).To(Equal(site.UID))
	})

	It("returns what Get returns", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a", labelled("x", "y"), finalizer("example.com/f"))
		there := get(ctx, s, "a")
		Expect(json.Marshal(site)).To(MatchJSON(must(json.Marshal(there))))
	})

	It("stores apiVersion and kind, and no resourceVersion", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		var stored map[string]any
		Expect(json.Unmarshal([]byte(raw(ctx, siteKey(s, "a"))), &stored)).To(Succeed())
		Expect(stored).To(HaveKeyWithValue("apiVersion", "example.com/v1"))
		Expect(stored).To(HaveKeyWithValue("kind", "Site"))
		Expect(stored["metadata"]).NotTo(HaveKey("resourceVersion"))
	})

	It("overrides fields that only the store may set", func(ctx SpecContext) {
		s := newStore()
		deleted := metav1.Now()
		site := created(ctx, s, "a", func(s *Site) {
			s.UID, s.Generation = "mine", 7
			s.SetSelfLink("/here")
			s.DeletionTimestamp, s.DeletionGracePeriodSeconds = &deleted, ptr.To(int64(9))
			s.CreationTimestamp = metav1.NewTime(time.Unix(1, 0))
		})
		Expect(site.UID).NotTo(BeEquivalentTo("mine"))
		Expect(site.Generation).To(BeEquivalentTo(1))
		Expect(site.GetSelfLink()).To(BeEmpty())
		Expect(site.DeletionTimestamp).To(BeNil())
		Expect(site.DeletionGracePeriodSeconds).To(BeNil())
		Expect(site.CreationTimestamp.Unix()).NotTo(BeEquivalentTo(1))
	})

	It("drops the status", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a", func(s *Site) { s.Status.Ready = 3 })
		Expect(site.Status).To(BeZero())
		Expect(get(ctx, s, "a").Status).To(BeZero())
	})

	It("gives no generation to a kind without a spec", func(ctx SpecContext) {
		s := newStore()
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"}}
		_, err := s.Create(ctx, m)
		Expect(err).NotTo(HaveOccurred())
		Expect(m.Generation).To(BeZero())
		Expect(raw(ctx, s.Prefix()+"core/configmaps/default/a")).To(ContainSubstring(`"kind":"ConfigMap"`))
	})

	It("stores a cluster-scoped object without a namespace", func(ctx SpecContext) {
		s := newStore()
		_, err := s.Create(ctx, &Region{ObjectMeta: metav1.ObjectMeta{Name: "north"}})
		Expect(err).NotTo(HaveOccurred())
		Expect(raw(ctx, s.Prefix()+"example.com/regions/north")).NotTo(BeEmpty())
	})

	It("refuses a preset resourceVersion", func(ctx SpecContext) {
		site := newSite("a")
		site.ResourceVersion = "5"
		before := site.DeepCopy()
		_, err := newStore().Create(ctx, site)
		Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
		Expect(site).To(Equal(before))
	})

	It("refuses a name that is taken, and leaves the object alone", func(ctx SpecContext) {
		s := newStore()
		first := created(ctx, s, "a")
		site := newSite("a")
		site.Status.Ready = 4
		before := site.DeepCopy()
		_, err := s.Create(ctx, site)
		Expect(err).To(MatchError(apierrors.IsAlreadyExists, "AlreadyExists"))
		Expect(err).To(MatchError(ContainSubstring("create " + siteKey(s, "a"))))
		Expect(site).To(Equal(before))
		Expect(get(ctx, s, "a").UID).To(Equal(first.UID))
	})

	It("refuses a name that is taken by an undecodable value", func(ctx SpecContext) {
		s := newStore()
		put(ctx, siteKey(s, "a"), "garbage")
		_, err := s.Create(ctx, newSite("a"))
		Expect(err).To(MatchError(apierrors.IsAlreadyExists, "AlreadyExists"))
	})

	It("lets one of many creations of the same name win", func(ctx SpecContext) {
		s := newStore()
		results := make(chan error)
		for range 20 {
			go func() {
				_, err := s.Create(ctx, newSite("a"))
				results <- err
			}()
		}
		won := 0
		for range 20 {
			if err := <-results; err == nil {
				won++
			} else {
				Expect(err).To(MatchError(apierrors.IsAlreadyExists, "AlreadyExists"))
			}
		}
		Expect(won).To(Equal(1))
	})

	DescribeTable("refuses an invalid name or namespace", func(ctx SpecContext, obj store.Object) {
		_, err := newStore().Create(ctx, obj)
		Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
	},
		Entry("no name", newSite("")),
		Entry("name .", newSite(".")),
		Entry("name ..", newSite("..")),
		Entry("name a/b", newSite("a/b")),
		Entry("name a%b", newSite("a%b")),
		Entry("namespace .", &Site{ObjectMeta: metav1.ObjectMeta{Namespace: ".", Name: "a"}}),
		Entry("namespace ..", &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "..", Name: "a"}}),
		Entry("namespace a/b", &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "a/b", Name: "a"}}),
		Entry("no namespace", &Site{ObjectMeta: metav1.ObjectMeta{Name: "a"}}),
		Entry("no namespace to generate a name in", &Site{ObjectMeta: metav1.ObjectMeta{GenerateName: "a"}}),
		Entry("generateName a/b", &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "a/b"}}),
		Entry("a namespace for a cluster-scoped kind", &Region{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"}}),
	)

	DescribeTable("refuses what is invalid", func(ctx SpecContext, path string, change func(*Site)) {
		site := newSite("a")
		change(site)
		before := site.DeepCopy()
		_, err := newStore().Create(ctx, site)
		Expect(err).To(MatchError(apierrors.IsInvalid, "Invalid"))
		Expect(err).To(MatchError(ContainSubstring(path)))
		Expect(site).To(Equal(before))
	},
		Entry("upper-case name", "metadata.name", func(s *Site) { s.Name = "A" }),
		Entry("name with a space", "metadata.name", func(s *Site) { s.Name = "a b" }),
		Entry("name that is too long", "metadata.name", func(s *Site) { s.Name = strings.Repeat("a", 254) }),
		Entry("namespace with a dot", "metadata.namespace", func(s *Site) { s.Namespace = "a.b" }),
		Entry("generateName", "metadata.generateName", func(s *Site) { s.Name, s.GenerateName = "", "A-" }),
		Entry("label key", "metadata.labels", labelled("a b", "")),
		Entry("label value", "metadata.labels", labelled("a", "b c")),
		Entry("annotation key", "metadata.annotations", func(s *Site) { s.Annotations = map[string]string{"a b": ""} }),
		Entry("annotations that are too large", "metadata.annotations",
			func(s *Site) { s.Annotations = map[string]string{"a": strings.Repeat("x", 257<<10)} }),
		Entry("finalizer", "metadata.finalizers", finalizer("a b")),
		Entry("finalizers that contradict each other", "metadata.finalizers", finalizer("orphan", "foregroundDeletion")),
		Entry("owner without a uid", "metadata.ownerReferences[0].uid", func(s *Site) {
			s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "p"}}
		}),
		Entry("two controllers", "metadata.ownerReferences", func(s *Site) {
			ref := metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "u", Controller: ptr.To(true)}
			s.OwnerReferences = []metav1.OwnerReference{ref, ref}
		}),
		Entry("the kind's own rule", "spec.replicas", func(s *Site) { s.Spec.Replicas = -1 }),
	)

	It("accepts the names that the kinds of RBAC have", func(ctx SpecContext) {
		s := newStore(func(o *store.Options) { Expect(rbacv1.AddToScheme(o.Scheme)).To(Succeed()) })
		_, err := s.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "system:node"}})
		Expect(err).NotTo(HaveOccurred())
	})

	It("refuses an object that is too large for etcd, and accepts one that is just small enough", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a", func(s *Site) { s.Spec.Image = "x" })
		spare := store.MaxRequestBytes - 2*64 - 3*len(siteKey(s, "a")) - len(raw(ctx, siteKey(s, "a")))
		site := newSite("b")
		site.Spec.Image = strings.Repeat("x", 2+spare)
		before := site.DeepCopy()
		_, err := s.Create(ctx, site)
		Expect(err).To(MatchError(apierrors.IsRequestEntityTooLargeError, "RequestEntityTooLarge"))
		Expect(site).To(Equal(before))
		site.Spec.Image = strings.Repeat("x", 1+spare)
		Expect(s.Create(ctx, site)).Error().NotTo(HaveOccurred())
	})

	It("reports it if etcd's own limit is lower", func(ctx SpecContext) {
		w := &wire{}
		w.onTxn(1, func(func() error) error { return rpctypes.ErrGRPCRequestTooLarge })
		_, err := newStoreOn(newClient(w.tap)).Create(ctx, newSite("a"))
		Expect(err).To(MatchError(apierrors.IsRequestEntityTooLargeError, "RequestEntityTooLarge"))
		Expect(store.IsUnknownOutcome(err)).To(BeFalse())
	})

	It("refuses a type that the store does not know", func(ctx SpecContext) {
		_, err := newStore().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
		Expect(err).To(MatchError(ContainSubstring("not known to this store")))
	})

	DescribeTable("refuses an object that is nil", func(ctx SpecContext, obj store.Object) {
		_, err := newStore().Create(ctx, obj)
		Expect(err).To(MatchError(ContainSubstring("nil")))
	},
		Entry("without a type", nil),
		Entry("with a type", (*Site)(nil)),
	)

	Describe("with generateName", func() {
		generated := func() *Site {
			return &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "a-"}}
		}

		It("generates a name", func(ctx SpecContext) {
			s := newStore()
			site := generated()
			Expect(s.Create(ctx, site)).Error().NotTo(HaveOccurred())
			Expect(site.Name).To(MatchRegexp("^a-[a-z0-9]{5}$"))
			Expect(get(ctx, s, site.Name).GenerateName).To(Equal("a-"))
		})

		It("uses a given name instead", func(ctx SpecContext) {
			s := newStore()
			site := generated()
			site.Name = "b"
			Expect(s.Create(ctx, site)).Error().NotTo(HaveOccurred())
			Expect(site.Name).To(Equal("b"))
		})

		It("cuts a prefix that is too long", func(ctx SpecContext) {
			s := newStore()
			site := generated()
			site.GenerateName = strings.Repeat("a", 100)
			Expect(s.Create(ctx, site)).Error().NotTo(HaveOccurred())
			Expect(site.Name).To(HaveLen(63))
		})

		// next returns the names that will be generated.
		next := func(n int) (names []string) {
			rand.Seed(42)
			for range n {
				names = append(names, "a-"+rand.String(5))
			}
			rand.Seed(42)
			DeferCleanup(func() { rand.Seed(time.Now().UnixNano()) })
			return names
		}

		It("tries another name when one is taken", func(ctx SpecContext) {
			s := newStore()
			names := next(3)
			created(ctx, s, names[0])
			created(ctx, s, names[1])
			site := generated()
			Expect(s.Create(ctx, site)).Error().NotTo(HaveOccurred())
			Expect(site.Name).To(Equal(names[2]))
		})

		It("gives up after a few names", func(ctx SpecContext) {
			s := newStore()
			for _, name := range next(20) {
				created(ctx, s, name)
			}
			site := generated()
			before := site.DeepCopy()
			_, err := s.Create(ctx, site)
			Expect(err).To(MatchError(apierrors.IsAlreadyExists, "AlreadyExists"))
			Expect(site).To(Equal(before))
		})

		It("does not give two objects of a transaction one name", func(ctx SpecContext) {
			s := newStore()
			names := next(1)
			a, b := newSite(names[0]), generated()
			t := s.Txn()
			t.Create(b)
			t.Create(a)
			Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
			Expect(b.Name).NotTo(Equal(a.Name))
		})

		It("writes the status in the same transaction", func(ctx SpecContext) {
			s := newStore()
			site := generated()
			site.Status.Ready = 2
			t := s.Txn()
			t.Create(site)
			t.UpdateStatus(site)
			Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
			Expect(get(ctx, s, site.Name).Status.Ready).To(BeEquivalentTo(2))
		})
	})

	It("stops when its context is done", func(ctx SpecContext) {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		w := &wire{}
		s := newStoreOn(newClient(w.tap))
		Expect(w.during(func() {
			_, err := s.Create(ended, newSite("a"))
			Expect(errors.Is(err, context.Canceled)).To(BeTrue(), fmt.Sprint(err))
			Expect(store.IsUnknownOutcome(err)).To(BeFalse())
		})).To(BeEmpty())
	})
})

// must returns v if err is nil.
func must[T any](v T, err error) T {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	return v
}
