package controller_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/serving"
	"github.com/homeostat/homeostat/pkg/store"
)

// page gets a page from a manager's handler.
func page(m *controller.Manager, path string) (status int, body string) {
	GinkgoHelper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// addressIn returns the address that a manager logged.
func addressIn(log *logbook) string {
	GinkgoHelper()
	found := regexp.MustCompile(`"address"="([^"]+)"`).FindStringSubmatch(log.with("serving health and metrics")[0])
	Expect(found).To(HaveLen(2))
	return found[1]
}

// get gets a page over HTTP, with a bearer token unless that is empty.
func get(ctx context.Context, client *http.Client, url, token string) (status int, body string) {
	GinkgoHelper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	Expect(err).NotTo(HaveOccurred())
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	Expect(err).NotTo(HaveOccurred())
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	Expect(err).NotTo(HaveOccurred())
	return resp.StatusCode, string(content)
}

var _ = Describe("A manager's HTTP handler", func() {
	It("counts values that cannot be decoded, if told to", func(ctx SpecContext) {
		s := newStore(etcd.Client())
		for _, required := range []bool{false, true} {
			m := newManagerOn(s, controller.ManagerOptions{RequireDecodable: required})
			Expect(controller.NewFor[*Site](m, "c", &names{}, controller.Options{})).Error().To(Succeed())
			run(m)
			Eventually(func() error { return m.Ready(ctx) }).Should(Succeed())
			kind, err := store.KindOf[*Site](s)
			Expect(err).NotTo(HaveOccurred())
			prefix := s.Prefix() + kind.GroupVersionKind.Group + "/" + kind.Resource.Resource + "/default/"
			for _, name := range []string{"a", "b"} {
				_, err := s.Client().Put(ctx, prefix+name, `{"kind":"Site","apiVersion":"`+kind.GroupVersionKind.Group+`/v99","metadata":{"namespace":"default","name":"`+name+`"}}`)
				Expect(err).NotTo(HaveOccurred())
			}
			Eventually(func() map[string]error { return m.Replica().Status().Undecodable }).Should(HaveLen(2))
			if required {
				Expect(m.Ready(ctx)).To(MatchError(ContainSubstring("2 values of kind Site cannot be decoded, such as " + prefix + "a")))
			} else {
				Expect(m.Ready(ctx)).To(Succeed())
			}
			_, err = s.Client().Delete(ctx, prefix, clientv3.WithPrefix())
			Expect(err).NotTo(HaveOccurred())
			Eventually(func() error { return m.Ready(ctx) }).Should(Succeed())
		}
	}, SpecTimeout(time.Minute))

	It("says whether the manager is ready and healthy, and why it is not", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		Expect(controller.NewFor[*Site](m, "c", &names{}, controller.Options{})).Error().To(Succeed())
		status, body := page(m, "/readyz")
		Expect(status).To(Equal(http.StatusServiceUnavailable))
		Expect(body).To(ContainSubstring("[-]replica main failed: the replica does not run"))
		Expect(m.Ready(ctx)).To(MatchError(ContainSubstring("replica main: the replica does not run")))

		stop := run(m)
		Eventually(func() error { return m.Ready(ctx) }).Should(Succeed())
		status, body = page(m, "/readyz")
		Expect(status).To(Equal(http.StatusOK))
		Expect(body).To(Equal("[+]replica main ok\n[+]etcd ok\nok\n"))

		broken := errors.New("the licence has run out")
		Expect(m.AddReadyCheck("licence", func(context.Context) error { return broken })).To(Succeed())
		Expect(m.AddReadyCheck("licence", func(context.Context) error { return nil })).NotTo(Succeed())
		Expect(m.AddReadyCheck("", nil)).NotTo(Succeed())
		status, body = page(m, "/readyz")
		Expect(status).To(Equal(http.StatusServiceUnavailable))
		Expect(body).To(Equal("[+]replica main ok\n[+]etcd ok\n[-]licence failed: the licence has run out\n"))
		Expect(m.Ready(ctx)).To(MatchError(broken))

		status, body = page(m, "/healthz")
		Expect(status).To(Equal(http.StatusOK))
		Expect(body).To(Equal("ok\n"))
		Expect(m.AddHealthCheck("disk", func(context.Context) error { panic("no disk") })).To(Succeed())
		status, body = page(m, "/healthz")
		Expect(status).To(Equal(http.StatusServiceUnavailable))
		Expect(body).To(ContainSubstring("no disk"))
		Expect(m.Healthy(ctx)).NotTo(Succeed())
		stop()
		Expect(m.Ready(ctx)).NotTo(Succeed())
	}, SpecTimeout(time.Minute))

	It("is ready with a replica that has no kinds", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		Expect(m.Ready(ctx)).NotTo(Succeed())
		stop := run(m)
		Eventually(func() error { return m.Ready(ctx) }).Should(Succeed())
		stop()
		Expect(m.Ready(ctx)).NotTo(Succeed())
	}, SpecTimeout(time.Minute))

	It("names a check that does not return", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		leave := make(chan struct{})
		defer close(leave)
		Expect(m.AddHealthCheck("stuck", func(context.Context) error { <-leave; return nil })).To(Succeed())
		asked, cancel := context.WithCancel(ctx)
		time.AfterFunc(50*time.Millisecond, cancel)
		Expect(m.Healthy(asked)).To(MatchError(ContainSubstring("stuck: the check has not answered for ")))
	}, SpecTimeout(time.Minute))

	It("runs a check once for all who ask while it runs", func(ctx SpecContext) {
		c := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		m := newManager(controller.ManagerOptions{Clock: c})
		var calls atomic.Int32
		leave := make(chan error)
		Expect(m.AddHealthCheck("slow", func(ctx context.Context) error { calls.Add(1); return <-leave })).To(Succeed())

		answers := make(chan error, 1000)
		ask := func() { answers <- m.Healthy(ctx) }
		for range cap(answers) {
			go ask()
		}
		Eventually(func() []string { return goroutinesIn("/pkg/controller.(*checkRun).result") }).Should(HaveLen(cap(answers)))
		Eventually(calls.Load).Should(Equal(int32(1)))
		leave <- errors.New("full")
		for range cap(answers) {
			Eventually(answers).Should(Receive(MatchError("slow: full")))
		}
		Eventually(func() []string { return goroutinesIn("/pkg/controller.(*namedCheck)") }).Should(BeEmpty())

		By("running it again for the next who ask")
		go ask()
		leave <- nil
		Eventually(answers).Should(Receive(BeNil()))
		Expect(calls.Load()).To(Equal(int32(2)))
	}, SpecTimeout(time.Minute))

	It("answers in time while a check hangs, and says since when", func(ctx SpecContext) {
		c := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		m := newManager(controller.ManagerOptions{Clock: c})
		var calls atomic.Int32
		leave := make(chan error)
		Expect(m.AddHealthCheck("stuck", func(context.Context) error { calls.Add(1); return <-leave })).To(Succeed())
		Expect(m.AddHealthCheck("sound", func(context.Context) error { return nil })).To(Succeed())

		first := make(chan string)
		go func() { _, body := page(m, "/healthz"); first <- body }()
		Eventually(func() []string { return goroutinesIn("/pkg/controller.(*checkRun).result") }).Should(HaveLen(1))
		Eventually(func() []string { return goroutinesIn("/pkg/controller.(*namedCheck)") }).Should(HaveLen(1), "the sound one has ended")
		c.Step(5 * time.Second)
		Eventually(first).Should(Receive(Equal(
			"[-]stuck failed: the check has not answered for 5s, since 2026-01-02T03:04:05Z\n[+]sound ok\n")))

		c.Step(time.Minute)
		for range 1000 { // no clock ticks: these do not wait
			status, body := page(m, "/healthz")
			Expect(status).To(Equal(http.StatusServiceUnavailable))
			Expect(body).To(ContainSubstring("[-]stuck failed: the check has not answered for 1m5s, since 2026-01-02T03:04:05Z\n"))
		}
		Expect(calls.Load()).To(Equal(int32(1)))
		Eventually(func() []string { return goroutinesIn("/pkg/controller.(*namedCheck)") }).Should(HaveLen(1))

		leave <- nil
		close(leave)
		Eventually(func() error { return m.Healthy(ctx) }).Should(Succeed())
	}, SpecTimeout(time.Minute))

	It("lets a check end that nobody waits for any more", func(ctx SpecContext) {
		c := clocktesting.NewFakeClock(time.Now())
		m := newManager(controller.ManagerOptions{Clock: c})
		Expect(m.AddReadyCheck("obedient", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })).To(Succeed())
		asked, cancel := context.WithCancel(ctx)
		cancel()
		Expect(m.Ready(asked)).To(MatchError(ContainSubstring("obedient: the check has not answered")))
		Expect(goroutinesIn("/pkg/controller.(*namedCheck)")).NotTo(BeEmpty(), "another may still ask")
		c.Step(5 * time.Second)
		Eventually(func() []string { return goroutinesIn("/pkg/controller.(*namedCheck)") }).Should(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("serves profiles only with the option Pprof", func() {
		status, _ := page(newManager(controller.ManagerOptions{}), "/debug/pprof/")
		Expect(status).To(Equal(http.StatusNotFound))
		status, body := page(newManager(controller.ManagerOptions{Pprof: true}), "/debug/pprof/")
		Expect(status).To(Equal(http.StatusOK))
		Expect(body).To(ContainSubstring("goroutine"))
	})

	It("is served while the manager runs", func(ctx SpecContext) {
		var log logbook
		m := newManager(controller.ManagerOptions{Address: "127.0.0.1:0", Log: log.logger()})
		Expect(controller.NewFor[*Site](m, "c", &names{}, controller.Options{})).Error().To(Succeed())
		stop := run(m)
		Eventually(func() []string { return log.with("serving health and metrics") }).Should(HaveLen(1))
		Expect(log.with("serving health and metrics")).To(ConsistOf(ContainSubstring(`"level"=0`)))
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		status, body := get(ctx, client, "http://"+addressIn(&log)+"/metrics", "")
		Expect(status).To(Equal(http.StatusOK))
		Expect(body).To(And(
			ContainSubstring(`workqueue_depth{controller="c",name="c"}`),
			ContainSubstring(`homeostat_replica_revision{replica="main"}`),
			ContainSubstring("go_goroutines"),
		))
		address := addressIn(&log)
		stop()
		Expect(net.Dial("tcp", address)).Error().To(HaveOccurred(), "nothing listens any more")
	}, SpecTimeout(time.Minute))

	It("serves metrics and profiles to those only who are authenticated", func(ctx SpecContext) {
		tokens := filepath.Join(GinkgoT().TempDir(), "tokens")
		Expect(os.WriteFile(tokens, []byte("opensesame"), 0o600)).To(Succeed())
		var log logbook
		m := newManager(controller.ManagerOptions{
			Address: ":0", Pprof: true, Serving: serving.Options{SelfSigned: true, TokenFile: tokens}, Log: log.logger(),
		})
		run(m)
		Eventually(func() []string { return log.with("serving health and metrics") }).Should(HaveLen(1))
		_, port, err := net.SplitHostPort(addressIn(&log))
		Expect(err).NotTo(HaveOccurred())
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		defer transport.CloseIdleConnections()
		for path, open := range map[string]bool{"/healthz": true, "/metrics": false, "/debug/pprof/": false, "/debug/pprof/heap": false} {
			status, body := get(ctx, &http.Client{Transport: transport}, "https://127.0.0.1:"+port+path, "")
			if open {
				Expect(status).To(Equal(http.StatusOK), path)
				continue
			}
			Expect(status).To(Equal(http.StatusUnauthorized), path)
			Expect(body).NotTo(ContainSubstring("goroutine"))
			status, _ = get(ctx, &http.Client{Transport: transport}, "https://127.0.0.1:"+port+path, "opensesame")
			Expect(status).To(Equal(http.StatusOK), path)
		}
		Expect(log.with("opensesame")).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("does not serve profiles to everybody", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{Address: ":0", Pprof: true})
		Expect(m.Run(ctx)).To(MatchError(And(ContainSubstring("profiles at [::]:"), ContainSubstring("set a token file"))))
		Expect(goroutinesIn("/pkg/controller.", "/pkg/informer.")).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("does not serve names of others on this machine", func(ctx SpecContext) {
		var log logbook
		run(newManager(controller.ManagerOptions{Address: "127.0.0.1:0", Log: log.logger()}))
		Eventually(func() []string { return log.with("serving health and metrics") }).Should(HaveLen(1))
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addressIn(&log)+"/metrics", nil)
		Expect(err).NotTo(HaveOccurred())
		req.Host = "evil.example"
		transport := new(http.Transport)
		defer transport.CloseIdleConnections()
		resp, err := transport.RoundTrip(req)
		Expect(err).NotTo(HaveOccurred())
		Expect(resp.Body.Close()).To(Succeed())
		Expect(resp.StatusCode).To(Equal(http.StatusForbidden))
	}, SpecTimeout(time.Minute))

	It("bounds the scrapes that wait for a collector that hangs", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		leave := make(chan struct{})
		Expect(m.Metrics().Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "hangs", Help: "Hangs."}, func() float64 {
			<-leave
			return 1
		}))).To(Succeed())
		h := m.Handler()
		scrape := func(ctx context.Context) int {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
			return w.Code
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		for range 100 {
			Expect(scrape(gone)).To(Equal(http.StatusServiceUnavailable))
		}
		Eventually(func() int { return len(goroutinesIn("prometheus.(*Registry).Gather")) }).Should(BeNumerically("<=", 3*10))
		close(leave)
		Eventually(func() int { return scrape(ctx) }).Should(Equal(http.StatusOK))
	}, SpecTimeout(time.Minute))

	It("stops the manager when it cannot be served any more", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{Address: "127.0.0.1:0"})
		Expect(controller.NewFor[*Site](m, "c", &names{}, controller.Options{})).Error().To(Succeed())
		serving := make(chan net.Listener, 1)
		controller.ListenWith(m, func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			serving <- l
			return l, err
		})
		ended := make(chan error)
		go func() { ended <- m.Run(ctx) }()
		Eventually(func() error { return m.Ready(ctx) }).Should(Succeed())
		Expect((<-serving).Close()).To(Succeed()) // as when the system takes the socket away
		Eventually(ended).Should(Receive(And(
			MatchError(ContainSubstring("health and metrics are no longer served")), MatchError(net.ErrClosed))))
		Expect(goroutinesIn("/pkg/controller.", "/pkg/informer.")).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("is not served on an address that is in use", func(ctx SpecContext) {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		defer taken.Close()
		m := newManager(controller.ManagerOptions{Address: taken.Addr().String()})
		Expect(m.Run(ctx)).To(MatchError(And(ContainSubstring(taken.Addr().String()), ContainSubstring("in use"))))
	}, SpecTimeout(time.Minute))
})
