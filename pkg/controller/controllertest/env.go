package controllertest

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/internal/working"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// bound ends what hangs.
const bound = time.Minute

// Env is an etcd with objects in it, and a manager for the controllers to test. Only
// the goroutine of the test may use it.
type Env struct {
	t       etcdtest.TB
	manager *controller.Manager
	events  *eventLog
	clock   clock.PassiveClock // that of the store

	running   bool                // the replica is
	mutations []informer.Mutation // belong to the replica until it has ended
}

// Options configure an [Env]. Store must name the kinds.
type Options struct {
	// Store has the options of the store, which names the kinds. Codec, EncryptionKeys
	// and RefusePlaintext are ignored. The Clock defaults to Manager's.
	Store store.Options
	// Manager has the options of the manager, such as its Clock. Those for a manager
	// that runs are ignored: Leadership, Sharding, Checkpoint, Address and Pprof. Events
	// gets the Events that [Outcome] shows too. The Clock tells the time, and may stand
	// still or be set at any moment; timers follow the system's clock, so that the
	// replica goes on. Defaults to the zero value.
	Manager controller.ManagerOptions
}

// testClock tells the time of a test's clock, and has the timers of another clock.
type testClock struct {
	clock.WithTickerAndDelayedExecution
	time clock.PassiveClock
}

func (c testClock) Now() time.Time                  { return c.time.Now() }
func (c testClock) Since(t time.Time) time.Duration { return c.time.Since(t) }

// New starts an etcd, makes a manager on it, and writes the objects, as [Env.Put]
// does. It fails the test if any of this fails, and at the end of the test if
// something changed an object that the replica shares. Everything ends with the
// test.
//
// Add the controllers to [Env.Manager].
func New(t etcdtest.TB, o Options, objects ...store.Object) *Env {
	t.Helper()
	e := &Env{t: t, events: &eventLog{next: o.Manager.Events}}
	o = e.complete(o)
	s, err := store.New(etcdtest.Start(t, etcdtest.Options{}).Client(), o.Store)
	e.must(err)
	e.manager, err = controller.NewManager(s, o.Manager)
	e.must(err)
	e.Put(objects...)
	t.Cleanup(e.checkMutations) // runs after the replica has ended
	return e
}

// complete returns options for a manager that does not run.
func (e *Env) complete(o Options) Options {
	o.Store.Codec, o.Store.EncryptionKeys, o.Store.RefusePlaintext = store.JSON, nil, false
	if o.Manager.Clock == nil {
		o.Manager.Clock = clock.RealClock{}
	}
	if o.Store.Clock == nil {
		o.Store.Clock = o.Manager.Clock
	}
	e.clock = o.Store.Clock
	o.Manager.Clock = testClock{clock.RealClock{}, o.Manager.Clock}
	m := &o.Manager
	m.Leadership, m.Sharding, m.Checkpoint, m.Address, m.Pprof = nil, nil, informer.Checkpoint{}, "", false
	m.Events = e.events
	told := m.OnMutation
	m.OnMutation = func(mutation informer.Mutation) {
		e.mutations = append(e.mutations, mutation)
		if told != nil {
			told(mutation)
		}
	}
	return o
}

func (e *Env) checkMutations() {
	e.t.Helper()
	for _, m := range e.mutations {
		e.t.Fatalf("controllertest: %v", m)
	}
}

// Manager returns the manager to add controllers to. It never runs. Its replica
// runs from the first reconcile until the end of the test.
func (e *Env) Manager() *controller.Manager { return e.manager }

// Events returns the recorder of the manager, for controllers that take one. What is
// recorded during a reconcile is in its [Outcome].
func (e *Env) Events() controller.EventRecorder { return e.events }

// Store returns the store of the objects. Change them through it as a user or another
// controller would.
func (e *Env) Store() *store.Store { return e.manager.Store() }

// Reconcile calls the reconciler of c, a controller of [Env.Manager], once for the
// key of an object. It fails the test when that takes longer than a minute.
//
// It also fails the test when the function of a controller made with controller.New
// succeeds, has changed the status, labels, annotations, finalizers or owner references
// of the object that it was given, and etcd does not have them afterwards: the function
// forgot to write them. A function that computes what it does not want to write does so
// in a copy.
func (e *Env) Reconcile(c *controller.Controller[controller.Request], key store.Key) Outcome {
	e.t.Helper()
	return ReconcileKey(e, c, controller.Request{Key: key})
}

// ReconcileKey is [Env.Reconcile] for a controller made with controller.NewReconciler,
// with keys of any type.
func ReconcileKey[R comparable](e *Env, c *controller.Controller[R], key R) Outcome {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	e.catchUp(ctx)
	before := e.state(ctx)
	e.events.take() // what was recorded before
	var seen observed
	observe := func(given store.Object, left ...store.Object) { seen = observed{given, left} }
	result, err := c.ReconcileOnce(working.WithObserver(ctx, observe), key)
	if ctx.Err() != nil {
		e.t.Fatalf("controllertest: reconcile %v by %q did not end within %v: %v", key, c.Name(), bound, err)
	}
	after := e.state(ctx)
	e.checkWritten(c.Name(), seen, after)
	return Outcome{Result: result, Err: err, Changes: diff(before, after), Events: e.events.take()}
}

// Get returns an object as it is in etcd now, and false if it does not exist. Use it
// to check the state after one or several reconciles.
func Get[T store.Object](e *Env, key store.Key) (T, bool) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	obj, err := store.Get[T](ctx, e.Store(), key)
	if apierrors.IsNotFound(err) {
		return obj, false
	}
	e.must(err)
	return obj, true
}

// catchUp waits until the replica holds everything that was written.
func (e *Env) catchUp(ctx context.Context) {
	e.t.Helper()
	replica := e.manager.Replica()
	if !e.running {
		e.running = true
		etcdtest.Background(e.t, replica.Run)
	}
	e.must(replica.WaitForSync(ctx))
	_, err := replica.FreshSnapshot(ctx)
	e.must(err)
}

func (e *Env) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatalf("controllertest: %v", err)
	}
}
