package serving

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// tlsConfig returns nil if the options say to serve without TLS.
func (s *Server) tlsConfig() (*tls.Config, error) {
	if !s.options.Secure() {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.options.ClientCAFile != "" {
		config.ClientAuth = tls.RequestClientCert // Authenticated verifies it
	}
	if s.options.SelfSigned {
		certificate, err := selfSigned(s.options.Hosts, s.clock.Now())
		if err != nil {
			return nil, fmt.Errorf("make a self-signed certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
		return config, nil
	}
	certificate := newReloaded(s, "certificate", parseCertificate, s.options.CertFile, s.options.KeyFile)
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate.get(), nil }
	return config, certificate.load()
}

func parseCertificate(contents [][]byte) (*tls.Certificate, error) {
	certificate, err := tls.X509KeyPair(contents[0], contents[1])
	return &certificate, err
}

// selfSigned makes a certificate for this machine. It is valid for ten years, which is
// longer than a process runs, and it is never stored.
func selfSigned(hosts []string, now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	names := append([]string{"localhost"}, hosts...)
	if name, err := os.Hostname(); err == nil {
		names = append(names, name)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "self-signed"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
