package store_test

import (
	"context"
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A rule across objects", func() {
	// between is called after the rule has read, before the write is sent.
	var between func()
	var calls int
	BeforeEach(func() { between, calls = func() {}, 0 })

	region := func(name string) *Region { return &Region{ObjectMeta: metav1.ObjectMeta{Name: name}} }

	// inRegion wants a region of the name in a site's image field.
	inRegion := func(o *store.Options) {
		k := siteKind()
		k.ValidateAcross = func(ctx context.Context, r *store.Reader, site, old *Site) (field.ErrorList, error) {
			calls++
			defer between()
			subject := site
			if site == nil {
				subject = old
			}
			there, err := store.Read[*Region](ctx, r, store.Key{Name: subject.Spec.Image})
			switch {
			case site == nil && err == nil && there.Labels["keep"] == "true":
				return field.ErrorList{field.Forbidden(field.NewPath("metadata"), "the region keeps its sites")}, nil
			case site == nil || err == nil:
				return nil, nil
			case apierrors.IsNotFound(err):
				return field.ErrorList{field.NotFound(field.NewPath("spec", "image"), site.Spec.Image)}, nil
			}
			return nil, err
		}
		o.Kinds = []store.AnyKind{k, regionKind()}
	}
	in := func(name string) func(*Site) { return func(s *Site) { s.Spec.Image = name } }

	It("refuses and accepts by what it reads", func(ctx SpecContext) {
		s := newStore(inRegion)
		site := newSite("a")
		site.Spec.Image = "north"
		_, err := s.Create(ctx, site)
		Expect(err).To(MatchError(apierrors.IsInvalid, "Invalid"))
		Expect(err).To(MatchError(ContainSubstring("spec.image")))
		Expect(s.Create(ctx, region("north"))).Error().NotTo(HaveOccurred())
		Expect(s.Create(ctx, site)).Error().NotTo(HaveOccurred())
		site.Spec.Image = "south"
		Expect(s.Update(ctx, site)).Error().To(MatchError(apierrors.IsInvalid, "Invalid"))
	})

	It("holds when what it has read goes away meanwhile", func(ctx SpecContext) {
		s := newStore(inRegion)
		Expect(s.Create(ctx, region("north"))).Error().NotTo(HaveOccurred())
		between = func() {
			between = func() {}
			Expect(s.Delete(ctx, region("north"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		}
		site := newSite("a")
		in("north")(site)
		Expect(s.Create(ctx, site)).Error().To(MatchError(apierrors.IsInvalid, "Invalid"))
		Expect(calls).To(Equal(2))
		_, err := store.Get[*Site](ctx, s, store.KeyOf(site))
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
	})

	It("holds when what was missing appears meanwhile", func(ctx SpecContext) {
		s := newStore(inRegion)
		Expect(s.Create(ctx, region("north"))).Error().NotTo(HaveOccurred())
		site := created(ctx, s, "a", in("north"))
		between = func() {
			between = func() {}
			_, _, err := store.Mutate(ctx, s, store.Key{Name: "north"}, func(r *Region) error {
				r.Labels = map[string]string{"keep": "true"}
				return nil
			})
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(s.Delete(ctx, site.DeepCopy(), store.DeleteOptions{})).Error().To(MatchError(apierrors.IsInvalid, "Invalid"))
		Expect(get(ctx, s, "a")).To(Equal(site))
	})

	It("sees what the same transaction writes", func(ctx SpecContext) {
		s := newStore(inRegion)
		site := newSite("a")
		in("north")(site)
		t := s.Txn()
		t.Create(site)
		t.Create(region("north"))
		Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
		t = s.Txn()
		other := newSite("b")
		in("north")(other)
		t.Delete(region("north"), store.DeleteOptions{})
		t.Create(other)
		Expect(t.Commit(ctx)).Error().To(MatchError(apierrors.IsInvalid, "Invalid"))
	})

	It("sees what a transaction writes that may be split, and objects with generated names", func(ctx SpecContext) {
		s := newStore(inRegion)
		anchor := created(ctx, newStore(sharing(s)), "anchor")
		site := &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "site-"}}
		in("north")(site)
		t := s.Txn()
		t.Create(region("north"))
		t.Create(site)
		t.AllowSplit(anchor)
		Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
	})

	It("does not run for status and metadata, and locks nothing", func(ctx SpecContext) {
		s := newStore(inRegion)
		before := newStore(sharing(s))
		site := created(ctx, before, "a", in("nowhere"), finalizer("example.com/f"))
		site.Status.Ready = 3
		Expect(s.UpdateStatus(ctx, site)).Error().NotTo(HaveOccurred())
		site.Labels = map[string]string{"a": "b"}
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(calls).To(BeZero())
		Expect(s.Delete(ctx, site, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		Expect(calls).To(Equal(1))
		site.Finalizers = nil
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(calls).To(Equal(1))
	})

	It("reads from etcd when a cached object breaks it", func(ctx SpecContext) {
		s := newStore(inRegion)
		Expect(s.Create(ctx, region("north"))).Error().NotTo(HaveOccurred())
		stale := created(ctx, newStore(sharing(s)), "a", in("nowhere"))
		now := stale.DeepCopy()
		in("north")(now)
		Expect(s.Update(ctx, now)).Error().NotTo(HaveOccurred())
		cached := s.WithCache(cache{siteKey(s, "a"): stale})
		change := newSite("a")
		in("north")(change)
		change.Spec.Replicas = 4
		Expect(cached.Update(ctx, change)).Error().NotTo(HaveOccurred())
	})

	It("fails the write with an error of its own, and by its context", func(ctx SpecContext) {
		down := errors.New("the quota service is down")
		s := newStore(func(o *store.Options) {
			k := siteKind()
			k.ValidateAcross = func(ctx context.Context, r *store.Reader, site, old *Site) (field.ErrorList, error) {
				if site.Name == "b" {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return nil, down
			}
			o.Kinds = []store.AnyKind{k}
		})
		Expect(s.Create(ctx, newSite("a"))).Error().To(MatchError(down))
		bounded, cancel := context.WithCancel(ctx)
		cancel()
		Expect(s.Create(bounded, newSite("b"))).Error().To(MatchError(context.Canceled))
	})
})
