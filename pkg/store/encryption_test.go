package store_test

import (
	"context"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/store"
)

func refusePlaintext(o *store.Options) { o.RefusePlaintext = true }

var _ = Describe("RefusePlaintext", func() {
	var lax, s *store.Store
	var plain string // the value of site "a", not encrypted
	BeforeEach(func(ctx SpecContext) {
		lax = newStore(keys("alpha"))
		s = newStore(sharing(lax), keys("alpha"), refusePlaintext)
		open := newStore()
		created(ctx, open, "a", func(site *Site) { site.Spec.Image = "forged" })
		plain = raw(ctx, siteKey(open, "a"))
	})

	refused := MatchError(ContainSubstring("not encrypted"))
	uses := map[string]func(context.Context, *Site) error{
		"get": func(ctx context.Context, site *Site) error {
			_, err := store.Get[*Site](ctx, s, store.KeyOf(site))
			return err
		},
		"list": func(ctx context.Context, _ *Site) error {
			_, err := store.List[*Site](ctx, s, store.ListOptions{})
			return err
		},
		"update": func(ctx context.Context, site *Site) error {
			site.Spec.Replicas++
			_, err := s.Update(ctx, site)
			return err
		},
		"update of the status": func(ctx context.Context, site *Site) error {
			site.Status.Ready++
			_, err := s.UpdateStatus(ctx, site)
			return err
		},
		"update through a cache": func(ctx context.Context, site *Site) error {
			old := site.DeepCopy()
			site.Spec.Replicas++
			site.ResourceVersion = ""
			_, err := s.WithCache(cache{siteKey(s, "a"): old}).Update(ctx, site)
			return err
		},
		"mutate": func(ctx context.Context, site *Site) error {
			_, _, err := store.Mutate(ctx, s, store.KeyOf(site), func(*Site) error { return nil })
			return err
		},
		"delete": func(ctx context.Context, site *Site) error {
			_, err := s.Delete(ctx, site, store.DeleteOptions{})
			return err
		},
		"rewrite": func(ctx context.Context, _ *Site) error {
			n, err := store.Rewrite[*Site](ctx, s)
			Expect(n).To(BeZero())
			return err
		},
		"decoder of metadata": func(ctx context.Context, _ *Site) error {
			_, decode, err := s.Decoder(&Site{}, store.DecodeOptions{MetadataOnly: true})
			Expect(err).NotTo(HaveOccurred())
			_, err = decode(siteKey(s, "a"), []byte(plain), 1)
			return err
		},
	}
	for name, use := range uses {
		It("refuses a value that is not encrypted: "+name, func(ctx SpecContext) {
			site := created(ctx, s, "a")
			put(ctx, siteKey(s, "a"), plain)
			Expect(use(ctx, site)).To(refused)
			Expect(raw(ctx, siteKey(s, "a"))).To(Equal(plain))
		})
	}

	It("refuses it in a watch, which continues", func(ctx SpecContext) {
		from := revision(ctx, s)
		put(ctx, siteKey(s, "a"), plain)
		created(ctx, s, "b")
		var errs []error
		for event, err := range store.Watch[*Site](ctx, s, store.WatchOptions{From: from + 1}) {
			if err != nil {
				errs = append(errs, err)
				continue
			}
			Expect(event.Object.Name).To(Equal("b"))
			break
		}
		Expect(errs).To(ConsistOf(refused))
	})

	It("lets what is encrypted be used, and a refused value be deleted by its revision", func(ctx SpecContext) {
		created(ctx, s, "b")
		Expect(get(ctx, s, "b").Name).To(Equal("b"))
		rev := put(ctx, siteKey(s, "a"), plain)
		_, err := s.Delete(ctx, newSite("a"), store.DeleteOptions{ResourceVersion: strconv.FormatInt(rev, 10)})
		Expect(err).NotTo(HaveOccurred())
		_, err = store.Get[*Site](ctx, s, store.Key{Namespace: "default", Name: "a"})
		Expect(apierrors.IsNotFound(err)).To(BeTrue())
	})

	It("requires keys", func() {
		_, err := store.New(server.Client(), store.Options{Kinds: []store.AnyKind{siteKind()}, RefusePlaintext: true})
		Expect(err).To(MatchError(ContainSubstring("encryption keys")))
	})

	It("says by Reads which forms are decoded", func() {
		form := store.Form{Version: "v1", Codec: store.JSON}
		alpha, beta, unknown := form, form, form
		alpha.EncryptionKey, beta.EncryptionKey, unknown.UnknownFields = "alpha", "beta", true
		strict := newStore(func(o *store.Options) { o.Strict = true })
		reads := func(s *store.Store) (read []bool) {
			for _, f := range []store.Form{form, alpha, beta, unknown} {
				read = append(read, s.Reads(f))
			}
			return read
		}
		Expect(reads(newStore())).To(Equal([]bool{true, false, false, true}))
		Expect(reads(lax)).To(Equal([]bool{true, true, false, true}))
		Expect(reads(s)).To(Equal([]bool{false, true, false, false}))
		Expect(reads(strict)).To(Equal([]bool{true, false, false, false}))
	})
})

var _ = Describe("A migration to encryption", func() {
	plaintextFirst := func(o *store.Options) { o.EncryptionKeys = append(o.EncryptionKeys, store.EncryptionKey{}) }

	It("runs while programs of two releases write, and back", func(ctx SpecContext) {
		open := newStore()
		knows := newStore(sharing(open), plaintextFirst, keys("alpha"))
		writes := newStore(sharing(open), keys("alpha"))
		refuses := newStore(sharing(open), keys("alpha"), refusePlaintext)
		created(ctx, open, "a")
		created(ctx, knows, "b")
		Expect(get(ctx, open, "b").Name).To(Equal("b"))

		created(ctx, writes, "c")
		for _, s := range []*store.Store{knows, writes} { // each changes what the other wrote
			for _, name := range []string{"a", "b", "c"} {
				site := get(ctx, s, name)
				site.Status.Ready++
				Expect(s.UpdateStatus(ctx, site)).Error().NotTo(HaveOccurred())
			}
		}
		Expect(store.Rewrite[*Site](ctx, writes)).To(BeZero())
		list, err := store.List[*Site](ctx, refuses, store.ListOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(list.Items).To(HaveLen(3))

		Expect(store.Rewrite[*Site](ctx, knows)).To(Equal(3))
		list, err = store.List[*Site](ctx, open, store.ListOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(list.Items).To(HaveEach(HaveField("Status.Ready", BeEquivalentTo(2))))
	})
})
