package store_test

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A transaction", func() {
	It("writes objects of several kinds at one revision", func(ctx SpecContext) {
		s := newStore()
		old := created(ctx, s, "old")
		changed := created(ctx, s, "changed")
		site, region := newSite("a"), &Region{ObjectMeta: metav1.ObjectMeta{Name: "north"}}
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"}}
		changed.Spec.Image = "x"
		t := s.Txn()
		t.Create(site)
		t.Create(region)
		t.Create(m)
		t.Update(changed)
		t.Delete(old, store.DeleteOptions{})
		Expect(t.Len()).To(Equal(5))
		before := revision(ctx, s)
		rev, err := t.Commit(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(rev).To(Equal(before + 1))
		for _, obj := range []store.Object{site, region, m, changed, old} {
			Expect(obj.GetResourceVersion()).To(Equal(store.FormatRevision(rev)))
		}
		Expect(names(must(store.List[*Site](ctx, s, store.ListOptions{})).Items)).To(Equal([]string{"default/a", "default/changed"}))
	})

	It("writes all or nothing, and leaves the caller's objects alone", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "taken")
		a, b := newSite("a"), newSite("taken")
		beforeA, beforeB, now := a.DeepCopy(), b.DeepCopy(), revision(ctx, s)
		t := s.Txn()
		t.Create(a)
		t.Create(b)
		_, err := t.Commit(ctx)
		Expect(err).To(MatchError(apierrors.IsAlreadyExists, "AlreadyExists"))
		Expect(err).To(MatchError(ContainSubstring(siteKey(s, "taken"))))
		Expect([]*Site{a, b}).To(Equal([]*Site{beforeA, beforeB}))
		Expect(revision(ctx, s)).To(Equal(now))
	})

	It("writes nothing if a rule refuses one object", func(ctx SpecContext) {
		s := newStore()
		bad := newSite("bad")
		bad.Spec.Replicas = -1
		now := revision(ctx, s)
		t := s.Txn()
		t.Create(newSite("a"))
		t.Create(bad)
		_, err := t.Commit(ctx)
		Expect(err).To(MatchError(apierrors.IsInvalid, "Invalid"))
		Expect(revision(ctx, s)).To(Equal(now))
	})

	It("does nothing when it is empty", func(ctx SpecContext) {
		Expect(newStore().Txn().Commit(ctx)).To(BeZero())
	})

	It("allows one Commit only", func(ctx SpecContext) {
		s := newStore()
		t := s.Txn()
		t.Create(newSite("a"))
		Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
		_, err := t.Commit(ctx)
		Expect(err).To(MatchError(ContainSubstring("committed already")))
	})

	It("keeps the revision of an object that it does not change", func(ctx SpecContext) {
		s := newStore()
		same := created(ctx, s, "same")
		rev := same.ResourceVersion
		t := s.Txn()
		t.Update(same)
		t.Create(newSite("a"))
		Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
		Expect(same.ResourceVersion).To(Equal(rev))
		Expect(get(ctx, s, "same").ResourceVersion).To(Equal(rev))
	})

	Describe("that joins two writes of one object", func() {
		// changed has a change in each part.
		changed := func(site *Site, value string) *Site {
			c := site.DeepCopy()
			c.Spec.Image, c.Status.Note, c.Labels = value, value, map[string]string{"from": value}
			return c
		}

		DescribeTable("writes the spec of one Go object and the status of the other", func(ctx SpecContext, statusFirst bool) {
			s := newStore()
			site := created(ctx, s, "a")
			main, status := changed(site, "main"), changed(site, "status")
			t := s.Txn()
			if statusFirst {
				t.UpdateStatus(status)
				t.Update(main)
			} else {
				t.Update(main)
				t.UpdateStatus(status)
			}
			Expect(t.Len()).To(Equal(1))
			Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
			there := get(ctx, s, "a")
			Expect(there.Spec.Image).To(Equal("main"))
			Expect(there.Labels).To(HaveKeyWithValue("from", "main"))
			Expect(there.Status.Note).To(Equal("status"))
			Expect(main).To(Equal(there))
			Expect(status).To(Equal(there))
			main.Labels["from"] = "nowhere"
			Expect(status.Labels).To(HaveKeyWithValue("from", "main"))
		},
			Entry("Update first", false),
			Entry("UpdateStatus first", true),
		)

		It("writes both parts of one Go object", func(ctx SpecContext) {
			s := newStore()
			site := changed(created(ctx, s, "a"), "x")
			t := s.Txn()
			t.Update(site)
			t.UpdateStatus(site)
			Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
			Expect(get(ctx, s, "a")).To(Equal(site))
			Expect(site.Status.Note).To(Equal("x"))
		})

		It("writes the latest state of a Go object that is passed again", func(ctx SpecContext) {
			s := newStore()
			site, fresh := created(ctx, s, "a"), newSite("b")
			t := s.Txn()
			t.Create(fresh)
			for i := range 3 {
				value := fmt.Sprint(i)
				site.Labels, site.Status.Note = map[string]string{"from": value}, value
				fresh.Labels, fresh.Status.Note = site.Labels, value
				for _, obj := range []*Site{site, fresh} {
					t.Update(obj)
					t.UpdateStatus(obj)
				}
			}
			Expect(t.Len()).To(Equal(2))
			Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
			for name, obj := range map[string]*Site{"a": site, "b": fresh} {
				there := get(ctx, s, name)
				Expect(there).To(Equal(obj))
				Expect(there.Labels).To(HaveKeyWithValue("from", "2"))
				Expect(there.Status.Note).To(Equal("2"))
			}
		})

		It("keeps the changes that each makes to the annotations", func(ctx SpecContext) {
			s := newStore()
			site := created(ctx, s, "a", func(s *Site) { s.Annotations = map[string]string{"keep": "1", "go": "1", "move": "1"} })
			main, status := site.DeepCopy(), site.DeepCopy()
			main.Annotations["main"] = "1"
			delete(status.Annotations, "go")
			status.Annotations["move"] = "2"
			t := s.Txn()
			t.Update(main)
			t.UpdateStatus(status)
			Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
			Expect(get(ctx, s, "a").Annotations).To(Equal(map[string]string{"keep": "1", "main": "1", "move": "2"}))
		})

		It("creates an object with a status", func(ctx SpecContext) {
			s := newStore()
			main, status := changed(newSite("a"), "main"), changed(newSite("a"), "status")
			t := s.Txn()
			t.Create(main)
			t.UpdateStatus(status)
			Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
			there := get(ctx, s, "a")
			Expect(there.Spec.Image).To(Equal("main"))
			Expect(there.Status.Note).To(Equal("status"))
			Expect(status.UID).To(Equal(main.UID))
		})

		DescribeTable("refuses writes that cannot be joined", func(ctx SpecContext, add func(t *store.Txn, site, other *Site)) {
			s := newStore()
			site := created(ctx, s, "a")
			now := revision(ctx, s)
			t := s.Txn()
			add(t, site, changed(site, "x"))
			_, err := t.Commit(ctx)
			Expect(err).To(MatchError(And(ContainSubstring("already part of the transaction"), ContainSubstring(siteKey(s, "a")))))
			Expect(revision(ctx, s)).To(Equal(now))
		},
			Entry("two updates", func(t *store.Txn, a, b *Site) { t.Update(a); t.Update(b) }),
			Entry("an update of one object, again after one of another", func(t *store.Txn, a, b *Site) { t.Update(a); t.UpdateStatus(b); t.UpdateStatus(a) }),
			Entry("two status updates", func(t *store.Txn, a, b *Site) { t.UpdateStatus(a); t.UpdateStatus(b) }),
			Entry("three", func(t *store.Txn, a, b *Site) { t.Update(a); t.UpdateStatus(a); t.Update(b) }),
			Entry("create and update", func(t *store.Txn, a, b *Site) {
				a.ResourceVersion, b.ResourceVersion = "", ""
				t.Create(a)
				t.Update(b)
			}),
			Entry("create twice", func(t *store.Txn, a, _ *Site) { a.ResourceVersion = ""; t.Create(a); t.Create(a) }),
			Entry("update and delete", func(t *store.Txn, a, b *Site) { t.Update(a); t.Delete(b, store.DeleteOptions{}) }),
			Entry("delete and update", func(t *store.Txn, a, b *Site) { t.Delete(a, store.DeleteOptions{}); t.Update(b) }),
			Entry("check and create", func(t *store.Txn, a, b *Site) { t.Unchanged(a); b.ResourceVersion = ""; t.Create(b) }),
			Entry("absence and update", func(t *store.Txn, a, b *Site) { t.Absent(a); t.Update(b) }),
			Entry("absence and presence", func(t *store.Txn, a, b *Site) { t.Unchanged(a); t.Absent(b) }),
			Entry("at two revisions", func(t *store.Txn, a, b *Site) { b.ResourceVersion = "1"; t.Update(a); t.UpdateStatus(b) }),
		)
	})

	It("reports the first argument that is wrong", func(ctx SpecContext) {
		t := newStore().Txn()
		t.Create(newSite(".."))
		t.Create(newSite("a/b"))
		_, err := t.Commit(ctx)
		Expect(err).To(MatchError(ContainSubstring(`".."`)))
	})

	Describe("at etcd's limits", func() {
		many := func(s *store.Store, n int) *store.Txn {
			t := s.Txn()
			for i := range n {
				t.Update(newSite(fmt.Sprintf("a%d", i)))
			}
			return t
		}

		It("accepts as many objects as etcd does", func(ctx SpecContext) {
			s := newStore()
			t := s.Txn()
			for i := range store.MaxTxnOps {
				t.Create(newSite(fmt.Sprintf("a%d", i)))
			}
			Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
			t = many(s, store.MaxTxnOps)
			Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
		})

		It("refuses more before it asks etcd", func(ctx SpecContext) {
			w := &wire{}
			s := newStoreOn(newClient(w.tap))
			Expect(w.during(func() {
				_, err := many(s, store.MaxTxnOps+1).Commit(ctx)
				Expect(err).To(MatchError(apierrors.IsRequestEntityTooLargeError, "RequestEntityTooLarge"))
				Expect(err).To(MatchError(ContainSubstring("it writes 129 objects, checks 0 others and 0 ranges, and has 0 fences: 129 operations, but etcd accepts 128")))
				_, err = many(s.WithFences(store.Fence{Key: "x", CreateRevision: 1}), store.MaxTxnOps).Commit(ctx)
				Expect(err).To(MatchError(apierrors.IsRequestEntityTooLargeError, "RequestEntityTooLarge"))
			})).To(BeEmpty())
		})

		It("refuses too many bytes before it sends them", func(ctx SpecContext) {
			w := &wire{}
			s := newStoreOn(newClient(w.tap))
			Expect(w.during(func() {
				t := s.Txn()
				for i := range 4 {
					site := newSite(fmt.Sprintf("a%d", i))
					site.Spec.Image = strings.Repeat("x", store.MaxRequestBytes/4)
					t.Create(site)
				}
				_, err := t.Commit(ctx)
				Expect(err).To(MatchError(apierrors.IsRequestEntityTooLargeError, "RequestEntityTooLarge"))
			})).To(BeEmpty())
		})
	})
})
