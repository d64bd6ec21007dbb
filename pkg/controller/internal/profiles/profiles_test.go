package profiles_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	_ "github.com/homeostat/homeostat/pkg/controller" // for TestDefaultServeMuxHasNoProfiles
	"github.com/homeostat/homeostat/pkg/controller/internal/profiles"
)

// get asks the handler for a page.
func get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	profiles.Handler("/debug/pprof/").ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

func TestHandler(t *testing.T) {
	gzip := []byte{0x1f, 0x8b}
	for path, want := range map[string]struct {
		status int
		body   []byte
	}{
		"/debug/pprof/":                     {200, []byte(`<a href="heap?debug=1">`)},
		"/debug/pprof/heap":                 {200, gzip},
		"/debug/pprof/heap?gc=1&debug=1":    {200, []byte("heap profile")},
		"/debug/pprof/goroutine?debug=2":    {200, []byte("profiles_test.TestHandler")},
		"/debug/pprof/cmdline":              {200, []byte(os.Args[0])},
		"/debug/pprof/profile?seconds=0.01": {200, gzip},
		"/debug/pprof/trace?seconds=0.01":   {200, []byte("go 1.")},
		"/debug/pprof/heap?seconds=1":       {400, []byte("-diff_base")},
		"/debug/pprof/none":                 {404, []byte(`no profile "none"`)},
		"/debug/pprof/%3Cscript%3E?debug=1": {404, []byte("no profile")},
	} {
		w := get(t, path)
		if w.Code != want.status || !bytes.Contains(w.Body.Bytes(), want.body) {
			t.Errorf("%s: status %d, want %d with %q in the body", path, w.Code, want.status, want.body)
		}
	}
}

// Only one CPU profile can be taken at a time.
func TestProfileWhileAnotherIsTaken(t *testing.T) {
	done := make(chan int)
	for range 2 {
		go func() { done <- get(t, "/debug/pprof/profile?seconds=0.2").Code }()
	}
	if a, b := <-done, <-done; a == b {
		t.Errorf("both answers have status %d", a)
	}
}

// A time beyond all numbers does not end at once.
func TestProfileOfALongTime(t *testing.T) {
	for _, seconds := range []string{"1e300", "Inf", "9300000000"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		req := httptest.NewRequestWithContext(ctx, http.MethodGet, "/debug/pprof/trace?seconds="+seconds, nil)
		profiles.Handler("/debug/pprof/").ServeHTTP(httptest.NewRecorder(), req)
		if ctx.Err() == nil {
			t.Errorf("%s seconds are over", seconds)
		}
		cancel()
	}
}

// hurried is the answer of a server that limits how long it may take.
type hurried struct {
	*httptest.ResponseRecorder
	limit time.Time
}

func (h *hurried) SetWriteDeadline(t time.Time) error { h.limit = t; return nil }

// A server's limit does not cut off a profile that takes longer.
func TestProfileExtendsTheLimit(t *testing.T) {
	for _, path := range []string{"profile?seconds=600", "trace?seconds=600"} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w := &hurried{ResponseRecorder: httptest.NewRecorder()}
		profiles.Handler("/debug/pprof/").ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/debug/pprof/"+path, nil))
		if time.Until(w.limit) < 600*time.Second {
			t.Errorf("%s may take until %v", path, w.limit)
		}
	}
}

// A program that imports package controller and serves http.DefaultServeMux does
// not publish its profiles.
func TestDefaultServeMuxHasNoProfiles(t *testing.T) {
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile"} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		if _, pattern := http.DefaultServeMux.Handler(req); pattern != "" {
			t.Errorf("%s is served as %q", path, pattern)
		}
	}
}
