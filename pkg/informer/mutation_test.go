package informer_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/informer"
)

var _ = Describe("A change of a shared object", func() {
	It("is reported at the end of Run at the latest", func(ctx SpecContext) {
		s := newStore()
		create(ctx, s, configMap("a", "v", "1"))
		create(ctx, s, configMap("b", "v", "1"))
		var found []informer.Mutation
		r := informer.NewReplica(s, informer.Options{OnMutation: func(m informer.Mutation) { found = append(found, m) }})
		maps := informerFor[*corev1.ConfigMap](r)
		stop := startSynced(ctx, r)
		stop() // so that nobody looks meanwhile
		Expect(found).To(BeEmpty())
		cm, _ := maps.Get(r.Snapshot(), key("a"))
		cm.Data["v"] = "2"
		startSynced(ctx, r)()
		Expect(found).To(HaveLen(1))
		Expect(found[0].Key).To(Equal(key("a")))
		Expect(found[0].Diff).To(And(ContainSubstring(`-  "v": "1"`), ContainSubstring(`+  "v": "2"`)))
	}, SpecTimeout(specTimeout))
})
