// Package controller runs reconcile loops over objects in etcd.
//
// A [Manager] has one replica of the kinds that its controllers care about. A
// controller has sources, which turn changes into keys; a work queue, which
// joins repeated keys; and workers, which call the reconciler.
//
//	m, err := controller.NewManager(s, controller.ManagerOptions{})
//	c, err := controller.New(m, "site", reconcileSite, controller.Options{},
//		controller.Owns[*appsv1.Deployment]())
//	err = m.Run(controller.SignalContext())
//
// There are two forms of a reconciler. [New] takes a function that works in a
// transaction on one snapshot; it is the one to begin with. [NewReconciler] and
// [NewFor] take a [Reconciler] as controller-runtime has it, which reads from
// snapshots and writes through [Manager.Store] as it likes.
//
// # Which key is next
//
// What has changed comes before what was there when a source began and before
// what comes by time: a RequeueAfter, a timer, a resync. A key that is tried again
// is as urgent as it was. Among equals namespaces take turns, or whatever a key
// of another type says its [Tenant] is, and within one the first to come is the
// first to go. But one of eight keys is the one that has waited longest, so that
// no key waits for ever: one that had n others before it when it came is at the
// latest the 8(n+1)th to begin.
//
// A key has at most one time at which it comes back. Each end of a reconcile sets
// it anew, by its Result or as a backoff, or clears it; [Controller.RequeueAfter] moves it
// meanwhile, earlier or later.
//
// # Why a key is reconciled
//
// The logger of a reconcile's context, and with it every line that the controller
// writes of it, carries the key, the number of the reconcile and its causes;
// [Causes] has them for the program. Each cause is told to one reconcile, the first
// that begins after it.
//
// # What it costs
//
// A reconcile that writes nothing sends nothing to etcd: what it reads is in the
// replica. One that writes sends its writes, and a transactional one a single
// request for its transaction. Seeing one's own writes costs none, as long as
// their answers arrive.
//
// # Guarantees
//
//   - A key is reconciled by one worker at a time.
//   - A change that passes a source's predicates leads to a reconcile that
//     begins after it and sees it. Several changes may share one reconcile.
//   - A key is not reconciled on a snapshot that lacks what its last reconcile
//     wrote, deletions included: who created a child sees that child. This
//     holds for writes that end before the reconcile does, with its context,
//     through stores with the etcd client of the manager's. After a write whose
//     outcome is unknown, etcd is asked first how far it has come.
//   - Losing a race is no failure: a Conflict, and for transactions also an
//     object that appeared or went since the snapshot, means to look again, on a
//     snapshot that has what was lost to. Losing ten times in a row is reported
//     as a failure, since what is in the way may stay there.
//   - A transaction happens as a whole, or not at all, on the condition that what
//     it writes is as it was read; with [Tx.Serializable], that everything that was
//     read is. Only with [Tx.AllowSplit] may a first part of it have happened.
//   - A failed key is tried again after a pause that doubles up to a ceiling. A
//     panic is a failure, and ends neither the worker nor the process.
//   - [Manager.Run] returns when all goroutines that it started have ended. No
//     function of a source's is called any more then.
//
// # Leadership
//
// Where several processes run the same manager, [ManagerOptions].Leadership has
// the controllers and runnables run in one of them at a time:
//
//	m, err := controller.NewManager(s, controller.ManagerOptions{
//		Leadership: &controller.Leadership{Name: "shop"},
//	})
//
// The leader is who created a key of etcd's, which is attached to a lease. The
// revision that created it is the token of the term.
//
//   - A write of one term never happens after the next term has begun, or after
//     the key is gone for whatever reason. The key is compared within the
//     transaction of the write, so that this rests on no clock, and holds for
//     processes that were suspended, cut off, or are wrong about the time.
//     It costs no request.
//   - A write carries the fence of the term under which its reconcile began, by
//     way of its context, however late it is made. [Manager.Store] refuses a write
//     whose context is not that of a reconcile or a runnable of the manager, or
//     comes from it.
//   - A term begins on a replica that has all that the terms before wrote.
//   - A manager that stops gives up the leadership when the last reconcile has
//     ended, and another takes it at once. After a crash that takes the time of
//     the lease.
//   - A manager that has lost its leadership, because the lease expired or was
//     revoked, the key was deleted, etcd was out of reach for longer than the
//     lease or was wiped, cancels its reconciles and the contexts of its
//     runnables, and campaigns again. Its replica goes on. A write that etcd
//     refused because of the fence is no failure of its key.
//
// Two processes may both believe that they lead, for as long as it takes one to
// learn otherwise: what they write to etcd is fenced, what they do elsewhere is
// not. [Manager.FencingToken] is for that. Writes through another store than the
// manager's carry no fence. A reconcile that ignores its context keeps the
// manager from campaigning again until it returns.
//
// # Sharding
//
// [ManagerOptions].Sharding has all live processes work, each on its part of the
// keys of controllers made with [New] and [NewFor]:
//
//	m, err := controller.NewManager(s, controller.ManagerOptions{
//		Sharding: &controller.Sharding{Name: "shop"},
//	})
//
// An object belongs to a bucket, by the name of its root: the owner of its owner
// and so on, as controller references tell, through the kinds of the sharded
// controllers. So what belongs together is one process's. A bucket is the live
// process's that weighs most for it, which all processes compute alike; it is
// that process's from when it creates the bucket's key until the key is gone.
//
//   - What is said of a term of leadership holds for each bucket while it is one
//     process's: its key fences every write of its keys' reconciles, they begin on
//     a replica that has what its owners before wrote, and their contexts are done
//     when it is lost. The token of a bucket only grows.
//   - When a process joins, it takes its buckets from the others, and no other
//     moves. When one leaves, only its buckets move.
//   - A bucket is handed over when the reconciles of its keys that are under way
//     have ended; meanwhile no other of them begins. After the grace period their
//     contexts are done. All keys of a bucket's objects are reconciled by its new
//     owner.
//   - The buckets of a process that stops are the others' at once; those of one
//     that crashed, after the time of the lease. [Manager.Sharding] names the
//     buckets that are nobody's for too long.
//
// Who comes to have another root moves with all that it owns: those keys are
// reconciled by whose they are then, though nothing of them has changed. Meanwhile
// two processes may reconcile one key, each under the fence of one of the
// buckets; conditions on what was read are what keeps them apart then.
//
// Keys of objects that do not exist go by their own name, and are not reconciled
// again when their bucket moves: what was still to come for one that was deleted,
// or that other objects name before it exists, is lost then. For the former there
// are finalizers; the latter is better a key that exists, such as the other object's.
// Each process drops the keys that are not its own, whatever has named them: what
// comes through a channel must come in the right process.
//
// Processes that shard other kinds may see other roots: while one version of a
// program takes the place of another, a key may be reconciled by two, or by none
// until the last of the old has gone. A process that is alive but does nothing
// keeps its buckets.
//
// # What is not guaranteed
//
//   - That what a transaction has read and does not write is as it was when it is
//     committed, unless it is serializable: two reconciles that each decide by what
//     the other one writes can both go ahead.
//   - How often a key is reconciled: be idempotent.
//   - That reconciles of different keys see the same state.
//   - That a write whose outcome is unknown is seen when etcd executes it only
//     after it was asked: it may have been on its way.
//   - That a process is the only one, without leadership: two managers on one
//     etcd both reconcile. Conditions on what was read keep them from undoing each
//     other's writes, not from doing work twice.
//   - That Run returns while a reconcile or a runnable ignores that its context
//     is done.
package controller
