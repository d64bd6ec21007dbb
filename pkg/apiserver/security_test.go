package apiserver_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/homeostat/homeostat/pkg/apiserver"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/serving"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = DescribeTable("A web page cannot use the API through a browser", func(ctx SpecContext, headers map[string]string, code int) {
	r := serve(ctx)
	body := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"planted"}}`
	req := must(http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/api/v1/namespaces/default/configmaps", strings.NewReader(body)))
	for name, value := range headers {
		if req.Header.Set(name, value); name == "Host" {
			req.Host = value
		}
	}
	resp := must(http.DefaultClient.Do(req))
	answer := must(io.ReadAll(resp.Body))
	Expect(resp.Body.Close()).To(Succeed())
	Expect(resp.StatusCode).To(Equal(code), string(answer))
	list := must(r.typed.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{}))
	Expect(list.Items).To(HaveLen(map[bool]int{true: 1}[code == http.StatusCreated]))
},
	Entry("as a program does", map[string]string{"Content-Type": "application/json"}, http.StatusCreated),
	Entry("without a type", map[string]string{}, http.StatusUnsupportedMediaType),
	Entry("as a form", map[string]string{"Content-Type": "text/plain"}, http.StatusUnsupportedMediaType),
	Entry("of another origin", map[string]string{"Content-Type": "application/json", "Origin": "https://example.org"}, http.StatusForbidden),
	Entry("under another name", map[string]string{"Content-Type": "application/json", "Host": "example.org"}, http.StatusForbidden),
	Entry("across sites", map[string]string{"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}, http.StatusForbidden),
)

var _ = Describe("A server", func() {
	It("demands TLS and authentication beyond loopback", func(ctx SpecContext) {
		s := must(store.New(etcd.Client(), store.Options{Kinds: kinds(), Prefix: "/open/"}))
		m := must(controller.NewManager(s, controller.ManagerOptions{}))
		for _, o := range []serving.Options{{}, {SelfSigned: true}} {
			api := must(apiserver.New(m, apiserver.Options{Address: "0.0.0.0:0", Serving: o}))
			Expect(api.Run(ctx)).To(MatchError(ContainSubstring("open to everybody")))
		}
	}, specTimeout)

	It("serves clients with a token, and tells them by a kubeconfig where it is", func(ctx SpecContext) {
		dir := GinkgoT().TempDir()
		tokens, kubeconfig := filepath.Join(dir, "tokens"), filepath.Join(dir, "kubeconfig")
		Expect(os.WriteFile(tokens, []byte("a-long-and-secret-token\n"), 0o600)).To(Succeed())
		serve(ctx, func(o *apiserver.Options) {
			o.Serving, o.Kubeconfig = serving.Options{SelfSigned: true, TokenFile: tokens}, kubeconfig
		})
		config := must(clientcmd.BuildConfigFromFlags("", kubeconfig))
		list := func(config *rest.Config) error {
			_, err := must(kubernetes.NewForConfig(config)).CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
			return err
		}
		Expect(list(config)).To(MatchError(apierrors.IsUnauthorized, "Unauthorized"))
		config.BearerToken = "a-long-and-secret-token"
		Expect(list(config)).To(Succeed())
		Expect(string(must(os.ReadFile(kubeconfig)))).NotTo(ContainSubstring("secret-token"))
	}, specTimeout)
})
