package serving

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

func TestGuard(t *testing.T) {
	loopback, everywhere := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv6zero}
	town := []string{"town.example"}
	h := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	for name, x := range map[string]struct {
		addr   net.Addr
		hosts  []string
		method string
		host   string
		header map[string]string
		status int
	}{
		"localhost":                        {addr: loopback, host: "localhost:8080", status: 200},
		"LOCALHOST without a port":         {addr: loopback, host: "LOCALHOST", status: 200},
		"an address":                       {addr: loopback, host: "127.0.0.1:8080", status: 200},
		"an IPv6 address":                  {addr: loopback, host: "[::1]:8080", status: 200},
		"an IPv6 address without a port":   {addr: loopback, host: "[::1]", status: 200},
		"a foreign name":                   {addr: loopback, host: "evil.example:8080", status: 403},
		"a name that begins alike":         {addr: loopback, host: "localhost.evil.example", status: 403},
		"a name that looks like a number":  {addr: loopback, host: "127.0.0.1.evil.example", status: 403},
		"no name":                          {addr: loopback, host: "", status: 200},
		"a port alone":                     {addr: loopback, host: ":8080", status: 200},
		"a configured name":                {addr: loopback, hosts: town, host: "Town.Example:80", status: 200},
		"not the configured name":          {addr: loopback, hosts: town, host: "a.town.example", status: 403},
		"any name, everywhere":             {addr: everywhere, host: "evil.example", status: 200},
		"a foreign name, with names":       {addr: everywhere, hosts: town, host: "evil.example", status: 403},
		"a configured name, everywhere":    {addr: everywhere, hosts: town, host: "town.example", status: 200},
		"an address, with names":           {addr: everywhere, hosts: town, host: "10.0.0.1:8080", status: 200},
		"its own origin":                   {addr: loopback, host: "localhost:8080", header: h("Origin", "http://localhost:8080", "Sec-Fetch-Site", "same-origin"), status: 200},
		"a foreign origin":                 {addr: loopback, host: "localhost:8080", header: h("Origin", "http://evil.example"), status: 403},
		"another port":                     {addr: loopback, host: "localhost:8080", header: h("Origin", "http://localhost:3000", "Sec-Fetch-Site", "same-site"), status: 403},
		"the origin of a file":             {addr: loopback, host: "localhost:8080", header: h("Origin", "null"), status: 403},
		"no URL as origin":                 {addr: loopback, host: "localhost:8080", header: h("Origin", "http://%"), status: 403},
		"an image of a foreign page":       {addr: loopback, host: "localhost:8080", header: h("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"), status: 403},
		"a frame of a foreign page":        {addr: loopback, host: "localhost:8080", header: h("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"), status: 403},
		"a link of a foreign page":         {addr: loopback, host: "localhost:8080", header: h("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), status: 200},
		"a form of a foreign page":         {addr: loopback, method: http.MethodPost, host: "localhost:8080", header: h("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), status: 403},
		"an address typed by the user":     {addr: loopback, host: "localhost:8080", header: h("Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), status: 200},
		"a foreign page, without any name": {addr: everywhere, host: "town.example", header: h("Origin", "http://evil.example"), status: 200},
	} {
		s, err := New(Options{Hosts: x.hosts}, clock.RealClock{}, logr.Discard())
		if err != nil {
			t.Fatal(err)
		}
		method := x.method
		if method == "" {
			method = http.MethodGet
		}
		req := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
		req.Host = x.host
		for key, value := range x.header {
			req.Header.Set(key, value)
		}
		w := httptest.NewRecorder()
		s.guarded(x.addr, http.HandlerFunc(hello)).ServeHTTP(w, req)
		if w.Code != x.status {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, x.status, w.Body)
		}
	}
}
