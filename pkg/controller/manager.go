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
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/controller/internal/members"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/serving"
	"github.com/homeostat/homeostat/pkg/store"
)

// ManagerOptions configure a [Manager]. The zero value is useful. [Config] lets an
// operator change them.
type ManagerOptions struct {
	// Log gets the log lines of the manager, its controllers and its replica.
	// Defaults to discarding them.
	Log logr.Logger
	// GracePeriod is how long running reconciles may go on when the manager stops.
	// Then their contexts are cancelled. Defaults to 5 seconds.
	GracePeriod time.Duration
	// Leadership, when set, makes the controllers and runnables run in one process
	// at a time, except those with EveryProcess. Defaults to nil: they run in every
	// process.
	Leadership *Leadership
	// Sharding, when set, divides the keys of the controllers made with [New] and
	// [NewFor] among all live processes, except those of controllers with EveryProcess.
	// Other controllers and runnables run in the leader if there is a Leadership.
	// Without one, runnables run in every process, and controllers made with
	// [NewReconciler] must have EveryProcess. Defaults to nil: every process reconciles
	// all keys.
	Sharding *Sharding
	// Events records the Events of transactions; see [Tx.Eventf]. The manager does
	// not run it: add it as a runnable with StopLast. Defaults to dropping Events.
	Events EventRecorder
	// Controllers has functions that change the options of controllers, by the
	// controllers' names. Each is called with the options that its controller is made
	// with. [Config] fills it. Run fails if it names a controller that was not made.
	// Defaults to no changes.
	Controllers map[string]func(*Options)
	// Address is the host:port where the manager serves health, metrics and
	// profiles while it runs; see [Manager.Handler]. The host may be left out. The
	// manager logs the address, and stops when it cannot serve them. Defaults to "":
	// it does not serve.
	Address string
	// Serving says how the manager serves at its Address: with TLS, to whom, and under
	// which names. Defaults to no TLS and no authentication, with the limits of package
	// serving.
	Serving serving.Options
	// Pprof serves profiles too. A profile reveals internals of the program and slows
	// it down while it is taken. So the Address must be a loopback address, such as
	// localhost:8080, unless Serving authenticates clients; otherwise Run fails.
	// Defaults to false.
	Pprof bool
	// Checkpoint stores the state of the manager's replica in a file, so that the
	// next process reads only changes from etcd. With or without it, sources do not
	// report objects that were deleted while no process ran; use finalizers for
	// those. Defaults to no checkpoint.
	Checkpoint informer.Checkpoint
	// MaxLag is how long a replica may be possibly out of date before /readyz
	// fails. After twice as long, and at least 15 seconds, the process gives up
	// its leadership and its buckets; see [Leadership] and [Sharding]. Defaults to 15 seconds.
	MaxLag time.Duration
	// RequireDecodable makes /readyz fail while a replica has values that it cannot
	// decode, such as those of a version that this program does not know. Defaults to
	// false: they do not count. In either case, the keys of such values are not
	// reconciled; see [NewFor].
	RequireDecodable bool
	// TracerProvider makes OpenTelemetry spans: one for each reconcile, from the
	// change that caused it to its end, with its wait in the queue and its
	// transactions. Defaults to none.
	TracerProvider trace.TracerProvider
	// Clock times pauses, backoff and leases. Defaults to the system's clock.
	Clock clock.WithTickerAndDelayedExecution
	// OnMutation, when set, makes the replica look for changes to the objects that
	// it shares, and is called for each; see [informer.Options]. It is for tests.
	// Defaults to nil: the replica does not look.
	OnMutation func(informer.Mutation)
}

func (o ManagerOptions) withDefaults() (ManagerOptions, error) {
	if err := checkSettings(managerSettings, o); err != nil {
		return o, err
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
	if o.Leadership != nil {
		leadership, err := o.Leadership.withDefaults()
		if err != nil {
			return o, err
		}
		o.Leadership = &leadership
	}
	if o.Sharding != nil {
		sharding, err := o.Sharding.withDefaults()
		if err != nil {
			return o, err
		}
		o.Sharding = &sharding
	}
	return o, nil
}

// Manager runs controllers, and other functions, over one replica of one store. It
// has no global state: a process may have several managers.
type Manager struct {
	store   *store.Store
	replica *informer.Replica
	options ManagerOptions

	metrics      *metrics
	tracer       trace.Tracer
	checks       checks
	election     *election // nil without Leadership
	sharder      *sharder  // nil without Sharding
	coordination string    // names the leadership and the sharding in errors
	fencedWrites atomic.Uint64
	server       *serving.Server
	members      *members.Monitor // of the store's etcd
	writes       writeHealth
	openSocket   func(network, address string) (net.Listener, error) // net.Listen; tests replace it

	informers sync.Map // reflect.Type -> *informer.Informer of it; see knownInformer
	owned     sync.Map // reflect.Type -> *informer.Index of it; see ownedIndex

	mu         sync.Mutex // guards the fields below
	started    bool
	names      map[string]bool // of components and replicas
	replicas   []namedReplica  // its own first
	components []component     // fixed once started
}

type namedReplica struct {
	name    string
	replica *informer.Replica
}

// component is a controller or a runnable.
type component struct {
	name         string
	everyProcess bool
	sharded      bool
	stopLast     bool
	// run runs the component until ctx is done. A controller then lets its running
	// reconciles finish, under the context work. Under leadership, run is called once
	// for each term.
	run        func(ctx, work context.Context) error
	controller anyController // nil for a runnable
}

// anyController is a *Controller of any type of keys.
type anyController interface{ State() ControllerState }

// NewManager returns a manager without controllers. It does nothing until
// [Manager.Run] is called. NewManager returns an error if an option makes no sense.
func NewManager(s *store.Store, o ManagerOptions) (*Manager, error) {
	if s == nil {
		return nil, errors.New("manager: the store is nil")
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("manager: %w", err)
	}
	server, err := serving.New(o.Serving, o.Clock, o.Log.WithName("http"))
	if err != nil {
		return nil, fmt.Errorf("manager: %w", err)
	}
	replica := informer.NewReplica(s, informer.Options{
		Log: o.Log.WithName("replica"), Clock: o.Clock, Checkpoint: o.Checkpoint, OnMutation: o.OnMutation,
	})
	m := &Manager{
		store: s.WithCache(replica), replica: replica, options: o, server: server,
		names: map[string]bool{}, replicas: []namedReplica{{mainReplica, replica}}, openSocket: net.Listen,
	}
	var coordination []string
	if o.Leadership != nil {
		m.election = newElection(s, replica, o)
		coordination = append(coordination, fmt.Sprintf("leadership %q", o.Leadership.Name))
	}
	if o.Sharding != nil {
		m.sharder = newSharder(s, replica, o)
		coordination = append(coordination, fmt.Sprintf("sharding %q", o.Sharding.Name))
	}
	if len(coordination) > 0 {
		m.coordination = strings.Join(coordination, " and ")
		m.store = m.store.WithFencesFrom(m.fences)
	}
	m.members = members.New(s.Client(), o.Clock, o.Log.WithName("etcd"))
	m.writes.clock, m.writes.asked = o.Clock, m.members.Ask
	m.checkReplica(mainReplica, replica)
	m.checkCoordination()
	m.checkEtcd()
	m.metrics, m.tracer = newMetrics(m), newTracer(o.TracerProvider)
	m.metrics.addStore(m.store)
	if err := m.metrics.addEvents(o.Events); err != nil {
		return nil, fmt.Errorf("manager: metrics of the recorder of Events: %w", err)
	}
	return m, nil
}

// settings returns the options with their defaults. They do not change.
func (m *Manager) settings() *ManagerOptions { return &m.options }

// Replica returns the replica that the manager's controllers share. Kinds, indexes
// and handlers may be added to it at any time.
func (m *Manager) Replica() *informer.Replica { return m.replica }

// Store returns the store that reconcilers write through. It is the store given to
// [NewManager] with the replica as its cache: updating an object that the replica
// has takes one round trip.
//
// Under [Leadership] or [Sharding], each write through it carries the fence of the
// term in which its reconcile or runnable began. The store finds the fence in the
// write's context. It refuses a write whose context does not come from one of the
// manager's reconciles or runnables.
func (m *Manager) Store() *store.Store { return m.store }

// RunnableOptions configure a function that a manager runs. The zero value is
// useful.
type RunnableOptions struct {
	// EveryProcess runs the function in every process, whichever one leads. Its writes
	// carry no fence. Defaults to false: the function runs while this process leads.
	EveryProcess bool
	// StopLast cancels the function's context only when the controllers and the other
	// runnables have ended and the leadership is given up. It is for functions that the
	// others use until they end, such as a recorder of Events, which has to write their
	// last Events. It implies EveryProcess. Defaults to false.
	StopLast bool
}

// Add adds a function to a manager that has not run yet. The manager calls it when
// the replicas have synced, beside the controllers, and cancels its context to stop
// it. When it returns an error or panics, the manager stops; when it returns nil,
// the manager goes on. The name must differ from those of the manager's
// controllers, other functions and replicas.
//
// Under [Leadership], the function is called once for each term, and its context is
// cancelled when the term ends. The manager ignores an error that it returns then.
func (m *Manager) Add(name string, run func(ctx context.Context) error, o RunnableOptions) error {
	switch {
	case name == "":
		return errors.New("runnable: the name is missing")
	case run == nil:
		return fmt.Errorf("runnable %q: the function is nil", name)
	}
	return m.addComponent("runnable", component{
		name: name, everyProcess: o.EveryProcess || o.StopLast, stopLast: o.StopLast,
		run: func(ctx, work context.Context) error {
			if err := m.callRunnable(ctx, name, run); err != nil && ctx.Err() == nil && work.Err() == nil {
				return fmt.Errorf("runnable %q: %w", name, err)
			}
			return nil
		},
	})
}

// AddReplica adds another replica, such as one of another etcd, to a manager that
// has not run yet. The manager runs it: the controllers start when it has synced
// too, and it stops after they have ended. When it fails, the manager stops.
// [WatchesInformer] makes sources of its informers. The name must differ from those
// of the manager's controllers, functions and other replicas.
func (m *Manager) AddReplica(name string, r *informer.Replica) error {
	switch {
	case name == "":
		return errors.New("replica: the name is missing")
	case r == nil:
		return fmt.Errorf("replica %q: it is nil", name)
	case r == m.replica:
		return fmt.Errorf("replica %q: it is the manager's own", name)
	case name == mainReplica:
		return fmt.Errorf("replica %q: the manager's own replica has that name", name)
	}
	return m.register(name, "replica", func() {
		m.replicas = append(m.replicas, namedReplica{name, r})
		m.metrics.addReplica(name, r)
		m.checkReplica(name, r)
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
	if o.Workers > maxWorkers {
		return o, fmt.Errorf("controller %q: workers is %d: it must be at most %d", name, o.Workers, maxWorkers)
	}
	return o, nil
}

func (m *Manager) addComponent(what string, c component) error {
	return m.register(c.name, what, func() { m.components = append(m.components, c) })
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

// controllers returns the components that are controllers.
func (m *Manager) controllers() []component {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.components), func(c component) bool { return c.controller == nil })
}

// Leadership returns the manager's part in its leadership, or the zero value if it has
// none. It reads memory only.
func (m *Manager) Leadership() LeadershipStatus {
	if m.election == nil {
		return LeadershipStatus{}
	}
	return m.election.report()
}

// Sharding returns the manager's part in its sharding, or the zero value if it has
// none. It reads memory only.
func (m *Manager) Sharding() ShardingStatus {
	if m.sharder == nil {
		return ShardingStatus{}
	}
	return m.sharder.report()
}

// Metrics returns the manager's own Prometheus registry. It has the metrics of the
// controllers, the replicas, the process, the Go runtime, and the recorder of Events
// if that has a Collector. Register metrics of your own with it. [Manager.Handler]
// serves it at /metrics.
func (m *Manager) Metrics() *prometheus.Registry { return m.metrics.registered() }

// hasLeadership reports whether the manager has a leadership.
func (m *Manager) hasLeadership() bool { return m.election != nil }

// isSharded reports whether the manager has a sharding.
func (m *Manager) isSharded() bool { return m.sharder != nil }

// shards returns the manager's part in its sharding, or nil.
func (m *Manager) shards() *sharder { return m.sharder }

// spanTracer returns the tracer of reconciles, or nil.
func (m *Manager) spanTracer() trace.Tracer { return m.tracer }

// metricsFor returns the metrics of a controller.
func (m *Manager) metricsFor(controller string) *controllerMetrics { return m.metrics.of(controller) }

// state returns the name and the state of a component that is a controller.
func (c component) state() (name string, state ControllerState) { return c.name, c.controller.State() }
