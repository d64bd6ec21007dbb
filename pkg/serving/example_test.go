package serving_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/serving"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Everybody may ask whether the program lives; its numbers need a token.
func ExampleServer() {
	dir, err := os.MkdirTemp("", "")
	check(err)
	defer os.RemoveAll(dir)
	tokens := filepath.Join(dir, "tokens")
	check(os.WriteFile(tokens, []byte("aSecretOfPrometheus\n"), 0o600))

	s, err := serving.New(serving.Options{TokenFile: tokens}, clock.RealClock{}, logr.Discard())
	check(err)
	answer := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
	}
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", answer("ok"))
	mux.Handle("GET /metrics", s.Authenticated(answer("houses 3")))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, listener, mux, time.Second) }()

	get := func(path, token string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listener.Addr().String()+path, nil)
		check(err)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		check(err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		check(err)
		fmt.Printf("%d %s\n", resp.StatusCode, body)
	}
	get("/healthz", "")
	get("/metrics", "")
	get("/metrics", "aSecretOfPrometheus")
	http.DefaultClient.CloseIdleConnections()
	stop()
	check(<-ended)
	// Output:
	// 200 ok
	// 401 unauthorized: this needs a bearer token
	//
	// 200 houses 3
}

// A stream of events lasts for as long as its client reads it. A client that does not
// read is cut off within a minute.
func ExampleExtend() {
	events := make(chan string)
	stream := func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		beat := time.NewTicker(30 * time.Second) // tells a dead client from a quiet time
		defer beat.Stop()
		for {
			text := ": still here"
			select {
			case event := <-events:
				text = "data: " + event
			case <-beat.C:
			case <-req.Context().Done():
				return
			}
			serving.Extend(w, time.Minute)
			if _, err := fmt.Fprintf(w, "%s\n\n", text); err != nil {
				return
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
		}
	}
	http.NewServeMux().HandleFunc("GET /events", stream)
}
