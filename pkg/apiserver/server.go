package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/serving"
	"github.com/homeostat/homeostat/pkg/store"
)

// DefaultAddress is where a server listens by default.
const DefaultAddress = "127.0.0.1:8001"

// gracePeriod is how long requests may take to finish once the server stops.
const gracePeriod = 10 * time.Second

// Options configure a [Server]. The zero value is useful.
type Options struct {
	// Address is what the server listens on: a host and a port, where port 0 takes a free
	// one. On an address other than a loopback address the server demands TLS and a way
	// for clients to prove who they are; see Serving. Defaults to [DefaultAddress].
	Address string
	// Serving says how the server serves: its TLS, who may use it, and its limits.
	// Defaults to no TLS and to everybody who reaches the address.
	Serving serving.Options
	// Kubeconfig is the name of a file to write when the server listens: clients find the
	// server by it, as in KUBECONFIG=FILE kubectl get pods. An existing file is replaced.
	// Defaults to none.
	Kubeconfig string
	// Kinds say how kinds are shown and named. All kinds of the store are served, whether
	// or not they are here.
	Kinds []AnyKind
	// Clock makes ages, and times TLS files. Defaults to the system's clock.
	Clock clock.WithDelayedExecution
	// Log receives the address and what fails. Defaults to discarding it.
	Log logr.Logger
}

// Server serves the Kubernetes API of a store's kinds. [New] makes one, and [Server.Run]
// runs it. Its methods may be called concurrently.
type Server struct {
	options    Options
	manager    *controller.Manager
	store      *store.Store
	server     *serving.Server
	authorizer authorizer.Authorizer
	handler    http.Handler
	listening  chan net.Addr // has the address once Run listens
}

// New returns a server of the kinds of a manager's store. It returns an error if the
// options are wrong, or if a kind cannot be served. It sends nothing to etcd.
func New(m *controller.Manager, o Options) (*Server, error) {
	if o.Address == "" {
		o.Address = DefaultAddress
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	server, err := serving.New(o.Serving, o.Clock, o.Log)
	if err != nil {
		return nil, fmt.Errorf("apiserver: %w", err)
	}
	s := &Server{
		options: o, manager: m, store: m.Store(), server: server,
		authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(), listening: make(chan net.Addr, 1),
	}
	if err := s.build(); err != nil {
		return nil, fmt.Errorf("apiserver: %w", err)
	}
	return s, nil
}

// build makes the handler.
func (s *Server) build() error {
	t, err := newTypes(s.store)
	if err != nil {
		return err
	}
	kinds, err := s.kinds(t)
	if err != nil {
		return err
	}
	described := newOpenAPI(kinds)
	converter, err := newTypeConverter(described)
	if err != nil {
		return err
	}
	resources := s.newInstallation(t, converter)
	if err := resources.all(kinds); err != nil {
		return err
	}
	mux := http.NewServeMux()
	if err := described.install(mux); err != nil {
		return err
	}
	mux.HandleFunc("/version", serveVersion)
	health := s.manager.Handler()
	mux.Handle("/healthz", health)
	mux.Handle("/readyz", health)
	mux.Handle("/livez", http.RedirectHandler("/healthz", http.StatusFound))
	mux.Handle("/", resources.container)
	s.handler = s.server.Authenticated(withFilters(mux, resources.codecs))
	return nil
}

// kinds returns the kinds of the store by their group and version.
func (s *Server) kinds(t *types) (map[schema.GroupVersion][]*kind, error) {
	known, own := looks(), map[schema.GroupVersionKind]look{}
	for _, k := range s.options.Kinds {
		gvk, l, err := k.look(s.store)
		if err != nil {
			return nil, err
		}
		own[gvk] = l
	}
	kinds := map[schema.GroupVersion][]*kind{}
	for _, info := range s.store.Kinds() {
		k, err := newKind(s.store, info, own[info.GroupVersionKind].or(known[info.GroupVersionKind]))
		if err != nil {
			return nil, err
		}
		t.add(k)
		kinds[k.gvk.GroupVersion()] = append(kinds[k.gvk.GroupVersion()], k)
	}
	return kinds, nil
}

// Run serves until ctx is done. Then it accepts no more requests, ends the watches, gives
// the other requests ten seconds, and returns nil. It returns an error if it cannot
// listen, or cannot go on serving. Run may be called once. Its signature is that of a
// runnable of a manager:
//
//	m.Add("api", api.Run, controller.RunnableOptions{EveryProcess: true})
func (s *Server) Run(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.options.Address)
	if err != nil {
		return fmt.Errorf("apiserver: %w", err)
	}
	if err := s.announce(listener.Addr()); err != nil {
		_ = listener.Close() // the error to report is the other one
		return fmt.Errorf("apiserver: %w", err)
	}
	if err := s.server.Serve(ctx, listener, endWatches(ctx, s.handler), gracePeriod); err != nil {
		return fmt.Errorf("apiserver: %w", err)
	}
	return nil
}

// announce tells clients where the server listens. It returns an error if the server
// must not listen there.
func (s *Server) announce(at net.Addr) error {
	if !serving.IsLoopback(at) && (!s.options.Serving.Secure() || !s.options.Serving.Authenticates()) {
		return fmt.Errorf("listen on %s: the API would be open to everybody who reaches the address: "+
			"set TLS and a token file or a CA of clients in Options.Serving, or listen on 127.0.0.1", at)
	}
	if s.options.Kubeconfig != "" {
		if err := s.writeKubeconfig(at); err != nil {
			return err
		}
	}
	s.options.Log.Info("serving the Kubernetes API", "address", at.String(), "tls", s.options.Serving.Secure(),
		"authentication", s.options.Serving.Authenticates())
	s.listening <- at
	return nil
}

// URL returns the address of the server, such as http://127.0.0.1:8001, once Run listens
// there. It waits for that. The error is that of ctx.
func (s *Server) URL(ctx context.Context) (string, error) {
	select {
	case at := <-s.listening:
		s.listening <- at
		return s.urlOf(at), nil
	case <-ctx.Done():
		return "", fmt.Errorf("apiserver: the server does not listen yet: %w", errors.Join(ctx.Err(), context.Cause(ctx)))
	}
}

func (s *Server) urlOf(at net.Addr) string {
	if s.options.Serving.Secure() {
		return "https://" + at.String()
	}
	return "http://" + at.String()
}
