// Package controller runs reconcile loops over objects in etcd, without a Kubernetes
// API server.
//
// A program declares what it wants as objects. A controller reacts to changes of these
// objects: it compares what is declared with what exists, and changes what exists. It
// is level-triggered: a reconcile looks at the present state, not at the change that
// caused it.
//
// # How to use it
//
// Make a [Manager] on a store, add controllers to it, and run it:
//
//	m, err := controller.NewManager(s, controller.ManagerOptions{})
//	sites, err := controller.New(m, "site", reconcileSite, controller.Options{},
//		controller.Owns[*appsv1.Deployment]())
//	err = m.Run(controller.SignalContext())
//
//	func reconcileSite(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
//		_, err := controller.Apply(tx, site, deploymentOf(site)) // create or update it
//		return controller.Result{}, err
//	}
//
// The manager has one replica, an in-memory copy of all objects of the kinds that its
// controllers use; see package informer. A controller has three parts. Its sources turn
// changes of objects, and other events, into keys; a key usually names an object. Its
// queue holds each key once, however often it is named. Its workers take keys from the
// queue and call the reconciler.
//
// There are two forms of a reconciler:
//
//   - [New] takes a function that works in a transaction, a [Tx]. It reads from one
//     snapshot of the replica, and its writes are committed together. Begin with this
//     form.
//   - [NewFor] and [NewReconciler] take a [Reconciler], which has the form of
//     controller-runtime's. It reads from [Manager.Replica], and writes through
//     [Manager.Store] whenever it likes.
//
// [Source] lists the sources, and [informer.Filter] says which changes matter to them.
// [Manager.Add] runs other functions beside the controllers. [Config] lets an operator
// set options in a file or by flags. [Manager.Handler] serves health, metrics and
// profiles. Package controllertest tests controllers, and package garbagecollector
// deletes objects whose owners are gone.
//
// # Which key is next
//
// Keys have a high or a low priority. The key of a changed object has the high one. The
// low one is for objects that existed when their source started, for keys that a
// process takes over by sharding, and for keys that come back by time: by RequeueAfter,
// [Every] or [Resync]. A key that is retried after a failure keeps its priority.
//
// Among keys of one priority, tenants take turns. The tenant of an object is its
// namespace; a key of another type can implement [Tenant]. Within a tenant, keys are
// taken in the order in which they came.
//
// Every eighth key taken is the one that has waited longest, of whatever priority and
// tenant. So no key waits for ever: a key with n others before it is taken as the
// 8(n+1)th at the latest.
//
// A key has at most one time at which it comes back. The end of each reconcile sets or
// clears it: by its [Result], or as the backoff after a failure.
// [Controller.RequeueAfter] changes it in between.
//
// # Why is a key not running?
//
// [Controller.KeyState] says what a key does or waits for, since when, what failed last,
// and when the key comes back. [Controller.KeyStates] lists the keys that are not idle,
// and [Controller.State] counts them:
//
//	s := sites.KeyState(controller.Request{Key: store.KeyOf(site)})
//	fmt.Println(s.Phase, s.Since, s.LastError, s.Next) // in backoff, ...
//
// All three answer for this process. Under leadership, ask the leader; under sharding,
// the process that owns the key's bucket.
//
// # Causes
//
// Each reconcile has a number and causes, such as "modified Pod town/web at 57". Log
// lines that are written with the logger in the reconcile's context carry both, with
// the key. [Causes] returns the causes to the reconciler. A cause is reported to one
// reconcile: the first that begins after it.
//
// # Requests to etcd
//
// Reads are served from the replica, so a reconcile that writes nothing sends nothing
// to etcd. The writes of a transaction are one request. To see its key's own writes, a
// reconcile needs no request either, unless the outcome of a write is unknown.
// Every 30 seconds, the manager asks each member of etcd for its state, since an alarm of
// etcd keeps it from its work; see [Manager.Ready].
//
// # Guarantees
//
//   - A key is reconciled by one worker at a time.
//   - A change that passes a source's filters leads to a reconcile that begins after
//     the change and sees it. Several changes may lead to one reconcile.
//   - A reconcile sees what the last reconcile of its key wrote: objects that were
//     created are in the snapshot, and deleted ones are not. This holds for writes that
//     returned before the reconcile did, were made with its context, and went through
//     stores with the manager's etcd client. If the outcome of a write is unknown, the
//     controller asks etcd for its revision, and the key waits until the replica has
//     reached it.
//   - Losing a race against another writer is not a failure. After a Conflict, and
//     after a transaction that found an object created or deleted since its snapshot,
//     the key is reconciled again on a snapshot that has the other write. A key that
//     loses ten times in a row counts as failed, since the obstacle may be permanent.
//   - A transaction is committed as a whole or not at all, and only if the objects that
//     it writes have not changed since it read them. With [Tx.Serializable], this holds
//     for all objects that it read. With [Tx.AllowSplit], the commit may fail after a
//     part of the writes.
//   - A failed key is retried after a pause, which doubles with each failure up to a
//     maximum. A panic is a failure: the worker and the process go on.
//   - When [Manager.Run] returns, all goroutines that it started have ended, and no
//     function of a source is called again.
//
// # Leadership
//
// Run several processes with [ManagerOptions].Leadership, and the controllers and
// runnables run in one of them at a time:
//
//	m, err := controller.NewManager(s, controller.ManagerOptions{
//		Leadership: &controller.Leadership{Name: "shop"},
//	})
//
// The leader is the process that created a key in etcd, with a lease. Its term lasts as
// long as the key. The revision at which the key was created identifies the term, and
// is the token of its fence.
//
//   - A write begun in a term never happens after the key is gone, and so never in a
//     later term. Each write compares the key in its own etcd transaction. This relies
//     on no clock, and holds for processes that were suspended or cut off. It needs no
//     request of its own.
//   - A write belongs to the term in which its reconcile began, however late it is made:
//     the fence is in the reconcile's context. [Manager.Store] refuses writes whose
//     context does not come from a reconcile or runnable of the manager.
//   - A term begins when the replica has all that earlier terms wrote.
//   - A manager that stops gives up the leadership once its last reconcile has ended,
//     and another takes over at once. After a crash, another takes over when the lease
//     has expired.
//   - A manager loses the leadership when its lease expires or is revoked, when its key
//     is deleted, or when its replica has not followed etcd for twice
//     [ManagerOptions].MaxLag. It then cancels its reconciles and runnables, and campaigns
//     again. The process and the replica go on. A write that is refused because of the
//     fence does not count as a failure of its key.
//
// Two processes can both believe that they lead, until one learns that it does not. Their writes
// to etcd are fenced; their effects elsewhere are not. Use [Manager.FencingToken] for
// those. Writes through another store than the manager's are not fenced. A reconcile
// that ignores its context delays the next campaign until it returns.
//
// # Sharding
//
// Run several processes with [ManagerOptions].Sharding, and each reconciles a part of
// the keys, for controllers made with [New] and [NewFor]:
//
//	m, err := controller.NewManager(s, controller.ManagerOptions{
//		Sharding: &controller.Sharding{Name: "shop"},
//	})
//
// Keys are divided into buckets, and each bucket has one owner among the live
// processes. The name of an object's root decides in which bucket it is. To find the
// root, follow the controller references: from the object to its controller, to that
// object's controller, and so on. The root is the first object that has no controller,
// does not exist, or is of a kind that no sharded controller reconciles. A controller
// that was deleted and created again is another object, and does not exist for what the
// old one owned. So an object and all that it owns are in one bucket. All processes compute by rendezvous hashing
// which of them should own a bucket. A process owns a bucket from when it creates the
// bucket's key in etcd until the key is gone.
//
//   - The ownership of a bucket has the guarantees of a term. The bucket's key fences all
//     writes of its reconciles. The reconciles begin when the replica has all that
//     earlier owners wrote, and their contexts are cancelled when the bucket is lost. The
//     token of a bucket only grows.
//   - When a process joins, it takes its share of buckets from the others, and no other
//     bucket moves. When a process leaves, only its buckets move.
//   - A process that hands over a bucket begins no more reconciles in it, and keeps it
//     until the running reconciles have ended. After the grace period it cancels them.
//     The new owner reconciles all objects of the bucket.
//   - The buckets of a process that stops are taken over at once; those of one that
//     crashed, when its lease has expired. [Manager.Sharding] lists buckets that have
//     had no owner for too long.
//
// When an object gets another root, it moves with all that it owns to the new root's
// bucket, and the owner of that bucket reconciles them. During the move, two processes
// may reconcile the same key, each under the fence of one of the buckets. Their writes
// then conflict only if they write, or depend on, the same objects.
//
// The name of a key decides its bucket if the key's object does not exist. When a
// bucket moves, the new owner reconciles objects that exist, and no other keys. So a
// reconcile that should follow a deletion can be lost: use a finalizer. It can also be
// lost for a key that a source names before the object exists: name the key of an
// object that exists instead.
//
// Every process drops keys that are not in its buckets, from whatever source. A key
// sent through a channel must be sent in the process that owns it.
//
// All processes must shard the same kinds, since the kinds decide which object is a
// root. While two versions of a program with different kinds run, a key may be
// reconciled by two processes, or by none until the last old process has ended. A
// process whose reconciles are stuck keeps its buckets; one whose replica does not follow
// etcd loses them after twice [ManagerOptions].MaxLag.
//
// # What is not guaranteed
//
//   - Objects that a transaction only reads may have changed when it is committed,
//     unless it is serializable. If each of two reconciles reads what the other one
//     writes, both can succeed.
//   - A key may be reconciled any number of times. Reconcilers must be idempotent.
//   - Reconciles of different keys may see different snapshots.
//   - A write whose outcome is unknown may be executed by etcd after the next reconcile
//     of its key has begun, and so be missing from its snapshot.
//   - Without leadership or sharding, several processes reconcile the same keys. The
//     conditions on what was read prevent them from undoing each other's writes, but not
//     from doing work twice.
//   - Run does not return while a reconcile or runnable ignores that its context is
//     done.
package controller
