package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/trace"
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
	// Leadership, when set, has the controllers and runnables run in one process
	// at a time, save those that say EveryProcess. Defaults to none: every
	// process that runs the manager runs them.
	Leadership *Leadership
	// Sharding, when set, has the keys of controllers made with [New] and [NewFor]
	// spread over all live processes, save of those controllers that say
	// EveryProcess. Other controllers and runnables go by the Leadership; without
	// one, runnables run in every process, and other controllers must say
	// EveryProcess. Defaults to none.
	Sharding *Sharding
	// Events gets the Events of transactions, see [Tx.Eventf]. Who makes it runs
	// it, as a runnable with StopLast for example. Defaults to dropping them.
	Events EventRecorder
	// Controllers changes the options that controllers were made with, by their
	// names; [Config] fills it. Run fails if it names a controller that was not
	// made. Defaults to no changes.
	Controllers map[string]func(*Options)
	// Address is where to serve health, metrics and profiles over HTTP while the
	// manager runs, as [Manager.Handler] does: host:port, of which the host may be
	// left out. When they cannot be served any more the manager stops. Defaults to
	// none.
	Address string
	// Pprof has profiles served too. They tell of the program's inside, and cost
	// time while they are taken.
	Pprof bool
	// Checkpoint keeps the state of the manager's replica in a file, so that the
	// next process reads from etcd only what has changed. What was deleted while no
	// process was there, reconcilers are not told, as without it: that is what
	// finalizers are for. Defaults to none.
	Checkpoint informer.Checkpoint
	// MaxLag is for how long a replica may not be known to be up to date before
	// /readyz says so. Defaults to 15 seconds.
	MaxLag time.Duration
	// TracerProvider makes OpenTelemetry spans: of each reconcile, from the change
	// that caused it to its end, with its wait in the queue and its transactions.
	// Defaults to none.
	TracerProvider trace.TracerProvider
	// Clock times backoff and pauses. Defaults to the system's.
	Clock clock.WithTickerAndDelayedExecution
	// OnMutation, when set, has the replica look for changes of the objects that it
	// shares; see [informer.Options]. This is for tests. Defaults to not looking.
	OnMutation func(informer.Mutation)
}

// Manager runs controllers over one replica of one store. It has no state
// outside of itself: a process may have several.
type Manager struct {
	store   *store.Store
	replica *informer.Replica
	options ManagerOptions
	log     logr.Logger
	clock   clock.WithTickerAndDelayedExecution

	metrics      *metrics
	tracer       trace.Tracer
	checks       checks
	election     *election // nil without Leadership
	sharder      *sharder  // nil without Sharding
	coordination string    // names both in errors
	fencedWrites atomic.Uint64
	listenAt     func(network, address string) (net.Listener, error) // net.Listen

	informers sync.Map // reflect.Type -> *informer.Informer of it; see knownInformer
	owned     sync.Map // reflect.Type -> *informer.Index of it; see ownedIndex

	mu       sync.Mutex
	started  bool
	names    map[string]bool
	replicas []namedReplica // its own, and those of others' data
	parts    []part
}

type namedReplica struct {
	name    string
	replica *informer.Replica
}

// part is a controller or a runnable. Under leadership it is run once in each
// term. ctx is done when it is to stop, and work, which the reconciles that are
// under way then go on with, when they must not.
type part struct {
	name         string
	everyProcess bool
	sharded      bool
	last         bool // it is told to stop when the others have ended
	run          func(ctx, work context.Context) error
	loop         controllerLoop // nil for a runnable
}

// controllerLoop is a *Controller, whatever its keys.
type controllerLoop interface{ state() loopState }

// NewManager returns a manager with no controllers. It does nothing until Run.
func NewManager(s *store.Store, o ManagerOptions) (*Manager, error) {
	if s == nil {
		return nil, errors.New("manager: the store is nil")
	}
	if err := checkSettings(managerSettings, o); err != nil {
		return nil, fmt.Errorf("manager: %w", err)
	}
	if o.GracePeriod == 0 {
		o.GracePeriod = 5 * time.Second
	}
	if o.MaxLag == 0 {
		o.MaxLag = 15 * time.Second
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	replica := informer.NewReplica(s, informer.Options{
		Log: o.Log.WithName("replica"), Clock: o.Clock, Checkpoint: o.Checkpoint, OnMutation: o.OnMutation,
	})
	m := &Manager{
		store: s.WithCache(replica), replica: replica, options: o, log: o.Log, clock: o.Clock,
		names: map[string]bool{}, replicas: []namedReplica{{ownReplica, replica}}, listenAt: net.Listen,
	}
	if o.Leadership != nil {
		leadership, err := o.Leadership.withDefaults()
		if err != nil {
			return nil, fmt.Errorf("manager: %w", err)
		}
		m.election = newElection(s, leadership, o.Clock, o.Log)
		m.coordination = fmt.Sprintf("leadership %q", leadership.Name)
	}
	if o.Sharding != nil {
		sharding, err := o.Sharding.withDefaults()
		if err != nil {
			return nil, fmt.Errorf("manager: %w", err)
		}
		m.sharder = newSharder(s, replica, sharding, o.GracePeriod, o.Clock, o.Log)
		m.coordination = strings.TrimPrefix(m.coordination+" and ", " and ") + fmt.Sprintf("sharding %q", sharding.Name)
	}
	if m.coordination != "" {
		m.store = m.store.WithFencesFrom(m.fences)
	}
	m.metrics, m.tracer = newMetrics(m), newTracer(o.TracerProvider)
	if err := m.metrics.addEvents(o.Events); err != nil {
		return nil, fmt.Errorf("manager: metrics of the recorder of Events: %w", err)
	}
	return m, nil
}

// Replica returns the replica that the manager's controllers share. Register
// kinds, indexes and handlers with it freely.
func (m *Manager) Replica() *informer.Replica { return m.replica }

// Store returns the store that reconcilers are to write through. It is the one
// that the manager was made with, helped by the replica: an update of an object
// that the replica has needs one round trip.
//
// Under [Leadership] or [Sharding] it writes only with the contexts of the
// manager's own reconciles and runnables, and those that come from them: such a
// write carries the fence of the term under which it was begun. Any other write
// through it is refused.
func (m *Manager) Store() *store.Store { return m.store }

// RunnableOptions configure a function that a manager runs. The zero value is
// useful.
type RunnableOptions struct {
	// EveryProcess has it run whoever leads. Its writes carry no fence.
	EveryProcess bool
	// StopLast cancels its context only when the controllers and the other
	// runnables have ended and the leadership is given up. It is for functions that
	// the others use until their end, such as a recorder of Events, which still has
	// to write their last Events. It implies EveryProcess.
	StopLast bool
}

// Add has a function run beside the controllers, from when the replica has
// synced until its context is done. When it returns an error or panics the
// manager stops; when it returns nil the manager goes on. The name must be
// unlike those of the manager's controllers and other functions.
//
// Under [Leadership] it is called anew for each term, and its context is done
// when the term is over; what it returns then counts for nothing.
func (m *Manager) Add(name string, run func(ctx context.Context) error, o RunnableOptions) error {
	switch {
	case name == "":
		return errors.New("runnable: the name is missing")
	case run == nil:
		return fmt.Errorf("runnable %q: the function is nil", name)
	}
	return m.addPart("runnable", part{
		name: name, everyProcess: o.EveryProcess || o.StopLast, last: o.StopLast,
		run: func(ctx, work context.Context) error {
			if err := m.call(ctx, name, run); err != nil && ctx.Err() == nil && work.Err() == nil {
				return fmt.Errorf("runnable %q: %w", name, err)
			}
			return nil
		},
	})
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
	case name == ownReplica:
		return fmt.Errorf("replica %q: that is what the manager's own is called", name)
	}
	return m.register(name, "replica", func() {
		m.replicas = append(m.replicas, namedReplica{name, r})
		m.metrics.addReplica(name, r)
	})
}

// controllerOptions returns a controller's options, changed as the manager's
// options say.
func (m *Manager) controllerOptions(name string, o Options) (Options, error) {
	if change := m.options.Controllers[name]; change != nil {
		change(&o)
	}
	if err := checkSettings(controllerSettings, o); err != nil {
		return o, fmt.Errorf("controller %q: %w", name, err)
	}
	return o, nil
}

func (m *Manager) addPart(what string, p part) error {
	return m.register(p.name, what, func() { m.parts = append(m.parts, p) })
}

func (m *Manager) controllers() []part {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.parts), func(p part) bool { return p.loop == nil })
}

func (m *Manager) allReplicas() []namedReplica {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.replicas)
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
