package informer_test

import (
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/store"
)

// encryptedAt returns a store on the same data as s, with encryption keys.
func encryptedAt(s *store.Store, change func(*store.Options), names ...string) *store.Store {
	GinkgoHelper()
	o := store.Options{Scheme: scheme.Scheme, Prefix: s.Prefix()}
	for _, name := range names {
		o.EncryptionKeys = append(o.EncryptionKeys, store.EncryptionKey{Name: name, Secret: []byte("the-secret-of-" + name)})
	}
	if change != nil {
		change(&o)
	}
	return must(store.New(s.Client(), o))
}

var _ = Describe("Values that are not encrypted", func() {
	refusing := func(o *store.Options) { o.RefusePlaintext = true }

	It("are counted until the store refuses them, and then reported", func(ctx SpecContext) {
		open := newStore()
		lax, strict := encryptedAt(open, nil, "k1"), encryptedAt(open, refusing, "k1")
		create(ctx, lax, configMap("sealed", "v", "1"))
		create(ctx, open, configMap("open", "v", "1"))

		r, _ := newReplica(lax)
		startSynced(ctx, r)
		Expect(r.Status().Kinds[0].Forms).To(Equal(map[store.Form]int{
			{Version: "v1", Codec: store.JSON}: 1, {Version: "v1", Codec: store.JSON, EncryptionKey: "k1"}: 1}))

		r, maps := newReplica(strict)
		startSynced(ctx, r)
		Expect(r.Status().Undecodable).To(And(HaveLen(1), HaveKey(open.Prefix()+"core/configmaps/default/open")))
		putRaw(ctx, open, "sealed", getRaw(ctx, open, "open"))
		Eventually(func() int { return len(r.Status().Undecodable) }).Should(Equal(2))
		cm, ok := maps.Get(r.Snapshot(), key("sealed"))
		Expect(ok).To(BeTrue(), "the last good object stays")
		Expect(cm.Data).To(HaveKeyWithValue("v", "1"))
	}, SpecTimeout(specTimeout))

	It("are not taken from a checkpoint either", func(ctx SpecContext) {
		open, path := newStore(), checkpointPath()
		lax, strict := encryptedAt(open, nil, "k1"), encryptedAt(open, refusing, "k1")
		create(ctx, lax, configMap("sealed", "v", "1"))
		create(ctx, open, configMap("open", "v", "1"))
		begin(ctx, lax, path).end()

		p := begin(ctx, strict, path)
		Expect(p.start()).To(HavePrefix("not used: it has values that were not encrypted"))
		Eventually(p.received.lines).Should(HaveLen(1))
		Expect(p.replica.Status().Undecodable).To(HaveLen(1))
		p.end()
	}, SpecTimeout(specTimeout))

	It("keep a checkpoint encrypted while programs move to encryption", func(ctx SpecContext) {
		open, path := newStore(), checkpointPath()
		moving := encryptedAt(open, func(o *store.Options) { o.EncryptionKeys = append([]store.EncryptionKey{{}}, o.EncryptionKeys...) }, "k1")
		create(ctx, encryptedAt(open, nil, "k1"), configMap("sealed", "v", "a-very-well-kept-secret"))
		create(ctx, moving, configMap("open", "v", "1"))
		Expect(getRaw(ctx, open, "open")).To(HavePrefix("{"))
		begin(ctx, moving, path).end()
		Expect(must(os.ReadFile(path))).NotTo(ContainSubstring("well-kept"))
		p := begin(ctx, moving, path)
		Expect(p.start()).To(HavePrefix("begun at revision"))
		p.end()
	}, SpecTimeout(specTimeout))

	It("lets a checkpoint be used if all of them are encrypted, and reports values of a key that is gone", func(ctx SpecContext) {
		open, path := newStore(), checkpointPath()
		create(ctx, encryptedAt(open, refusing, "k1"), configMap("a", "v", "1"))
		begin(ctx, encryptedAt(open, refusing, "k2", "k1"), path).end()
		p := begin(ctx, encryptedAt(open, refusing, "k2", "k1"), path)
		Expect(p.start()).To(HavePrefix("begun at revision"))
		p.end()
		p = begin(ctx, encryptedAt(open, refusing, "k2"), path)
		Expect(p.start()).To(ContainSubstring("compared by values"))
		Eventually(func() map[string]error { return p.replica.Status().Undecodable }).Should(HaveLen(1))
		p.end()
	}, SpecTimeout(specTimeout))
})
