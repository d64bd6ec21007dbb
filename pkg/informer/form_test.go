package informer_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/homeostat/homeostat/pkg/store"
)

func putRaw(ctx context.Context, s *store.Store, name, value string) {
	GinkgoHelper()
	_, err := s.Client().Put(ctx, s.Prefix()+"core/configmaps/default/"+name, value)
	Expect(err).NotTo(HaveOccurred())
}

func getRaw(ctx context.Context, s *store.Store, name string) string {
	GinkgoHelper()
	resp, err := s.Client().Get(ctx, s.Prefix()+"core/configmaps/default/"+name)
	Expect(err).NotTo(HaveOccurred())
	Expect(resp.Kvs).To(HaveLen(1))
	return string(resp.Kvs[0].Value)
}

var _ = Describe("The form of stored values", func() {
	// later is a value with a field that ConfigMap lacks.
	later := func(name string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"default","name":%q,"shard":"s1"},"data":{"v":"1"}}`, name)
	}
	formV1 := store.Form{Version: "v1", Codec: store.JSON}
	unknown := store.Form{Version: "v1", Codec: store.JSON, UnknownFields: true}

	It("is counted in Status and metrics, over changes, relists and restarts", func(ctx SpecContext) {
		s, path := newStore(), checkpointPath()
		create(ctx, s, configMap("a", "v", "1"))
		putRaw(ctx, s, "later", later("later"))
		p := begin(ctx, s, path)
		forms := func() map[store.Form]int { return p.replica.Status().Kinds[0].Forms }
		Expect(forms()).To(Equal(map[store.Form]int{formV1: 1, unknown: 1}))
		create(ctx, s, configMap("b", "v", "1"))
		putRaw(ctx, s, "later2", later("later2"))
		Eventually(forms).Should(Equal(map[store.Form]int{formV1: 2, unknown: 2}))
		remove(ctx, s, configMap("b"))
		putRaw(ctx, s, "later2", strings.ReplaceAll(later("later2"), `,"shard":"s1"`, ""))
		Eventually(forms).Should(Equal(map[store.Form]int{formV1: 2, unknown: 1}))
		Expect(testutil.CollectAndCompare(p.replica.Collector(), strings.NewReader(`
# HELP homeostat_replica_objects_by_form Objects by the form in which etcd has them.
# TYPE homeostat_replica_objects_by_form gauge
homeostat_replica_objects_by_form{codec="json",encryption_key="",group="",kind="ConfigMap",stored_version="v1",unknown_fields="false",version="v1"} 2
homeostat_replica_objects_by_form{codec="json",encryption_key="",group="",kind="ConfigMap",stored_version="v1",unknown_fields="true",version="v1"} 1
`), "homeostat_replica_objects_by_form")).To(Succeed())
		p.end()

		p = begin(ctx, s, path)
		Expect(p.start()).To(HavePrefix("begun at revision"))
		Expect(forms()).To(Equal(map[store.Form]int{formV1: 2, unknown: 1}))
		p.end()
	}, SpecTimeout(specTimeout))

	It("keeps a write through the replica from losing fields, also after a restart", func(ctx SpecContext) {
		s, path := newStore(), checkpointPath()
		putRaw(ctx, s, "later", later("later"))
		for n := range 2 {
			p := begin(ctx, s, path)
			cm, ok := p.maps.Get(p.replica.Snapshot(), key("later"))
			Expect(ok).To(BeTrue())
			cm = cm.DeepCopy()
			cm.Data["v"] = fmt.Sprint("new", n)
			rev, err := s.WithCache(p.replica).Update(ctx, cm)
			Expect(err).NotTo(HaveOccurred())
			Expect(p.replica.WaitForRevision(ctx, rev)).To(Succeed())
			Expect(getRaw(ctx, s, "later")).To(And(ContainSubstring(`"shard":"s1"`), ContainSubstring(fmt.Sprint("new", n))))
			p.end()
		}
	}, SpecTimeout(specTimeout))

	It("keeps a write through the replica from detaching a lease, also after a restart", func(ctx SpecContext) {
		s, path := newStore(), checkpointPath()
		cm := configMap("leased", "v", "1")
		t := s.Txn()
		t.Create(cm)
		t.Expire(cm, time.Hour)
		Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
		for n := range 2 {
			p := begin(ctx, s, path)
			cm, ok := p.maps.Get(p.replica.Snapshot(), key("leased"))
			Expect(ok).To(BeTrue())
			cm = cm.DeepCopy()
			cm.Data["v"] = fmt.Sprint("new", n)
			rev, err := s.WithCache(p.replica).Update(ctx, cm)
			Expect(err).NotTo(HaveOccurred())
			Expect(p.replica.WaitForRevision(ctx, rev)).To(Succeed())
			resp, err := s.Client().Get(ctx, s.Prefix()+"core/configmaps/default/leased")
			Expect(err).NotTo(HaveOccurred())
			Expect(resp.Kvs[0].Lease).NotTo(BeZero())
			p.end()
		}
	}, SpecTimeout(specTimeout))
})
