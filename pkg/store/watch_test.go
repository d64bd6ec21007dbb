package store_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/connectivity"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

type event = store.Event[*Site]

// watching starts a watch, and returns a function that returns its next element.
func watching(ctx context.Context, s *store.Store, o store.WatchOptions) func() (event, error) {
	next, stop := iter.Pull2(store.Watch[*Site](ctx, s, o))
	DeferCleanup(stop)
	return func() (event, error) {
		GinkgoHelper()
		e, err, ok := next()
		Expect(ok).To(BeTrue(), "the watch ended")
		return e, err
	}
}

// brief formats the parts of an event that most specs check.
func brief(e event, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	if e.Object == nil {
		return string(e.Type)
	}
	return fmt.Sprintf("%s %s/%s", e.Type, e.Object.Namespace, e.Object.Name)
}

// expectUnknownDeletion expects a Deleted that shows nothing of the object but its
// name.
func expectUnknownDeletion(e event, name string, rev int64) {
	GinkgoHelper()
	Expect(brief(e, nil)).To(Equal("DELETED default/" + name))
	Expect(e.OldUnknown).To(BeTrue())
	Expect(e.Revision).To(Equal(rev))
	Expect(e.Size).To(BeZero())
	Expect(e.Object.ObjectMeta).To(Equal(metav1.ObjectMeta{
		Namespace: "default", Name: name, ResourceVersion: store.FormatRevision(rev),
	}))
	Expect(e.Object.Spec).To(BeZero())
}

var _ = Describe("Watch", func() {
	change := func(ctx SpecContext, s *store.Store, site *Site, change func(*Site)) {
		GinkgoHelper()
		change(site)
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
	}

	It("yields every change from a revision on", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "before")
		from := revision(ctx, s) + 1
		site := created(ctx, s, "a")
		first := site.DeepCopy()
		change(ctx, s, site, func(s *Site) { s.Spec.Image = "x" })
		second := site.DeepCopy()
		rev, err := s.Delete(ctx, site, store.DeleteOptions{})
		Expect(err).NotTo(HaveOccurred())

		next := watching(ctx, s, store.WatchOptions{From: from})
		e := must(next())
		Expect(e.Size).To(BeNumerically(">", 100))
		Expect(e).To(Equal(event{Type: store.Added, Object: first, Revision: from, Key: siteKey(s, "a"), Size: e.Size}))
		e = must(next())
		Expect(e.Size).To(Equal(len(rawAt(ctx, siteKey(s, "a"), from+1))))
		Expect(e).To(Equal(event{Type: store.Modified, Object: second, Old: first, Revision: from + 1, Key: siteKey(s, "a"), Size: e.Size}))
		e = must(next())
		Expect(e.Type).To(Equal(store.Deleted))
		Expect(e.Revision).To(Equal(rev))
		Expect(e.Object).To(Equal(site), "the last object, with the deletion's revision")
		created(ctx, s, "live")
		Expect(brief(next())).To(Equal("ADDED default/live"))
	})

	It("continues a list without a gap", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		list := must(store.List[*Site](ctx, s, store.ListOptions{}))
		created(ctx, s, "b")
		next := watching(ctx, s, store.WatchOptions{From: list.Revision + 1})
		Expect(brief(next())).To(Equal("ADDED default/b"))
	})

	It("yields the changes of a transaction with one revision", func(ctx SpecContext) {
		s := newStore()
		t := s.Txn()
		t.Create(newSite("a"))
		t.Create(newSite("b"))
		rev, err := t.Commit(ctx)
		Expect(err).NotTo(HaveOccurred())
		next := watching(ctx, s, store.WatchOptions{From: rev})
		Expect(must(next()).Revision).To(Equal(rev))
		Expect(must(next()).Revision).To(Equal(rev))
	})

	It("does not wait for a revision that etcd has not reached", func(ctx SpecContext) {
		s := newStore()
		_, err := watching(ctx, s, store.WatchOptions{From: revision(ctx, s) + 1000})()
		Expect(err).To(MatchError(apierrors.IsResourceExpired, "ResourceExpired"))
		Expect(err).To(MatchError(ContainSubstring("too large resource version")))
		var compacted *etcd.CompactedError
		Expect(errors.As(err, &compacted)).To(BeFalse())
	})

	It("yields only changes in its namespace", func(ctx SpecContext) {
		s := newStore()
		from := revision(ctx, s) + 1
		for _, namespace := range []string{"other", "default-2", "default"} {
			site := &Site{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "a"}}
			Expect(s.Create(ctx, site)).Error().NotTo(HaveOccurred())
		}
		next := watching(ctx, s, store.WatchOptions{From: from, Namespace: "default"})
		Expect(brief(next())).To(Equal("ADDED default/a"))
	})

	It("yields ADDED when an object starts to match, and DELETED when it stops", func(ctx SpecContext) {
		s := newStore()
		from := revision(ctx, s) + 1
		site := created(ctx, s, "a")
		change(ctx, s, site, labelled("x", "1"))
		change(ctx, s, site, func(s *Site) { s.Spec.Image = "y" })
		matched := site.DeepCopy()
		change(ctx, s, site, labelled("x", "2"))
		Expect(s.Delete(ctx, newSite("a"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		created(ctx, s, "end", labelled("x", "1"))

		next := watching(ctx, s, store.WatchOptions{From: from, Selector: labels.SelectorFromSet(labels.Set{"x": "1"})})
		e := must(next())
		Expect(e.Type).To(Equal(store.Added))
		Expect(e.Old).To(BeNil())
		Expect(e.Object.Labels).To(HaveKeyWithValue("x", "1"))
		Expect(must(next()).Type).To(Equal(store.Modified))
		e = must(next())
		Expect(e.Type).To(Equal(store.Deleted))
		Expect(e.Object.Labels).To(Equal(matched.Labels), "as it was when it matched")
		Expect(e.Object.ResourceVersion).To(Equal(store.FormatRevision(e.Revision)))
		Expect(e.Object.ResourceVersion).To(Equal(site.ResourceVersion))
		Expect(brief(next())).To(Equal("ADDED default/end"))
	})

	It("refuses options that are wrong", func(ctx SpecContext) {
		s := newStore()
		for _, o := range []store.WatchOptions{{}, {From: -1}, {From: 1, Namespace: "a/b"}} {
			n := 0
			for _, err := range store.Watch[*Site](ctx, s, o) {
				Expect(err).To(HaveOccurred())
				n++
			}
			Expect(n).To(Equal(1))
		}
	})

	It("reports the oldest revision left if changes are compacted", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		from := revision(ctx, s)
		created(ctx, s, "b")
		created(ctx, s, "c")
		compact(ctx, from+2)
		next := watching(ctx, s, store.WatchOptions{From: from})
		_, err := next()
		Expect(err).To(MatchError(apierrors.IsResourceExpired, "ResourceExpired"))
		Expect(errors.Is(err, rpctypes.ErrCompacted)).To(BeTrue())
		var compacted *etcd.CompactedError
		Expect(asError(err, &compacted)).To(BeTrue())
		Expect(compacted.Revision).To(Equal(from + 2))
	})

	Describe("of values that cannot be decoded", func() {
		It("reports them and continues", func(ctx SpecContext) {
			s := newStore()
			from := put(ctx, siteKey(s, "a"), "garbage")
			created(ctx, s, "b")
			next := watching(ctx, s, store.WatchOptions{From: from})
			_, err := next()
			var undecodable *store.UndecodableError
			Expect(asError(err, &undecodable)).To(BeTrue())
			Expect(undecodable.Keys).To(ConsistOf(siteKey(s, "a")))
			Expect(brief(next())).To(Equal("ADDED default/b"))
		})

		It("yields the object that replaces them", func(ctx SpecContext) {
			s := newStore()
			created(ctx, s, "a")
			good := raw(ctx, siteKey(s, "a"))
			from := put(ctx, siteKey(s, "a"), "garbage")
			put(ctx, siteKey(s, "a"), good)
			next := watching(ctx, s, store.WatchOptions{From: from})
			Expect(brief(next())).To(HavePrefix("error"))
			e := must(next())
			Expect(e.Type).To(Equal(store.Modified))
			Expect(e.Old).To(BeNil())
		})

		DescribeTable("yields their deletion", func(ctx SpecContext, selector labels.Selector) {
			s := newStore()
			created(ctx, s, "a")
			from := put(ctx, siteKey(s, "a"), "garbage")
			rev := must(server.Client().Delete(ctx, siteKey(s, "a"))).Header.Revision
			next := watching(ctx, s, store.WatchOptions{From: from, Selector: selector})
			Expect(brief(next())).To(HavePrefix("error"))
			expectUnknownDeletion(must(next()), "a", rev)
		},
			Entry("whatever they were", nil),
			Entry("even if a selector may not have matched", labels.SelectorFromSet(labels.Set{"x": "1"})),
		)

		It("says that the object that replaces them may never have matched", func(ctx SpecContext) {
			s := newStore()
			created(ctx, s, "a", labelled("x", "2"))
			good := raw(ctx, siteKey(s, "a"))
			from := put(ctx, siteKey(s, "a"), "garbage")
			rev := put(ctx, siteKey(s, "a"), good)
			next := watching(ctx, s, store.WatchOptions{From: from, Selector: labels.SelectorFromSet(labels.Set{"x": "1"})})
			Expect(brief(next())).To(HavePrefix("error"))
			expectUnknownDeletion(must(next()), "a", rev)
		})

		It("skips the deletion of a key that never held an object", func(ctx SpecContext) {
			s := newStore()
			from := put(ctx, siteKey(s, "a/b"), "garbage")
			Expect(server.Client().Delete(ctx, siteKey(s, "a/b"))).Error().NotTo(HaveOccurred())
			created(ctx, s, "c")
			next := watching(ctx, s, store.WatchOptions{From: from})
			Expect(brief(next())).To(HavePrefix("error"))
			Expect(brief(next())).To(Equal("ADDED default/c"))
		})
	})

	Describe("of objects whose last state is compacted", func() {
		It("yields a change without the old object", func(ctx SpecContext) {
			s := newStore()
			site := created(ctx, s, "a")
			change(ctx, s, site, func(s *Site) { s.Spec.Image = "x" })
			rev := must(store.ParseRevision(site.ResourceVersion))
			compact(ctx, rev)
			e := must(watching(ctx, s, store.WatchOptions{From: rev})())
			Expect(e.Type).To(Equal(store.Modified))
			Expect(e.Old).To(BeNil())
			Expect(e.OldUnknown).To(BeTrue())
			Expect(e.Object).To(Equal(site))
			Expect(e.Revision).To(Equal(rev))
		})

		It("yields the end of a possible match", func(ctx SpecContext) {
			s := newStore()
			site := created(ctx, s, "a", labelled("x", "1"))
			change(ctx, s, site, labelled("x", "2"))
			rev := must(store.ParseRevision(site.ResourceVersion))
			compact(ctx, rev)
			next := watching(ctx, s, store.WatchOptions{From: rev, Selector: labels.SelectorFromSet(labels.Set{"x": "1"})})
			expectUnknownDeletion(must(next()), "a", rev)
		})

		It("says that an object that does not match may never have matched", func(ctx SpecContext) {
			s := newStore()
			never := created(ctx, s, "never", labelled("x", "2"))
			other := created(ctx, s, "other", labelled("x", "2"))
			t := s.Txn()
			t.Update(never)
			t.Delete(other, store.DeleteOptions{})
			never.Labels = map[string]string{"x": "3"}
			rev := must(t.Commit(ctx))
			compact(ctx, rev)
			change(ctx, s, never, labelled("x", "4"))
			created(ctx, s, "end", labelled("x", "1"))
			next := watching(ctx, s, store.WatchOptions{From: rev, Selector: labels.SelectorFromSet(labels.Set{"x": "1"})})
			expectUnknownDeletion(must(next()), "never", rev)
			expectUnknownDeletion(must(next()), "other", rev)
			e := must(next())
			Expect(brief(e, nil)).To(Equal("ADDED default/end"))
			Expect(e.OldUnknown).To(BeFalse())
		})
	})

	Describe("ends", func() {
		It("when its context is done", func(ctx SpecContext) {
			s := newStore()
			bounded, cancel := context.WithCancel(ctx)
			created(ctx, s, "a")
			next, stop := iter.Pull2(store.Watch[*Site](bounded, s, store.WatchOptions{From: revision(ctx, s)}))
			defer stop()
			e, err, _ := next()
			Expect(brief(e, err)).To(Equal("ADDED default/a"))
			cancel()
			_, err, ok := next()
			Expect(ok).To(BeTrue())
			Expect(errors.Is(err, context.Canceled)).To(BeTrue())
			_, _, ok = next()
			Expect(ok).To(BeFalse())
		})

		It("when its context was done before", func(ctx SpecContext) {
			bounded, cancel := context.WithCancel(ctx)
			cancel()
			for range 20 {
				_, err := watching(bounded, newStore(), store.WatchOptions{From: 1 << 40})()
				Expect(errors.Is(err, context.Canceled)).To(BeTrue(), fmt.Sprint(err))
			}
		})

		It("when its context is done while there is no connection", func(ctx SpecContext) {
			link, err := server.Member(0).NewLink()
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(link.Close)
			client := newClient(to(link))
			s := newStoreOn(client)
			revision(ctx, s)
			// Everything started for the watch must end, although the client is
			// still open.
			etcdtest.VerifyNoLeaks(GinkgoTB())
			link.Cut()
			Eventually(client.ActiveConnection().GetState).ShouldNot(Equal(connectivity.Ready))
			bounded, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			_, err = watching(bounded, s, store.WatchOptions{From: 1})()
			Expect(errors.Is(err, context.DeadlineExceeded)).To(BeTrue())
			link.Heal()
			revision(ctx, s)
		})

		It("when etcd was wiped, once the connection breaks", func(ctx SpecContext) {
			cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
			s := newStoreOn(cluster.Client())
			site := created(ctx, s, "a")
			from := must(store.ParseRevision(site.ResourceVersion))
			next := watching(ctx, s, store.WatchOptions{From: from})
			Expect(brief(next())).To(Equal("ADDED default/a"))
			Expect(cluster.Wipe(ctx)).To(Succeed())
			_, err := next()
			Expect(err).To(MatchError(apierrors.IsResourceExpired, "ResourceExpired"))
		})

		It("when the consumer breaks off", func(ctx SpecContext) {
			s := newStore()
			created(ctx, s, "a")
			for e, err := range store.Watch[*Site](ctx, s, store.WatchOptions{From: revision(ctx, s)}) {
				Expect(brief(e, err)).To(Equal("ADDED default/a"))
				break
			}
		})

		It("when the client is closed", func(ctx SpecContext) {
			client := newClient()
			s := newStoreOn(client)
			from := revision(ctx, s) + 1
			created(ctx, s, "a")
			next := watching(ctx, s, store.WatchOptions{From: from})
			Expect(brief(next())).To(Equal("ADDED default/a"))
			Expect(client.Close()).To(Succeed())
			_, err := next()
			Expect(err).To(MatchError(MatchRegexp("client.* clos(ed|ing)")))
		})
	})

	It("survives cut connections without a gap or a repeat", func(ctx SpecContext) {
		link, err := server.Member(0).NewLink()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(link.Close)
		s := newStore()
		watched := newStoreOn(newClient(to(link)), sharing(s))
		from := revision(ctx, s) + 1

		const changes = 300
		wrote := make(chan []int64, 1)
		go func() {
			defer GinkgoRecover()
			var revs []int64
			for range changes {
				_, rev, err := store.Mutate(ctx, s, store.Key{Namespace: "default", Name: "a"}, func(s *Site) error {
					s.Spec.Replicas++
					return nil
				})
				if apierrors.IsNotFound(err) {
					rev, err = s.Create(ctx, newSite("a"))
				}
				Expect(err).NotTo(HaveOccurred())
				revs = append(revs, rev)
			}
			wrote <- revs
		}()

		next := watching(ctx, watched, store.WatchOptions{From: from})
		var got []int64
		for len(got) < changes {
			got = append(got, must(next()).Revision)
			if len(got)%50 == 1 {
				link.Cut()
				link.Heal()
			}
		}
		Expect(got).To(Equal(<-wrote))
		Expect(slices.IsSorted(got)).To(BeTrue())
	})

	It("is opened again after a partition for which etcd ended it", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{Members: 3})
		alone, err := cluster.NewClient(etcdtest.ClientOptions{Endpoints: []string{cluster.Member(0).Endpoint()}})
		Expect(err).NotTo(HaveOccurred())
		others, err := cluster.NewClient(etcdtest.ClientOptions{Endpoints: []string{cluster.Member(1).Endpoint(), cluster.Member(2).Endpoint()}})
		Expect(err).NotTo(HaveOccurred())
		reopened := make(chan string, 100)
		watched := newStoreOn(alone, func(o *store.Options) {
			o.Log = funcr.New(func(_, args string) { reopened <- args }, funcr.Options{Verbosity: 1})
		})
		s := newStoreOn(others, sharing(watched))
		from := revision(ctx, s) + 1
		created(ctx, s, "before")

		next := watching(ctx, watched, store.WatchOptions{From: from})
		Expect(brief(next())).To(Equal("ADDED default/before"))
		cluster.Isolate(0)
		go func() {
			defer GinkgoRecover()
			defer cluster.Heal()
			Expect(<-reopened).To(ContainSubstring("no leader"))
			Eventually(func() error {
				_, err := s.Create(ctx, newSite("during"))
				return err
			}).Should(Or(Succeed(), MatchError(apierrors.IsAlreadyExists, "AlreadyExists")))
		}()
		Expect(brief(next())).To(Equal("ADDED default/during"))
	})
})

var _ = Describe("A watch of some objects", func() {
	It("selects by fields, and says when an object starts and stops to match", func(ctx SpecContext) {
		s := newStore(byImage)
		from := revision(ctx, s) + 1
		next := watching(ctx, s, store.WatchOptions{From: from, Fields: fields.ParseSelectorOrDie("metadata.name!=b,spec.image=x")})
		a := created(ctx, s, "a", func(s *Site) { s.Spec.Image = "w" })
		created(ctx, s, "b", func(s *Site) { s.Spec.Image = "x" })
		a.Spec.Image = "x"
		Expect(s.Update(ctx, a)).Error().NotTo(HaveOccurred())
		Expect(brief(next())).To(Equal("ADDED default/a"))
		a.Spec.Image = "y"
		Expect(s.Update(ctx, a)).Error().NotTo(HaveOccurred())
		Expect(brief(next())).To(Equal("DELETED default/a"))
	})

	It("can be of one object alone", func(ctx SpecContext) {
		s := newStore()
		next := watching(ctx, s, store.WatchOptions{From: revision(ctx, s) + 1, Namespace: "default", Name: "a"})
		created(ctx, s, "ab")
		created(ctx, s, "a")
		Expect(brief(next())).To(Equal("ADDED default/a"))
	})

	DescribeTable("refuses options that cannot be", func(ctx SpecContext, o store.WatchOptions, message string) {
		o.From = 1
		_, err := watching(ctx, newStore(), o)()
		Expect(err).To(And(MatchError(apierrors.IsBadRequest, "BadRequest"), MatchError(ContainSubstring(message))))
	},
		Entry("an unknown field", store.WatchOptions{Fields: fields.ParseSelectorOrDie("spec.nothing=1")}, "spec.nothing"),
		Entry("a name without its namespace", store.WatchOptions{Name: "a"}, "namespace"),
		Entry("a name that cannot be", store.WatchOptions{Namespace: "default", Name: "a/b"}, "a/b"),
	)
})
