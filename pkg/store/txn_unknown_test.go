package store_test

import (
	"context"
	"errors"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A write", func() {
	var (
		w       *wire
		s, sure *store.Store // through the wire, and not
	)
	BeforeEach(func() {
		w = &wire{}
		s = newStoreOn(newClient(w.tap))
		sure = newStore(sharing(s))
	})
	// lost executes a request and loses the answer.
	lost := func(call func() error) error {
		if err := call(); err != nil {
			return err
		}
		return status.Error(codes.Unavailable, "error reading from server: EOF")
	}
	noSpace := rpctypes.ErrGRPCNoSpace

	Describe("whose answer is lost", func() {
		It("is recognised if it created an object", func(ctx SpecContext) {
			w.onTxn(1, lost)
			site := newSite("a")
			rev, err := s.Create(ctx, site)
			Expect(err).NotTo(HaveOccurred())
			Expect(get(ctx, sure, "a")).To(Equal(site))
			Expect(site.ResourceVersion).To(Equal(store.FormatRevision(rev)))
		})

		It("is recognised although another writer wrote after it", func(ctx SpecContext) {
			w.onTxn(1, func(call func() error) error {
				err := lost(call)
				_, _, mutated := store.Mutate(ctx, sure, store.Key{Namespace: "default", Name: "a"}, func(s *Site) error {
					s.Spec.Image = "theirs"
					return nil
				})
				Expect(mutated).NotTo(HaveOccurred())
				return err
			})
			site := newSite("a")
			rev, err := s.Create(ctx, site)
			Expect(err).NotTo(HaveOccurred())
			Expect(rev).To(BeNumerically("<", revision(ctx, s)))
			_, err = s.Update(ctx, site)
			Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
		})

		It("is recognised, with all its writes, by one object that it created", func(ctx SpecContext) {
			old := created(ctx, sure, "old")
			old.Spec.Image = "x"
			w.onTxn(2, lost)
			t := s.Txn()
			t.Update(old)
			t.Create(newSite("a"))
			rev, err := t.Commit(ctx)
			Expect(err).NotTo(HaveOccurred())
			Expect(old.ResourceVersion).To(Equal(store.FormatRevision(rev)))
			Expect(get(ctx, sure, "old")).To(Equal(old))
		})

		It("is unknown otherwise, and leaves the caller's object alone", func(ctx SpecContext) {
			site := created(ctx, sure, "a")
			site.Spec.Image = "x"
			before := site.DeepCopy()
			gone := created(ctx, sure, "gone")
			write := func(add func(*store.Txn)) {
				GinkgoHelper()
				w.onTxn(2, lost)
				t := s.Txn()
				add(t)
				_, err := t.Commit(ctx)
				Expect(store.IsUnknownOutcome(err)).To(BeTrue())
				Expect(status.Code(err)).To(Equal(codes.Unavailable))
			}
			write(func(t *store.Txn) { t.Update(site) })
			Expect(site).To(Equal(before))
			Expect(get(ctx, sure, "a").Spec.Image).To(Equal("x"))
			write(func(t *store.Txn) { t.Delete(gone, store.DeleteOptions{}) })
		})

		// beaten has another writer come first, and the request get lost.
		beaten := func(ctx SpecContext) func(func() error) error {
			return func(func() error) error {
				_, _, err := store.Mutate(ctx, sure, store.Key{Namespace: "default", Name: "a"}, func(s *Site) error {
					s.Spec.Replicas++
					return nil
				})
				Expect(err).NotTo(HaveOccurred())
				return status.Error(codes.Unavailable, "error reading from server: EOF")
			}
		}

		It("is a Conflict if another writer was certainly first", func(ctx SpecContext) {
			site := created(ctx, sure, "a")
			site.Spec.Image = "x"
			w.onTxn(2, beaten(ctx))
			_, err := s.Update(ctx, site)
			Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
			Expect(get(ctx, sure, "a").Spec.Image).To(BeEmpty())
		})

		It("is retried on the state that another writer left, if it required no revision", func(ctx SpecContext) {
			site := created(ctx, sure, "a")
			site.Spec.Image, site.ResourceVersion = "x", ""
			w.onTxn(2, beaten(ctx))
			_, err := s.Update(ctx, site)
			Expect(err).NotTo(HaveOccurred())
			Expect(get(ctx, sure, "a").Spec.Image).To(Equal("x"))
		})

		It("is recognised if values are encrypted, since no two writers encrypt alike", func(ctx SpecContext) {
			s := newStoreOn(newClient(w.tap), keys("k"))
			site := created(ctx, s, "a")
			site.Spec.Image = "x"
			w.onTxn(2, lost)
			rev, err := s.Update(ctx, site)
			Expect(err).NotTo(HaveOccurred())
			Expect(site.ResourceVersion).To(Equal(store.FormatRevision(rev)))
			Expect(get(ctx, s, "a").Spec.Image).To(Equal("x"))
		})

		It("is unknown if another object has the name", func(ctx SpecContext) {
			w.onTxn(1, func(func() error) error {
				created(ctx, sure, "a")
				return status.Error(codes.Unavailable, "error reading from server: EOF")
			})
			_, err := s.Create(ctx, newSite("a"))
			Expect(store.IsUnknownOutcome(err)).To(BeTrue())
		})

		It("is unknown if the context ended before the answer", func(ctx SpecContext) {
			link, err := server.Member(0).NewLink()
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(link.Close)
			s := newStoreOn(newClient(to(link)))
			revision(ctx, s) // connects
			link.Freeze()
			defer link.Heal()
			bounded, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			_, err = s.Create(bounded, newSite("a"))
			Expect(store.IsUnknownOutcome(err)).To(BeTrue())
			Expect(errors.Is(err, context.DeadlineExceeded)).To(BeTrue())
		})
	})

	Describe("that fills etcd's space", func() {
		It("may have happened all the same", func(ctx SpecContext) {
			w.onTxn(1, func(call func() error) error {
				Expect(call()).To(Succeed())
				return noSpace
			})
			Expect(s.Create(ctx, newSite("a"))).Error().NotTo(HaveOccurred())
		})

		It("is known not to have happened if nothing has changed", func(ctx SpecContext) {
			w.onTxn(1, func(func() error) error { return noSpace })
			_, err := s.Create(ctx, newSite("a"))
			Expect(errors.Is(err, rpctypes.ErrNoSpace)).To(BeTrue())
			Expect(err).To(MatchError(ContainSubstring("out of space")))
			Expect(store.IsUnknownOutcome(err)).To(BeFalse())
		})

		It("is unknown if something has changed that it may have changed", func(ctx SpecContext) {
			site := created(ctx, sure, "a")
			c := cache{siteKey(s, "a"): get(ctx, sure, "a")}
			site.Spec.Image = "x"
			w.onTxn(1, func(call func() error) error {
				Expect(call()).To(Succeed())
				return noSpace
			})
			_, err := s.WithCache(c).Update(ctx, site)
			Expect(store.IsUnknownOutcome(err)).To(BeTrue())
			Expect(errors.Is(err, rpctypes.ErrNoSpace)).To(BeTrue())
		})
	})

	Describe("that certainly did not happen", func() {
		It("is not unknown if etcd refused it", func(ctx SpecContext) {
			w.onTxn(1, func(func() error) error { return rpctypes.ErrGRPCPermissionDenied })
			_, err := s.Create(ctx, newSite("a"))
			Expect(errors.Is(err, rpctypes.ErrPermissionDenied)).To(BeTrue())
			Expect(store.IsUnknownOutcome(err)).To(BeFalse())
		})

		It("is not unknown if only the read before it failed", func(ctx SpecContext) {
			created(ctx, sure, "a")
			w.onTxn(1, func(func() error) error { return rpctypes.ErrGRPCPermissionDenied })
			_, err := s.Delete(ctx, newSite("a"), store.DeleteOptions{})
			Expect(errors.Is(err, rpctypes.ErrPermissionDenied)).To(BeTrue())
			Expect(store.IsUnknownOutcome(err)).To(BeFalse())
		})

		DescribeTable("is retried if the answer to the read before it is lost", func(ctx SpecContext, answer func(call func() error) error) {
			created(ctx, sure, "a")
			w.onTxn(1, answer)
			Expect(s.Delete(ctx, newSite("a"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		},
			Entry("with the connection", lost),
			Entry("with the leader", func(func() error) error { return rpctypes.ErrGRPCLeaderChanged }),
		)

		It("is not unknown if it would have written nothing", func(ctx SpecContext) {
			site := created(ctx, sure, "a")
			w.onTxn(1, lost)
			_, err := s.WithCache(cache{siteKey(s, "a"): get(ctx, sure, "a")}).Update(ctx, site)
			Expect(err).To(HaveOccurred())
			Expect(store.IsUnknownOutcome(err)).To(BeFalse())
		})

		It("is not unknown if there was no connection to send it on", func(ctx SpecContext) {
			link, err := server.Member(0).NewLink()
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(link.Close)
			client := newClient(to(link))
			s := newStoreOn(client)
			revision(ctx, s) // connects
			link.Cut()
			Eventually(client.ActiveConnection().GetState).ShouldNot(Equal(connectivity.Ready))
			bounded, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			_, err = s.Create(bounded, newSite("a"))
			Expect(err).To(HaveOccurred())
			Expect(store.IsUnknownOutcome(err)).To(BeFalse(), err.Error())
		})

		It("is not unknown if there is no etcd", func(ctx SpecContext) {
			cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
			client, err := cluster.NewClient(etcdtest.ClientOptions{})
			Expect(err).NotTo(HaveOccurred())
			s := newStoreOn(client)
			revision(ctx, s)
			Expect(cluster.Member(0).Stop()).To(Succeed())
			Eventually(client.ActiveConnection().GetState).ShouldNot(Equal(connectivity.Ready))
			bounded, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			_, err = s.Create(bounded, newSite("a"))
			Expect(err).To(MatchError(ContainSubstring("no connection to etcd")))
			Expect(store.IsUnknownOutcome(err)).To(BeFalse(), err.Error())
		})

		It("is not unknown if the client is closed", func(ctx SpecContext) {
			client := newClient()
			s := newStoreOn(client)
			Expect(client.Close()).To(Succeed())
			_, err := s.Create(ctx, newSite("a"))
			Expect(err).To(MatchError(ContainSubstring("closed")))
			Expect(store.IsUnknownOutcome(err)).To(BeFalse())
		})
	})
})
