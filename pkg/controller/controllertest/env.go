package controllertest

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/controller"
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

	running   bool                // the replica is
	mutations []informer.Mutation // belong to the replica until it has ended
}

// New starts an etcd, makes a manager on it, and writes the objects, as [Env.Put]
// does. It fails the test if any of this fails, and at the end of the test if
// something changed an object that the replica shares. Everything ends with the
// test.
//
// The options name the kinds. Their codec and encryption are ignored.
//
// Add the controllers to [Env.Manager].
func New(t etcdtest.TB, o store.Options, objects ...store.Object) *Env {
	t.Helper()
	o.Codec, o.EncryptionKeys, o.RefusePlaintext = store.JSON, nil, false
	e := &Env{t: t}
	s, err := store.New(etcdtest.Start(t, etcdtest.Options{}).Client(), o)
	e.must(err)
	e.manager, err = controller.NewManager(s, controller.ManagerOptions{OnMutation: func(m informer.Mutation) { e.mutations = append(e.mutations, m) }})
	e.must(err)
	e.Put(objects...)
	t.Cleanup(e.checkMutations) // runs after the replica has ended
	return e
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

// Store returns the store of the objects. Change them through it as a user or another
// controller would.
func (e *Env) Store() *store.Store { return e.manager.Store() }

// Reconcile calls the reconciler of c, a controller of [Env.Manager], once for the
// key of an object. It fails the test when that takes longer than a minute.
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
	result, err := c.ReconcileOnce(ctx, key)
	if ctx.Err() != nil {
		e.t.Fatalf("controllertest: reconcile %v by %q did not end within %v: %v", key, c.Name(), bound, err)
	}
	return Outcome{Result: result, Err: err, Changes: diff(before, e.state(ctx))}
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
