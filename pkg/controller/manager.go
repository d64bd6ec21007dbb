package controller

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
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

	mu          sync.Mutex
	started     bool
	controllers []controllerLoop
	runnables   []namedRunnable
}

type controllerLoop interface {
	controllerName() string
	run(ctx context.Context) error
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
	return &Manager{store: s.WithCache(replica), replica: replica, options: o, log: o.Log, clock: o.Clock}, nil
}

// Replica returns the replica that the manager's controllers share. Register
// kinds, indexes and handlers with it freely.
func (m *Manager) Replica() *informer.Replica { return m.replica }

// Store returns the store that reconcilers are to write through. It is the one
// that the manager was made with, helped by the replica: an update of an object
// that the replica has needs one round trip.
func (m *Manager) Store() *store.Store { return m.store }

// Add has a function run beside the controllers, from when the replica has
// synced. When it returns an error the manager stops; when it returns nil the
// manager goes on.
func (m *Manager) Add(name string, run func(ctx context.Context) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started {
		return fmt.Errorf("runnable %q: the manager runs already", name)
	}
	m.runnables = append(m.runnables, namedRunnable{name, run})
	return nil
}

func (m *Manager) addController(c controllerLoop) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started {
		return fmt.Errorf("controller %q: the manager runs already", c.controllerName())
	}
	for _, other := range m.controllers {
		if other.controllerName() == c.controllerName() {
			return fmt.Errorf("controller %q: the manager has a controller of that name", c.controllerName())
		}
	}
	m.controllers = append(m.controllers, c)
	return nil
}

// Run starts the replica, waits until it has synced, then starts the
// controllers and what was added with Add, and stops all in the reverse order
// when ctx is done or something fails. It returns when everything that it
// started has ended: nil when ctx was done, otherwise the first failure. A
// manager runs once.
func (m *Manager) Run(ctx context.Context) error {
	m.mu.Lock()
	if m.started {
		m.mu.Unlock()
		return errors.New("manager: Run was called before")
	}
	m.started = true
	m.mu.Unlock()

	// The replica outlives the controllers: what is under way may still read.
	replicaCtx, stopReplica := context.WithCancel(context.WithoutCancel(ctx))
	var replica errgroup.Group
	replica.Go(func() error { return m.replica.Run(replicaCtx) })
	err := m.runControllers(ctx)
	stopReplica()
	return errors.Join(err, replica.Wait())
}

func (m *Manager) runControllers(ctx context.Context) error {
	if err := m.replica.WaitForSync(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return fmt.Errorf("manager: %w", err)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, c := range m.controllers {
		group.Go(func() error { return c.run(groupCtx) })
	}
	for _, r := range m.runnables {
		group.Go(func() error {
			if err := r.run(groupCtx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("runnable %q: %w", r.name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// SignalContext returns a context that is done when the process is asked to
// end, by an interrupt or SIGTERM. A second such signal ends it at once.
func SignalContext() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx
}
