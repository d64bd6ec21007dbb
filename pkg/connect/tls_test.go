package connect_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/homeostat/homeostat/pkg/connect"
	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// authority issues certificates to files.
type authority struct {
	t    *testing.T
	name string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t, name: name}
	a.file, _ = a.issue("ca", "", time.Now().Add(time.Hour))
	return a
}

// issue returns the files of a certificate and its key. The first certificate is the CA's.
func (a *authority) issue(name, host string, expires time.Time) (certFile, keyFile string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: expires.Add(-24 * time.Hour), NotAfter: expires, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else if host != "" {
		template.DNSNames = []string{host}
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	a.must(err)
	if a.cert == nil {
		a.cert, err = x509.ParseCertificate(der)
		a.must(err)
		a.key = key
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	a.must(err)
	dir := a.t.TempDir()
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+"-key.pem")
	a.must(os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	a.must(os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	return certFile, keyFile
}

func (a *authority) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// serveTLS serves an etcd with TLS, as etcd itself does it, and returns host:port.
func (a *authority) serveTLS(backend string, host string, expires time.Time, clients *authority) string {
	certFile, keyFile := a.issue("server", host, expires)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	a.must(err)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}}
	if clients != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AddCert(clients.cert)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	a.must(err)
	var wg sync.WaitGroup
	a.t.Cleanup(func() { _ = listener.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { forward(conn.(*tls.Conn), backend) })
		}
	})
	return listener.Addr().String()
}

func forward(conn *tls.Conn, backend string) {
	defer conn.Close()
	if conn.Handshake() != nil {
		return
	}
	server, err := net.Dial("unix", strings.TrimPrefix(backend, "unix://"))
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, conn)
		_ = server.Close()
	}()
	_, _ = io.Copy(conn, server)
}

func TestOpenWithTLS(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	later, before := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	backend := cluster.Endpoints()[0]
	open := ours.serveTLS(backend, "127.0.0.1", later, nil)
	strict := ours.serveTLS(backend, "127.0.0.1", later, ours)
	elsewhere := ours.serveTLS(backend, "etcd.example.com", later, nil)
	expired := ours.serveTLS(backend, "127.0.0.1", before, nil)
	plain := etcdtest.Start(t, etcdtest.Options{ClientAddr: "127.0.0.1:0"}).Endpoints()[0]
	web := httptest.NewServer(nil)
	t.Cleanup(web.Close)

	cert, key := ours.issue("client", "", later)
	oldCert, oldKey := ours.issue("client", "", before)
	otherCert, otherKey := others.issue("client", "", later)
	for name, c := range map[string]struct {
		options connect.Options
		want    string // empty: it works
	}{
		"it works":                      {connect.Options{Endpoints: []string{"https://" + open}, CACert: ours.file}, ""},
		"without a scheme":              {connect.Options{Endpoints: []string{open}, CACert: ours.file}, ""},
		"with a certificate":            {connect.Options{Endpoints: []string{"https://" + strict}, CACert: ours.file, Cert: cert, Key: key}, ""},
		"a wrong member next to a good": {connect.Options{Endpoints: []string{"https://" + expired, "https://" + open}, CACert: ours.file}, ""},
		"no certificate":                {connect.Options{Endpoints: []string{"https://" + strict}, CACert: ours.file}, "etcd wants a client's certificate"},
		"no certificate, two members":   {connect.Options{Endpoints: []string{"https://" + strict, "https://" + expired}, CACert: ours.file}, "etcd wants a client's certificate"},
		"an expired certificate":        {connect.Options{Endpoints: []string{"https://" + strict}, CACert: ours.file, Cert: oldCert, Key: oldKey}, "etcd rejects the client's certificate: remote error: tls: expired certificate"},
		"another CA's certificate":      {connect.Options{Endpoints: []string{"https://" + strict}, CACert: ours.file, Cert: otherCert, Key: otherKey}, "etcd rejects the client's certificate: remote error: tls: unknown certificate authority"},
		"another CA":                    {connect.Options{Endpoints: []string{"https://" + open}, CACert: others.file}, "unknown authority"},
		"no CA":                         {connect.Options{Endpoints: []string{"https://" + open}}, "unknown authority"},
		"another host":                  {connect.Options{Endpoints: []string{"https://" + elsewhere}, CACert: ours.file}, "doesn't contain any IP SANs"},
		"an expired server":             {connect.Options{Endpoints: []string{"https://" + expired}, CACert: ours.file}, "certificate has expired"},
		"http to TLS":                   {connect.Options{Endpoints: []string{"http://" + open}}, "etcd serves with TLS there"},
		"http to strict TLS":            {connect.Options{Endpoints: []string{"http://" + strict}}, "etcd serves with TLS there"},
		"an address to TLS":             {connect.Options{Endpoints: []string{open}}, "etcd serves with TLS there"},
		"http to TLS, with a user":      {connect.Options{Endpoints: []string{"http://" + open}, User: "me:secret"}, "etcd serves with TLS there"},
		"https to plain":                {connect.Options{Endpoints: []string{strings.Replace(plain, "http:", "https:", 1)}, CACert: ours.file}, "etcd serves without TLS there"},
		"TLS to a plain socket":         {connect.Options{Endpoints: []string{backend}, CACert: ours.file}, "etcd serves without TLS there"},
		"a web server":                  {connect.Options{Endpoints: []string{web.URL}}, "no etcd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			client, err := c.options.Open(t.Context(), all)
			if err == nil {
				defer client.Close()
			}
			switch took := time.Since(began); {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Fatalf("error %v, want %q", err, c.want)
			case took > 4*time.Second: // the timeout is 5 s
				t.Fatalf("it took %v", took)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		options connect.Options
		want    string // empty: it is right
	}{
		"nothing":                 {connect.Options{}, ""},
		"https and everything":    {connect.Options{Endpoints: []string{"https://a:1", "https://b:1"}, CACert: "f", Cert: "f", Key: "f", User: "me:secret"}, ""},
		"addresses with a CA":     {connect.Options{Endpoints: []string{"a:1", "https://b:1"}, CACert: "f", User: "me:secret"}, ""},
		"a socket":                {connect.Options{Endpoints: []string{"unix:///run/etcd"}, User: "me:secret"}, ""},
		"a socket with TLS":       {connect.Options{Endpoints: []string{"unixs:///run/etcd"}, CACert: "f"}, ""},
		"a password for loopback": {connect.Options{Endpoints: []string{"http://[::1]:1", "http://localhost:1", "127.0.0.1:1"}, User: "me:secret"}, ""},
		"http with a CA":          {connect.Options{Endpoints: []string{"http://a:1"}, CACert: "f"}, "want https"},
		"http with a certificate": {connect.Options{Endpoints: []string{"http://127.0.0.1:1"}, Cert: "f", Key: "f"}, "want https"},
		"capitals":                {connect.Options{Endpoints: []string{"HTTP://a:1"}, CACert: "f"}, "want https"},
		"http with a password":    {connect.Options{Endpoints: []string{"http://a:1"}, User: "me:secret"}, "in clear"},
		"an address and password": {connect.Options{Endpoints: []string{"a:1"}, User: "me", PasswordFile: "f"}, "in clear"},
		"the second is http":      {connect.Options{Endpoints: []string{"https://a:1", "http://a:2"}, CACert: "f"}, "want https"},
		"mixed":                   {connect.Options{Endpoints: []string{"https://a:1", "http://a:2"}}, "one is with TLS"},
		"mixed, by default":       {connect.Options{Endpoints: []string{"https://a:1", "a:2"}}, "one is with TLS"},
		"mixed sockets":           {connect.Options{Endpoints: []string{"unix:///a", "unixs:///a"}}, "one is with TLS"},
		"a user in the URL":       {connect.Options{Endpoints: []string{"http://me:secret@a:1"}}, "redacted@a:1"},
		"a user in an address":    {connect.Options{Endpoints: []string{"me:secret@a:1"}}, "redacted@a:1"},
		"a URL that is wrong":     {connect.Options{Endpoints: []string{"http://me:secret%zz@a:1"}}, "not a valid URL"},
		"another scheme":          {connect.Options{Endpoints: []string{"htps://me:secret@a:1"}}, "scheme"},
		"a query":                 {connect.Options{Endpoints: []string{"http://a:1?password=secret"}}, "queries"},
		"no port":                 {connect.Options{Endpoints: []string{"http://a"}}, "host:port"},
		"no host":                 {connect.Options{Endpoints: []string{":2379"}, User: "me:secret"}, ""},
		"a key alone":             {connect.Options{Key: "f"}, "belong together"},
		"an empty password":       {connect.Options{User: "me:"}, "password is empty"},
		"an empty name":           {connect.Options{User: ":secret"}, "name is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.options.Check()
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Fatalf("error %v, want %q", err, c.want)
			case err != nil && strings.Contains(err.Error(), "secret"):
				t.Fatalf("error %v shows the password", err)
			}
		})
	}
}

func TestFlagsShowNoPassword(t *testing.T) {
	options := connect.Options{Endpoints: []string{"http://me:secret@a:1"}, User: "me:secret"}
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	var out strings.Builder
	flags.SetOutput(&out)
	options.Flags(flags)
	flags.PrintDefaults()
	fmt.Fprintf(&out, "%v %+v", options, &options)
	if strings.Contains(out.String(), "secret") || !strings.Contains(out.String(), "redacted@a:1") {
		t.Fatal(out.String())
	}
}
