// Package profiles serves the Go runtime's profiles over HTTP, for `go tool pprof`
// and `go tool trace`.
//
// It takes the place of net/http/pprof, whose import alone registers the profiles
// with http.DefaultServeMux: every program that serves that mux would publish
// them. Two things of net/http/pprof are left out: /symbol, which profiles have not
// needed since they carry their symbols, and the difference of two profiles by
// ?seconds=, which `go tool pprof -diff_base` computes.
package profiles

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"time"

	"github.com/homeostat/homeostat/pkg/serving"
)

// Handler serves, below prefix, which ends in a slash:
//
//	<prefix>          a list of the profiles
//	<prefix>heap      a profile of that name; debug=1 or 2 gives text; for heap,
//	                  gc=1 collects garbage before
//	<prefix>profile   a CPU profile of so many seconds; defaults to 30
//	<prefix>trace     an execution trace of so many seconds; defaults to 1
//	<prefix>cmdline   the command line, its arguments separated by NUL bytes
func Handler(prefix string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+prefix+"{$}", list)
	mux.HandleFunc("GET "+prefix+"{name}", named)
	mux.HandleFunc("GET "+prefix+"profile", func(w http.ResponseWriter, req *http.Request) {
		record(w, req, "profile", 30*time.Second, func() error { return pprof.StartCPUProfile(w) }, pprof.StopCPUProfile)
	})
	mux.HandleFunc("GET "+prefix+"trace", func(w http.ResponseWriter, req *http.Request) {
		record(w, req, "trace", time.Second, func() error { return trace.Start(w) }, trace.Stop)
	})
	mux.HandleFunc("GET "+prefix+"cmdline", func(w http.ResponseWriter, _ *http.Request) {
		asText(w)
		fmt.Fprint(w, strings.Join(os.Args, "\x00"))
	})
	return mux
}

func list(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, "<!DOCTYPE html><title>profiles</title><table>\n")
	for _, p := range pprof.Profiles() {
		fmt.Fprintf(w, "<tr><td>%d<td><a href=\"%[2]s?debug=1\">%[2]s</a>\n", p.Count(), p.Name())
	}
	for _, name := range []string{"cmdline", "profile", "trace"} {
		fmt.Fprintf(w, "<tr><td><td><a href=\"%[1]s\">%[1]s</a>\n", name)
	}
	fmt.Fprint(w, "</table><p><a href=\"goroutine?debug=2\">all goroutines</a>\n")
}

func named(w http.ResponseWriter, req *http.Request) {
	name := req.PathValue("name")
	p := pprof.Lookup(name)
	switch {
	case p == nil:
		fail(w, http.StatusNotFound, "there is no profile "+strconv.Quote(name))
		return
	case req.FormValue("seconds") != "":
		fail(w, http.StatusBadRequest, "seconds is for profile and trace: take this profile twice and compare them with go tool pprof -diff_base")
		return
	}
	if name == "heap" && number(req, "gc") > 0 {
		runtime.GC()
	}
	debug := number(req, "debug")
	if debug > 0 {
		asText(w)
	} else {
		asFile(w, name)
	}
	_ = p.WriteTo(w, int(min(debug, 2))) // fails only if the client has gone
}

// record starts a recording, which writes to w, and stops it after the seconds
// that the request gives, at most an hour, or when the client goes.
func record(w http.ResponseWriter, req *http.Request, name string, d time.Duration, start func() error, stop func()) {
	if seconds := number(req, "seconds"); seconds > 0 {
		d = time.Duration(min(seconds, 3600) * float64(time.Second))
	}
	serving.Extend(w, d+time.Minute)
	asFile(w, name)
	if err := start(); err != nil {
		w.Header().Del("Content-Disposition")
		fail(w, http.StatusConflict, err.Error())
		return
	}
	defer stop()
	select {
	case <-time.After(d):
	case <-req.Context().Done():
	}
}

// number returns a number among the request's parameters, or 0.
func number(req *http.Request, name string) float64 {
	n, err := strconv.ParseFloat(req.FormValue(name), 64)
	if err != nil {
		return 0
	}
	return n
}

func asText(w http.ResponseWriter) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
}

func asFile(w http.ResponseWriter, name string) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
}

// fail answers with an error in the form that go tool pprof shows.
func fail(w http.ResponseWriter, status int, text string) {
	asText(w)
	w.Header().Set("X-Go-Pprof", "1")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}
