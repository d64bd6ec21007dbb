package serving

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestTokens(t *testing.T) {
	c := clocktesting.NewFakeClock(time.Now())
	file := filepath.Join(t.TempDir(), "tokens")
	writeFile(t, file, []byte("  first \n\nsecond\r\n"))
	var log []string
	s, err := New(Options{TokenFile: file}, c, funcr.New(func(_, args string) { log = append(log, args) }, funcr.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	h := s.Authenticated(http.HandlerFunc(hello))
	expect := func(status int, authorization ...string) {
		t.Helper()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		req.Header["Authorization"] = authorization
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != status || (w.Header().Get("WWW-Authenticate") == "Bearer") != (status == 401) {
			t.Errorf("%q: %d, want %d", authorization, w.Code, status)
		}
	}
	for _, good := range []string{"Bearer first", "bearer second", "BEARER  first"} {
		expect(200, good)
	}
	for _, bad := range []string{"", "Bearer", "Bearer ", "first", "Basic first", "Bearer firs", "Bearer first second", "Bearer third", "Bearer First"} {
		expect(401, bad)
	}
	expect(401)

	writeFile(t, file, []byte("third"))
	expect(200, "Bearer first")
	c.Step(reloadInterval)
	expect(401, "Bearer first")
	expect(200, "Bearer third")
	for _, bad := range []string{"", "\n \n", "two words"} {
		writeFile(t, file, []byte(bad))
		c.Step(reloadInterval)
		expect(200, "Bearer third")
		expect(401, "Bearer ")
		c.Step(reloadInterval)
		expect(200, "Bearer third")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	c.Step(reloadInterval)
	expect(200, "Bearer third")
	all := strings.Join(log, "\n")
	if n := strings.Count(all, "last good content"); n != 3 {
		t.Errorf("%d errors are logged, want one for each that is new:\n%s", n, all)
	}
	for _, secret := range []string{"first", "third", "two words"} {
		if strings.Contains(all, secret) {
			t.Errorf("the log has the token %s:\n%s", secret, all)
		}
	}
}

// Everyone gets the old content while one goroutine reads the new one.
func TestReloadOfASlowFile(t *testing.T) {
	c := clocktesting.NewFakeClock(time.Now())
	parsing, parse := make(chan struct{}), make(chan struct{})
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, []byte("1"))
	first := true
	r := &reloaded[string]{files: []string{file}, clock: c, log: logr.Discard(), parse: func(contents [][]byte) (string, error) {
		if !first {
			close(parsing)
			<-parse
		}
		first = false
		return string(contents[0]), nil
	}}
	if err := r.load(); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, []byte("2"))
	c.Step(reloadInterval)
	got := make(chan string)
	go func() { got <- r.get() }()
	<-parsing
	if v := r.get(); v != "1" {
		t.Errorf("another gets %q", v)
	}
	close(parse)
	if v := <-got; v != "2" {
		t.Errorf("the one that reads gets %q", v)
	}
}

// secure serves with TLS on a port of this machine.
func secure(t *testing.T, c clock.WithDelayedExecution, o Options) (url string) {
	t.Helper()
	s, err := New(o, c, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/open", hello)
	mux.Handle("/closed", s.Authenticated(http.HandlerFunc(hello)))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, l, mux, time.Second) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "https://" + l.Addr().String()
}

// over returns a client with a certificate of its own, or none.
func over(t *testing.T, config *tls.Config, certificate *tls.Certificate) *http.Client {
	if certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func statusOf(t *testing.T, c *http.Client, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

func TestClientCertificates(t *testing.T) {
	c := clocktesting.NewFakeClock(time.Now())
	ours, theirs := newAuthority(t), newAuthority(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	copyFile(t, ours.file, file)
	url := secure(t, c, Options{SelfSigned: true, ClientCAFile: file})
	unverified := func() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }
	inAnHour, anHourAgo := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	good := over(t, unverified(), ours.client(x509.ExtKeyUsageClientAuth, inAnHour))
	for name, x := range map[string]struct {
		client *http.Client
		status int
	}{
		"of the CA":      {good, 200},
		"none":           {over(t, unverified(), nil), 401},
		"of another CA":  {over(t, unverified(), theirs.client(x509.ExtKeyUsageClientAuth, inAnHour)), 401},
		"of a server":    {over(t, unverified(), ours.client(x509.ExtKeyUsageServerAuth, inAnHour)), 401},
		"out of date":    {over(t, unverified(), ours.client(x509.ExtKeyUsageClientAuth, anHourAgo)), 401},
		"and once again": {good, 200},
	} {
		if got := statusOf(t, x.client, url+"/closed"); got != x.status {
			t.Errorf("with a certificate %s: %d, want %d", name, got, x.status)
		}
		if got := statusOf(t, x.client, url+"/open"); got != 200 {
			t.Errorf("with a certificate %s, what is open answers %d", name, got)
		}
	}

	copyFile(t, theirs.file, file)
	c.Step(reloadInterval)
	if got := statusOf(t, good, url+"/closed"); got != 401 {
		t.Errorf("on an open connection, after another CA came into use: %d", got)
	}
}

func TestCertificateFiles(t *testing.T) {
	c := clocktesting.NewFakeClock(time.Now())
	ca, dir := newAuthority(t), t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	install := func(cert, key string) {
		copyFile(t, cert, certFile)
		copyFile(t, key, keyFile)
		c.Step(reloadInterval)
	}
	cert1, key1 := ca.issue("one", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))
	cert2, key2 := ca.issue("two", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))
	install(cert1, key1)
	url := secure(t, c, Options{CertFile: certFile, KeyFile: keyFile, Hosts: []string{"one", "two"}})
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	expect := func(name string) {
		t.Helper()
		if got := statusOf(t, over(t, &tls.Config{RootCAs: roots, ServerName: name}, nil), url+"/open"); got != 200 {
			t.Errorf("%s answers %d", name, got)
		}
	}
	expect("one")
	install(cert2, key1) // half of a change
	expect("one")
	install(cert2, key2)
	expect("two")

	old := over(t, &tls.Config{RootCAs: roots, ServerName: "two", MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, nil)
	if _, err := old.Get(url); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("TLS 1.1: %v", err)
	}
}

func TestNewRefusesMistakes(t *testing.T) {
	dir := t.TempDir()
	pipe, text, empty, ca := filepath.Join(dir, "pipe"), filepath.Join(dir, "text"), filepath.Join(dir, "empty"), newAuthority(t)
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	writeFile(t, text, []byte("some text"))
	writeFile(t, empty, nil)
	cert, key := ca.issue("a", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))
	for complaint, o := range map[string]Options{
		"belong together":               {CertFile: cert},
		"set both files or neither":     {KeyFile: key},
		"set one of them":               {CertFile: cert, KeyFile: key, SelfSigned: true},
		"needs TLS":                     {ClientCAFile: ca.file},
		"must not be negative":          {MaxConnections: -1},
		"nowhere":                       {TokenFile: filepath.Join(dir, "nowhere")},
		"it is a named pipe":            {TokenFile: pipe},
		"one token a line":              {TokenFile: text},
		"there is no token":             {TokenFile: empty},
		"certificate in [" + text:       {CertFile: text, KeyFile: key},
		"CA of clients in [" + text:     {ClientCAFile: text, SelfSigned: true},
		`host "https://town": want a`:   {Hosts: []string{"https://town"}},
		`host "town:80": want a name`:   {Hosts: []string{"town:80"}},
		`host "": want a name without`:  {Hosts: []string{""}},
		"certificate: open " + pipe:     {CertFile: pipe, KeyFile: key},
		"CA of clients: open " + pipe:   {ClientCAFile: pipe, SelfSigned: true},
		"private key does not match pu": {CertFile: cert, KeyFile: keyOf(ca)},
	} {
		_, err := New(o, clock.RealClock{}, logr.Discard())
		if err == nil || !strings.Contains(err.Error(), complaint) || strings.Contains(fmt.Sprint(err), "some text") {
			t.Errorf("the error is %v, want %s", err, complaint)
		}
	}
}

func keyOf(a *authority) string {
	_, key := a.issue("other", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))
	return key
}
