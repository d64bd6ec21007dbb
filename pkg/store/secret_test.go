package store_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("The stringData of a Secret", func() {
	var s *store.Store
	key := store.Key{Namespace: "default", Name: "a"}
	secret := func(text map[string]string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"}, StringData: text}
	}
	stored := func(ctx SpecContext) *corev1.Secret {
		GinkgoHelper()
		Expect(raw(ctx, s.Prefix()+"core/secrets/default/a")).NotTo(ContainSubstring("stringData"))
		got, err := store.Get[*corev1.Secret](ctx, s, key)
		Expect(err).NotTo(HaveOccurred())
		return got
	}
	bytesOf := func(text ...string) map[string][]byte {
		data := map[string][]byte{}
		for i := 0; i < len(text); i += 2 {
			data[text[i]] = []byte(text[i+1])
		}
		return data
	}

	BeforeEach(func() { s = newStore() })

	It("is stored in its data by every write", func(ctx SpecContext) {
		given := secret(map[string]string{"a": "1"})
		given.Data = bytesOf("a", "0", "b", "2")
		Expect(s.Create(ctx, given)).Error().NotTo(HaveOccurred())
		Expect(given.StringData).To(BeNil(), "it is the stored object")
		Expect(stored(ctx).Data).To(Equal(bytesOf("a", "1", "b", "2")))

		given.StringData = map[string]string{"c": "3"}
		Expect(s.Update(ctx, given)).Error().NotTo(HaveOccurred())
		Expect(stored(ctx).Data).To(Equal(bytesOf("a", "1", "b", "2", "c", "3")))

		_, _, err := store.Mutate(ctx, s, key, func(x *corev1.Secret) error {
			x.StringData = map[string]string{"a": "4"}
			return nil
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(stored(ctx).Data).To(HaveKeyWithValue("a", []byte("4")))
	})

	It("writes nothing if the data has it already", func(ctx SpecContext) {
		given := secret(map[string]string{"a": "1"})
		rev, err := s.Create(ctx, given)
		Expect(err).NotTo(HaveOccurred())
		given.StringData = map[string]string{"a": "1"}
		Expect(s.Update(ctx, given)).To(Equal(rev))
		compared := secret(map[string]string{"a": "1"})
		Expect(s.Default(compared)).To(Succeed())
		Expect(compared.Data).To(Equal(stored(ctx).Data))
	})

	It("stays with the caller if the write fails", func(ctx SpecContext) {
		Expect(s.Create(ctx, secret(nil))).Error().NotTo(HaveOccurred())
		given := secret(map[string]string{"a": "1"})
		Expect(s.Create(ctx, given)).Error().To(HaveOccurred())
		Expect(given).To(Equal(secret(map[string]string{"a": "1"})))
	})
})
