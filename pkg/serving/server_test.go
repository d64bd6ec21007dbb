package serving

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"k8s.io/utils/clock"
)

const getRequest = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

func hello(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }

// A connection that a client leaves open ends at its limit.
func TestLimits(t *testing.T) {
	for name, x := range map[string]struct {
		options Options
		client  func(t *testing.T, c net.Conn)
		within  time.Duration
	}{
		"a client that sends nothing": {client: func(*testing.T, net.Conn) {}, within: headerTimeout},
		"half a header":               {client: func(t *testing.T, c net.Conn) { write(t, c, getRequest[:20]) }, within: headerTimeout},
		"half a body": {client: func(t *testing.T, c net.Conn) {
			write(t, c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
		}, within: readTimeout},
		"nothing after an answer": {client: func(t *testing.T, c net.Conn) { send(t, c, getRequest) }, within: idleTimeout},
		"an answer that nobody reads": {client: func(t *testing.T, c net.Conn) {
			write(t, c, strings.Replace(getRequest, "/", "/long", 1))
		}, within: writeTimeout},
		"no TLS handshake": {options: Options{SelfSigned: true}, client: func(*testing.T, net.Conn) {}, within: headerTimeout},
		"half a TLS handshake": {options: Options{SelfSigned: true}, client: func(t *testing.T, c net.Conn) {
			write(t, c, "\x16\x03\x01\x02\x00\x01")
		}, within: headerTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, stop := serve(t, x.options, func(w http.ResponseWriter, req *http.Request) {
					_, _ = io.Copy(io.Discard, req.Body)
					if req.URL.Path == "/long" {
						_, _ = w.Write(make([]byte, 1<<20))
					}
				})
				defer stop()
				c, begun := p.dial(), time.Now()
				x.client(t, c)
				begunWaiting := time.Now()
				time.Sleep(x.within + time.Second - begunWaiting.Sub(begun))
				synctest.Wait()
				if _, err := c.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("after %v the connection is open: %v", x.within+time.Second, err)
				}
			})
		})
	}
}

func TestLongHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := serve(t, Options{}, hello)
		defer stop()
		c := p.dial()
		go func() { _, _ = io.WriteString(c, getRequest[:len(getRequest)-2]+"A: "+strings.Repeat("x", 1<<20)) }()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%+v, %v", resp, err)
		}
		c.Close()
	})
}

// A further connection waits for one of the others to end. None can wait for ever.
func TestMaxConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := serve(t, Options{MaxConnections: 3}, hello)
		defer stop()
		begun := time.Now()
		for range 3 {
			p.dial() // and sends nothing
		}
		send(t, p.dial(), getRequest)
		if took := time.Since(begun); took < headerTimeout || took > headerTimeout+time.Second {
			t.Errorf("the fourth connection was served after %v", took)
		}
	})
}

// Extend excepts an answer from the limit, and a stream for as long as it is read.
func TestExtend(t *testing.T) {
	for name, x := range map[string]struct {
		extension time.Duration
		events    int // that the client reads before the server cuts it off
	}{
		"no extension": {0, 0},
		"an extension": {time.Hour, 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan error, 1)
				p, stop := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
					var err error
					for err == nil {
						time.Sleep(10 * time.Minute)
						if x.extension > 0 {
							Extend(w, x.extension)
						}
						if _, err = fmt.Fprintln(w, "event"); err == nil {
							err = http.NewResponseController(w).Flush()
						}
					}
					ended <- err
				})
				defer stop()
				c := p.dial()
				write(t, c, getRequest)
				r := bufio.NewReader(c)
				for range x.events {
					for line := ""; line != "event\n"; {
						var err error
						if line, err = r.ReadString('\n'); err != nil {
							t.Fatal(err)
						}
					}
				}
				stoppedReading := time.Now()
				if err, took := <-ended, time.Since(stoppedReading); err == nil || took > 10*time.Minute+x.extension {
					t.Errorf("a client that does not read is cut off after %v: %v", took, err)
				}
			})
		})
	}
}

// Serve returns when its handlers have ended, though they outlast the grace period.
func TestServeWaitsForHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, ended := make(chan struct{}), false
		p, stop := serve(t, Options{}, func(_ http.ResponseWriter, req *http.Request) {
			close(begun)
			<-req.Context().Done()
			time.Sleep(time.Minute)
			ended = true
		})
		write(t, p.dial(), getRequest)
		<-begun
		at := time.Now()
		stop()
		if !ended || time.Since(at) < time.Minute {
			t.Error("a handler is running")
		}
	})
}

// Serve finishes the answers that it has begun.
func TestServeFinishesAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := make(chan struct{})
		p, stop := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
			close(begun)
			time.Sleep(4 * time.Second)
			fmt.Fprint(w, "all")
		})
		c := p.dial()
		write(t, c, getRequest)
		<-begun
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			stop()
		}()
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.ContentLength != 3 {
			t.Errorf("%+v, %v", resp, err)
		}
		<-stopped
	})
}

func TestServeFails(t *testing.T) {
	s, err := New(Options{}, clock.RealClock{}, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), l, http.NotFoundHandler(), time.Second); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// A handler that panics is an error in the log. A client that breaks off is none.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		s, err := New(Options{SelfSigned: true}, clock.RealClock{}, funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		p := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- s.Serve(ctx, p, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("no bread") }), time.Second)
		}()
		p.dial().Close()
		synctest.Wait()
		if len(lines) > 0 {
			t.Errorf("a client that broke off is logged: %q", lines)
		}
		c := tls.Client(p.dial(), &tls.Config{InsecureSkipVerify: true})
		write(t, c, getRequest)
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a panic is answered")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if len(lines) != 1 || !strings.Contains(lines[0], "no bread") || !strings.Contains(lines[0], "server_test.go") {
			t.Errorf("a panic is logged as %q", lines)
		}
	})
}

// Tokens are not sent in clear to another machine.
func TestServeKeepsTokensSecret(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	writeFile(t, tokens, []byte("secret"))
	everywhere := &net.TCPAddr{IP: net.IPv6zero, Port: 80}
	for name, x := range map[string]struct {
		options Options
		addr    net.Addr
		refused bool
	}{
		"in clear, everywhere":      {Options{TokenFile: tokens}, everywhere, true},
		"in clear, on this machine": {Options{TokenFile: tokens}, &net.TCPAddr{IP: net.IPv6loopback, Port: 80}, false},
		"in clear, in a file":       {Options{TokenFile: tokens}, &net.UnixAddr{Name: "x", Net: "unix"}, false},
		"with TLS":                  {Options{TokenFile: tokens, SelfSigned: true}, everywhere, false},
		"without tokens":            {Options{}, everywhere, false},
	} {
		s, err := New(x.options, clock.RealClock{}, logr.Discard())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(x.addr); (err != nil) != x.refused || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{TokenFile: tokens}, clock.RealClock{}, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(context.Background(), l, http.NotFoundHandler(), time.Second); err == nil {
		t.Error("it serves")
	}
}
