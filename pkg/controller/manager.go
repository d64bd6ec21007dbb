package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// ManagerOptions configure a [Manager]. The zero value is useful.
type ManagerOptions struct {
	// Log gets what controllers and the replica have to say. Defaults to
	// discarding.
	Log logr.Logger
	// GracePeriod is how long reconciles that are under way may go on when the
	// manager stops; then their contexts are done. Defaults to 5 seconds.
	GracePeriod time.Duration
	// Clock times backoff and pauses. Defaults to the system's.
	Clock clock.WithTickerAndDelayedExecution
}

// Manager runs controllers over one replica of one store. It has no state
// outside of itself: a process may have several.
type Manager struct {
	store   *store.Store
	replica *informer.Replica
	options ManagerOptions
	log     logr.Logger
	clock   clock.WithTickerAndDelayedExecution

	informers sync.Map // reflect.Type -> *informer.Informer of it; see knownInformer

	mu          sync.Mutex
	started     bool
	names       map[string]bool
	replicas    []namedReplica // its own, and those of others' data
	controllers []controllerLoop
	runnables   []namedRunnable
}

type controllerLoop interface {
	controllerName() string
	run(ctx context.Context) error
}

type namedReplica struct {
	name    string
	replica *informer.Replica
}

type namedRunnable struct {
	name string
	run  func(ctx context.Context) error
}

// NewManager returns a manager with no controllers. It does nothing until Run.
func NewManager(s *store.Store, o ManagerOptions) (*Manager, error) {
	if s == nil {
		return nil, errors.New("manager: the store is nil")
	}
	if o.GracePeriod <= 0 {
		o.GracePeriod = 5 * time.Second
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	replica := informer.NewReplica(s, informer.Options{Log: o.Log.WithName("replica"), Clock: o.Clock})
	return &Manager{
		store: s.WithCache(replica), replica: replica, options: o, log: o.Log, clock: o.Clock,
		names: map[string]bool{}, replicas: []namedReplica{{"", replica}},
	}, nil
}

// Replica returns the replica that the manager's controllers share. Register
// kinds, indexes and handlers with it freely.
func (m *Manager) Replica() *informer.Replica { return m.replica }

// Store returns the store that reconcilers are to write through. It is the one
// that the manager was made with, helped by the replica: an update of an object
// that the replica has needs one round trip.
func (m *Manager) Store() *store.Store { return m.store }

// Add has a function run beside the controllers, from when the replica has
// synced until its context is done. When it returns an error or panics the
// manager stops; when it returns nil the manager goes on. The name must be
// unlike those of the manager's controllers and other functions.
func (m *Manager) Add(name string, run func(ctx context.Context) error) error {
	switch {
	case name == "":
		return errors.New("runnable: the name is missing")
	case run == nil:
		return fmt.Errorf("runnable %q: the function is nil", name)
	}
	return m.register(name, "runnable", func() { m.runnables = append(m.runnables, namedRunnable{name, run}) })
}

// AddReplica has the manager run one more replica, such as that of another etcd,
// which sources take part in by [WatchesInformer]. The controllers start when it
// has synced too, and it runs until they have ended; when it fails, the manager
// stops. The name must be unlike those of the manager's controllers, functions
// and other replicas.
func (m *Manager) AddReplica(name string, r *informer.Replica) error {
	switch {
	case name == "":
		return errors.New("replica: the name is missing")
	case r == nil:
		return fmt.Errorf("replica %q: it is nil", name)
	case r == m.replica:
		return fmt.Errorf("replica %q: it is the manager's own", name)
	}
	return m.register(name, "replica", func() { m.replicas = append(m.replicas, namedReplica{name, r}) })
}

func (m *Manager) addController(c controllerLoop) error {
	return m.register(c.controllerName(), "controller", func() { m.controllers = append(m.controllers, c) })
}

func (m *Manager) register(name, what string, add func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started {
		return fmt.Errorf("%s %q: the manager runs already", what, name)
	}
	if m.names[name] {
		return fmt.Errorf("%s %q: the manager has a controller, runnable or replica of that name", what, name)
	}
	m.names[name] = true
	add()
	return nil
}
