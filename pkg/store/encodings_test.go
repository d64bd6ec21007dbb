package store_test

import (
	"fmt"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/store"
)

// Counted is a kind that counts how often its spec is encoded.
type Counted = store.Resource[CountedSpec, SiteStatus]

type CountedSpec struct {
	Size int `json:"size"`
}

var encodings atomic.Int64

func (c CountedSpec) MarshalJSON() ([]byte, error) {
	encodings.Add(1)
	return fmt.Appendf(nil, `{"size":%d}`, c.Size), nil
}

var _ = Describe("An update of a cached object", Serial, func() {
	var (
		s, cached *store.Store
		c         cache
		counted   *Counted
	)
	BeforeEach(func(ctx SpecContext) {
		s = newStore(func(o *store.Options) {
			o.Kinds = append(o.Kinds, store.Kind[*Counted]{GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Counted"}})
		})
		counted = &Counted{}
		counted.Namespace, counted.Name = "default", "a"
		counted.Spec.Size = 1
		Expect(s.Create(ctx, counted)).Error().NotTo(HaveOccurred())
		c = cache{s.Prefix() + "example.com/counteds/default/a": counted.DeepCopy()}
		cached = s.WithCache(c)
		encodings.Store(0)
	})

	It("encodes the object once for a status that has changed", func(ctx SpecContext) {
		counted.Status.Ready = 3
		Expect(cached.UpdateStatus(ctx, counted)).Error().NotTo(HaveOccurred())
		Expect(encodings.Load()).To(BeEquivalentTo(1))
		got, err := store.Get[*Counted](ctx, s, store.KeyOf(counted))
		Expect(err).NotTo(HaveOccurred())
		Expect(got.Status.Ready).To(BeEquivalentTo(3))
		Expect(got.Spec.Size).To(Equal(1))
	})

	It("encodes the object once, and both specs to compare them, for a spec that has changed", func(ctx SpecContext) {
		counted.Spec.Size = 2
		Expect(cached.Update(ctx, counted)).Error().NotTo(HaveOccurred())
		Expect(encodings.Load()).To(BeEquivalentTo(3))
		got, err := store.Get[*Counted](ctx, s, store.KeyOf(counted))
		Expect(err).NotTo(HaveOccurred())
		Expect(got.Spec.Size).To(Equal(2))
		Expect(got.Generation).To(BeEquivalentTo(2))
	})

	It("still finds that nothing has changed, and that labels have changed", func(ctx SpecContext) {
		before := counted.ResourceVersion
		Expect(cached.UpdateStatus(ctx, counted)).Error().NotTo(HaveOccurred())
		Expect(counted.ResourceVersion).To(Equal(before))
		counted.Labels = map[string]string{"x": "1"}
		Expect(cached.Update(ctx, counted)).Error().NotTo(HaveOccurred())
		Expect(counted.ResourceVersion).NotTo(Equal(before))
	})
})
