// Package queue is the work queue of a controller: keys to reconcile, and one
// record of everything that is known about each of them.
//
// A [Queue] is built on client-go's work queue, which ensures that one worker at a
// time has a key and that a key which is added while a worker has it comes again.
// This package adds the order in which keys leave, their causes, the times at which
// they come back, their failures, and the revisions that they wait for.
//
// It knows no manager, replica or reconciler. [Config] passes in what it needs of
// them.
//
// # The life of a key
//
//	q.Add(key, cause, queue.High)
//	key, ok := q.Get()                  // blocks
//	causes, err := q.Begin(ctx, key)    // nil: the key needs no reconcile now
//	...                                 // the reconcile
//	q.Wrote(key, revision, unknown)     // the next reconcile waits for this revision
//	q.Finish(key, queue.Result{...})   // when the key comes back
//	q.Done(key)
//
// # Guarantees
//
//   - One worker at a time has a key, from Get to Done.
//   - A key that was added is reconciled: some Begin that starts after Add returns
//     its causes. Each cause is returned by one Begin.
//   - Begin returns no causes before the replica has reached the revision that the
//     key waits for. No worker waits for that: the key is queued again when the
//     revision arrives.
//   - A key has at most one time at which it comes back. The latest call that sets
//     it wins. But if Begin returned an error for a key, no call makes the causes that
//     it left wait longer.
//   - High priority goes before low. Within a priority tenants take turns, and the
//     keys of a tenant leave in the order in which they came. But every eighth key
//     is the one that has waited longest. So a key that has n keys before it leaves
//     as the 8(n+1)th at the latest, whatever comes after it.
//
// # Memory
//
// A record exists while there is something to remember of its key: it is queued,
// reconciled, waits, or has failed. The memory follows the number of records, down
// as well as up.
//
// # What is not guaranteed
//
// After [Queue.ShutDown] keys may be left in the queue. Workers take them, and
// decide what to do with them.
package queue
