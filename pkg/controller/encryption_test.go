package controller_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("The content of encrypted values", func() {
	const marker = "SECRET-7417417417417"

	It("is not in a manager's logs, spans and states", func(ctx SpecContext) {
		secret := []byte("0123456789abcdef")
		s, err := store.New(etcd.Client(), store.Options{Scheme: scheme.Scheme, Kinds: []store.AnyKind{siteKind},
			Prefix:         fmt.Sprintf("/spec-%d/", time.Now().UnixNano()),
			EncryptionKeys: []store.EncryptionKey{{Name: "k1", Secret: secret}}})
		Expect(err).NotTo(HaveOccurred())
		bad := func(etcdKey, plain string) {
			block, err := aes.NewCipher(secret)
			Expect(err).NotTo(HaveOccurred())
			aead, err := cipher.NewGCM(block)
			Expect(err).NotTo(HaveOccurred())
			nonce := make([]byte, aead.NonceSize())
			_, err = etcd.Client().Put(ctx, etcdKey, "k8s:enc:aesgcm:v1:k1:"+string(aead.Seal(nonce, nonce, []byte(plain), []byte(etcdKey))))
			Expect(err).NotTo(HaveOccurred())
		}
		bad(s.Prefix()+"example.com/sites/default/bad", `{"apiVersion":"example.com/v1","kind":"Site","metadata":{"name":"bad","namespace":"default"},"spec":{"replicas":"`+marker+`"}}`)
		bad(s.Prefix()+"core/configmaps/default/bad", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"bad","namespace":"default","creationTimestamp":"`+marker+`"}}`)

		log, recorder := new(logbook), tracetest.NewSpanRecorder()
		m := newManagerOn(s, controller.ManagerOptions{Log: log.logger(),
			TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))})
		cm := newConfigMap("good")
		cm.Data = map[string]string{"secret": marker}
		create(ctx, s, cm)
		c, err := controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(ctx context.Context, r controller.Request) (controller.Result, error) {
				switch r.Name {
				case "read":
					_, err := store.Get[*corev1.ConfigMap](ctx, m.Store(), store.Key{Namespace: "default", Name: "bad"})
					return controller.Result{}, err
				case "write":
					_, err := m.Store().Update(ctx, newSite("bad", 1))
					return controller.Result{}, err
				}
				good, err := store.Get[*corev1.ConfigMap](ctx, m.Store(), store.Key{Namespace: "default", Name: "good"})
				if err != nil {
					return controller.Result{}, err
				}
				panic("nobody expects " + good.Data["secret"])
			}), controller.Options{}, controller.WatchesEvents(func(_ context.Context, e informer.Event[*corev1.ConfigMap]) []controller.Request {
			panic("nobody expects " + e.Object.Data["secret"])
		}))
		Expect(err).NotTo(HaveOccurred())
		run(m)
		for _, name := range []string{"read", "write", "panic"} {
			create(ctx, s, newSite(name, 1))
		}
		for _, text := range []string{
			"event reconciles no keys", "reconciler panicked: the value, a string, is withheld",
			"field metadata.creationTimestamp: the value is not one of type v1.Time", "field spec.replicas: the value is not one of type int32",
		} {
			Eventually(func() []string { return log.with(text) }).ShouldNot(BeEmpty(), text)
		}
		Eventually(func() int { return len(recorder.Ended()) }).Should(BeNumerically(">", 9))
		all := strings.Join(log.all(), "\n") + fmt.Sprintf("%+v %+v %+v", c.State(), c.KeyStates(10), m.Replica().Status())
		for _, span := range recorder.Ended() {
			all += fmt.Sprintf("%+v %+v %+v\n", span.Attributes(), span.Events(), span.Status())
		}
		Expect(all).NotTo(ContainSubstring(marker))
	}, SpecTimeout(time.Minute))
})
