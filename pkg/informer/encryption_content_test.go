package informer_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/condition"
	"github.com/homeostat/homeostat/pkg/informer"
)

// marker is content that nobody may see.
const marker = "SECRET-7417417417417"

// encrypted returns a value as a store of [encryptedAt] with the key k1 would write it.
func encrypted(etcdKey, plain string) string {
	GinkgoHelper()
	aead := must(cipher.NewGCM(must(aes.NewCipher([]byte("the-secret-of-k1")))))
	nonce := make([]byte, aead.NonceSize())
	return "k8s:enc:aesgcm:v1:k1:" + string(aead.Seal(nonce, nonce, []byte(plain), []byte(etcdKey)))
}

// allLines collects all that is logged.
type allLines struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (l *allLines) options() informer.Options {
	return informer.Options{Log: funcr.New(func(prefix, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines.WriteString(prefix + args + "\n")
	}, funcr.Options{Verbosity: 10})}
}

func (l *allLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}

// output returns all that a replica says of its objects.
func output(r *informer.Replica, log *allLines, path string) string {
	GinkgoHelper()
	metrics := prometheus.NewRegistry()
	Expect(metrics.Register(r.Collector())).To(Succeed())
	families, err := metrics.Gather()
	Expect(err).NotTo(HaveOccurred())
	all := fmt.Sprintf("%v\n%+v\n%#v\n%v\n%v", r.Status(), r.Status(), r.Status(), families, r.Healthy(time.Hour))
	for _, err := range r.Status().Undecodable {
		for ; err != nil; err = unwrap(err) {
			all += fmt.Sprintf("%v %+v %#v\n", err, err, err)
		}
	}
	if path != "" {
		file, err := os.ReadFile(path)
		Expect(err).NotTo(HaveOccurred())
		all += string(file)
	}
	return all + log.String()
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}

var _ = Describe("The content of encrypted values", func() {
	bad := map[string]string{
		"time":   `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"time","namespace":"default","creationTimestamp":"` + marker + `"}}`,
		"type":   `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"type","namespace":"default"},"data":["` + marker + `"]}`,
		"name":   `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + marker + `","namespace":"default"}}`,
		"kind":   `{"apiVersion":"v1","kind":"` + marker + `","metadata":{"name":"kind","namespace":"default"}}`,
		"syntax": `{"apiVersion":"v1",` + marker + `}`,
		"base64": `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"base64","namespace":"default"},"binaryData":{"` + marker + `":"` + marker + `"}}`,
		"proto":  "k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x16\x0a\xff" + marker,
		"any":    marker,
	}

	It("is not in the status, the logs, the metrics and the checkpoint of what does not decode", func(ctx SpecContext) {
		s, path := encryptedAt(newStore(), nil, "k1"), checkpointPath()
		create(ctx, s, configMap("good", "v", marker))
		for name, plain := range bad {
			putRaw(ctx, s, name, encrypted(s.Prefix()+"core/configmaps/default/"+name, plain))
		}
		for life := range 3 {
			log := &allLines{}
			o := log.options()
			o.Checkpoint = informer.Checkpoint{Path: path, Interval: 20 * time.Millisecond}
			r := informer.Hasten(informer.NewReplica(s, o))
			maps := informerFor[*corev1.ConfigMap](r)
			stop := startSynced(ctx, r)
			Expect(r.Status().Undecodable).To(HaveLen(len(bad)))
			if life < 2 { // changes come by the watch too
				putRaw(ctx, s, "time", encrypted(s.Prefix()+"core/configmaps/default/time", bad["time"]))
				Expect(r.WaitForRevision(ctx, create(ctx, s, configMap(fmt.Sprint("more", life), "v", marker)))).To(Succeed())
			}
			Expect(maps.List(r.Snapshot(), informer.ListOptions{})).NotTo(BeEmpty())
			stop()
			all := output(r, log, path)
			Expect(all).NotTo(ContainSubstring(marker))
			Expect(all).To(ContainSubstring("field metadata.creationTimestamp: the value is not one of type v1.Time"))
			Expect(r.Status().Undecodable).To(HaveLen(len(bad)))
		}
	}, SpecTimeout(specTimeout))

	It("is not in a status that comes from a checkpoint of a store that did not encrypt", func(ctx SpecContext) {
		open, path := newStore(), checkpointPath()
		create(ctx, encryptedAt(open, nil, "k1"), configMap("good", "v", "1"))
		_, err := open.Client().Put(ctx, open.Prefix()+"core/configmaps/default/time", bad["time"])
		Expect(err).NotTo(HaveOccurred())
		remove(ctx, encryptedAt(open, nil, "k1"), configMap("good"))
		begin(ctx, open, path).end()
		file, err := os.ReadFile(path)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(file)).To(ContainSubstring(marker), "of values that are not encrypted it says more")

		log := &allLines{}
		o := log.options()
		o.Checkpoint = informer.Checkpoint{Path: path}
		r := informer.Hasten(informer.NewReplica(encryptedAt(open, nil, "k1"), o))
		informerFor[*corev1.ConfigMap](r)
		startSynced(ctx, r)
		Expect(r.Status().Undecodable).To(HaveLen(1))
		Expect(output(r, log, "")).NotTo(ContainSubstring(marker))
	}, SpecTimeout(specTimeout))

	It("is not in what a replica says of functions that fail with an object", func(ctx SpecContext) {
		s := encryptedAt(newStore(), nil, "k1")
		create(ctx, s, configMap("a", "v", marker))
		log, reported := &allLines{}, make(chan informer.Mutation, 1)
		o := log.options()
		o.OnMutation = func(m informer.Mutation) {
			reported <- m
			panic(m.String() + marker)
		}
		r := informer.Hasten(informer.NewReplica(s, o))
		cms := informerFor[*corev1.ConfigMap](r)
		cms.AddIndex(func(cm *corev1.ConfigMap) []string { panic("index " + cm.Data["v"]) })
		cms.AddHandler(func(_ context.Context, e informer.Event[*corev1.ConfigMap]) { panic("handler " + e.Object.Data["v"]) })
		cms.AddHandler(func(context.Context, informer.Event[*corev1.ConfigMap]) {}, must(condition.Where[*corev1.ConfigMap](`int(object.data.v) > 1`)))
		stop := startSynced(ctx, r)
		Eventually(log.String).Should(And(ContainSubstring("index function panicked"), ContainSubstring("handler panicked"), ContainSubstring("filter failed")))
		cm, _ := cms.Get(r.Snapshot(), key("a"))
		cm.Data["w"] = marker
		stop()
		var m informer.Mutation
		Expect(reported).To(Receive(&m))
		Expect(m.String()).NotTo(ContainSubstring(marker))
		Expect(m.Key).To(Equal(key("a")))
		Expect(output(r, log, "")).NotTo(ContainSubstring(marker))
		Expect(log.String()).To(ContainSubstring("OnMutation panicked"))
	}, SpecTimeout(specTimeout))
})
