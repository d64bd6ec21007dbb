package serving

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
)

// Authenticated returns a handler that passes on only the requests of clients that have
// proved who they are, and answers others with status 401. It returns h itself if the
// options name no way to do so; see [Options.Authenticates].
//
// The handler may also be served by another server than s. Clients then prove who they
// are by certificates only if that server asks for them.
func (s *Server) Authenticated(h http.Handler) http.Handler {
	if !s.options.Authenticates() {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if s.hasToken(req) || s.hasCertificate(req) {
			h.ServeHTTP(w, req)
			return
		}
		how := "a client certificate"
		if s.tokens != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			if how = "a bearer token"; s.clientCAs != nil {
				how = "a bearer token or a client certificate"
			}
		}
		http.Error(w, "unauthorized: this needs "+how, http.StatusUnauthorized)
	})
}

// hasToken reports whether a request has one of the tokens. How long it takes does not
// depend on what the request has in common with them.
func (s *Server) hasToken(req *http.Request) bool {
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if s.tokens == nil || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	found, sum := 0, sha256.Sum256([]byte(strings.TrimSpace(token)))
	for _, known := range s.tokens.get() {
		found |= subtle.ConstantTimeCompare(sum[:], known[:])
	}
	return found == 1
}

// hasCertificate reports whether a request came with a certificate of one of the CAs.
func (s *Server) hasCertificate(req *http.Request) bool {
	if s.clientCAs == nil || req.TLS == nil || len(req.TLS.PeerCertificates) == 0 {
		return false
	}
	intermediates := x509.NewCertPool()
	for _, c := range req.TLS.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	_, err := req.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: s.clientCAs.get(), Intermediates: intermediates, CurrentTime: s.clock.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}

// parseTokens returns the hashes of tokens, which all have the same length.
func parseTokens(contents [][]byte) ([][sha256.Size]byte, error) {
	var sums [][sha256.Size]byte
	for line := range bytes.Lines(contents[0]) {
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0:
			continue
		case bytes.ContainsAny(line, " \t"):
			return nil, errors.New("a line has several words: want one token a line")
		}
		sums = append(sums, sha256.Sum256(line))
	}
	if len(sums) == 0 {
		return nil, errors.New("there is no token")
	}
	return sums, nil
}

func parseCAs(contents [][]byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(contents[0]) {
		return nil, errors.New("there is no certificate in PEM")
	}
	return pool, nil
}
