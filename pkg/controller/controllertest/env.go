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

// bound is met only by what hangs.
const bound = time.Minute

// Env is an etcd with objects in it, and controllers to be called on them. It is
// for one goroutine, that of its test.
type Env struct {
	t       etcdtest.TB
	manager *controller.Manager

	mutations []informer.Mutation // the replica's until it has ended
}

// New starts an etcd, makes a manager on it, has setup add controllers to that,
// and puts the objects there, as [Env.Put] does. It fails the test if any of
// that cannot be done, and at the end if an object was changed that the replica
// shares. Everything ends with the test.
//
// The options say which kinds there are; their codec and encryption keys do not
// count.
func New(t etcdtest.TB, o store.Options, setup func(m *controller.Manager) error, objects ...store.Object) *Env {
	t.Helper()
	o.Codec, o.EncryptionKeys = store.JSON, nil
	e := &Env{t: t}
	s, err := store.New(etcdtest.Start(t).Client(), o)
	e.must(err)
	e.manager, err = controller.NewManager(s, controller.ManagerOptions{OnMutation: func(m informer.Mutation) { e.mutations = append(e.mutations, m) }})
	e.must(err)
	e.must(setup(e.manager))
	e.Put(objects...)
	t.Cleanup(e.checkMutations) // when the replica has ended
	etcdtest.Background(t, e.manager.Replica().Run)
	return e
}

func (e *Env) checkMutations() {
	e.t.Helper()
	for _, m := range e.mutations {
		e.t.Fatalf("controllertest: %v", m)
	}
}

// Manager returns the manager that has the controllers. It does not run; its
// replica does.
func (e *Env) Manager() *controller.Manager { return e.manager }

// Store returns the store that has the objects: change them through it as a
// user or another controller would.
func (e *Env) Store() *store.Store { return e.manager.Store() }

// Reconcile has the controller of that name reconcile an object's key, once.
func (e *Env) Reconcile(name string, key store.Key) Outcome {
	e.t.Helper()
	return ReconcileKey(e, name, controller.Request{Key: key})
}

// ReconcileKey is [Env.Reconcile] for a controller whose keys are of another
// type.
func ReconcileKey[R comparable](e *Env, name string, key R) Outcome {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	e.catchUp(ctx)
	before := e.state(ctx)
	result, err := controller.ReconcileOnce(ctx, e.manager, name, key)
	if ctx.Err() != nil {
		e.t.Fatalf("controllertest: reconcile %v by %q did not end within %v: %v", key, name, bound, err)
	}
	return Outcome{Result: result, Err: err, Changes: diff(before, e.state(ctx))}
}

// Get returns an object as it is in etcd now; false when there is none.
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

// catchUp has the replica reach whatever was written.
func (e *Env) catchUp(ctx context.Context) {
	e.t.Helper()
	replica := e.manager.Replica()
	e.must(replica.WaitForSync(ctx))
	_, err := replica.Fresh(ctx)
	e.must(err)
}

func (e *Env) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatalf("controllertest: %v", err)
	}
}
