package apiserver

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/endpoints/responsewriter"

	"github.com/homeostat/homeostat/pkg/serving"
)

const (
	// requestTimeout is the limit of a request that is no watch.
	requestTimeout = 50 * time.Second
	// writeTimeout is how long the client of a watch may take to read an event.
	writeTimeout = time.Minute
)

// withFilters adds what the handlers of k8s.io/apiserver need in the context of a request,
// and what protects the server from clients.
func withFilters(h http.Handler, codecs runtime.NegotiatedSerializer) http.Handler {
	isWatch := func(_ *http.Request, info *request.RequestInfo) bool { return info.Verb == "watch" }
	h = extendWatches(h)
	h = refuseCostlyPatches(h)
	h = requireContentType(h)
	h = filters.WithRequestDeadline(h, nil, nil, isWatch, codecs, requestTimeout)
	h = filters.WithWarningRecorder(h)
	h = filters.WithAuditInit(h)
	h = filters.WithRequestReceivedTimestamp(h)
	return filters.WithRequestInfo(h, &request.RequestInfoFactory{
		APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")})
}

// requireContentType refuses a body that does not say what it is. A web page can make a
// browser send such a request anywhere without asking first.
func requireContentType(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 && r.Header.Get("Content-Type") == "" && r.Method != http.MethodGet && r.Method != http.MethodHead {
			status := metav1.Status{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
				Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
				Message: "the request has a body and no Content-Type: set one, such as application/json",
			}
			writeJSON(w, http.StatusUnsupportedMediaType, status)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// endWatches ends watches when ctx is done, so that a server that stops need not wait for
// them.
func endWatches(ctx context.Context, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked := r.URL.Query().Get("watch"); asked != "" && asked != "0" && asked != "false" || strings.Contains(r.URL.Path, "/watch/") {
			watchCtx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(ctx, cancel)()
			r = r.WithContext(watchCtx)
		}
		h.ServeHTTP(w, r)
	})
}

// extendWatches lets a watch last for as long as its client reads it.
func extendWatches(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if info, ok := request.RequestInfoFrom(r.Context()); ok && info.Verb == "watch" {
			serving.Extend(w, writeTimeout)
			w = responsewriter.WrapForHTTP1Or2(&streamWriter{w})
		}
		h.ServeHTTP(w, r)
	})
}

// streamWriter gives the client time for each write.
type streamWriter struct{ inner http.ResponseWriter }

// Header implements http.ResponseWriter.
func (w *streamWriter) Header() http.Header { return w.inner.Header() }

// WriteHeader implements http.ResponseWriter.
func (w *streamWriter) WriteHeader(code int) { w.inner.WriteHeader(code) }

// Unwrap is for http.ResponseController, and for responsewriter, which adds the interfaces of
// the inner writer.
func (w *streamWriter) Unwrap() http.ResponseWriter { return w.inner }

// Write implements http.ResponseWriter.
func (w *streamWriter) Write(p []byte) (int, error) {
	serving.Extend(w.inner, writeTimeout)
	return w.inner.Write(p)
}

func serveVersion(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, version.Info{Major: "1", Minor: "37", GitVersion: "v1.37.2+homeostat", Compiler: "gc", Platform: "etcd"})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client is gone
}
