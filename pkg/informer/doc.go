// Package informer keeps a local copy of objects in etcd and tells what changes
// in it.
//
// A [Replica] holds the kinds that were registered with [For]. It lists them
// all at one revision of etcd and then follows them with one watch. Its
// [Snapshot] is read without locks and shows every kind at the same revision;
// an [Informer] reads one kind of it, an [Index] finds objects by computed
// values, and a [Handler] is told of changes.
//
//	r := informer.NewReplica(s, informer.Options{})
//	sites, err := informer.For[*Site](r)
//	byRegion := sites.AddIndex(func(s *Site) []string { return []string{s.Spec.Region} })
//	go r.Run(ctx)
//	err = r.WaitForSync(ctx)
//	for site := range byRegion.Lookup(r.Snapshot(), "north") { ... }
//
// A [Filter] chooses, by key, labels, fields, operation, transition or any
// function, what a handler is told. A [BatchHandler] is told the net change of
// a [Window] of time at once:
//
//	web, err := informer.KeyGlob[*Site]("team-*/web-?")
//	sites.AddHandler(handle, web, informer.Where(func(s *Site) bool { return s.Status.Ready }))
//	sites.AddBatchHandler(informer.Window{Quiet: time.Second}, handleBatch)
//
// # Guarantees
//
//   - A snapshot is exactly what etcd held at its revision, save for values that
//     cannot be decoded. It never shows a part of a transaction.
//   - Revisions of successive snapshots rise, unless etcd itself went back.
//   - A handler is told each change once, in the order of revisions. After a
//     disturbance (a lost connection, a compaction, a wiped or restored etcd) it
//     is told the difference between what it was last told and what is, missed
//     deletions with the last known object included. An object that was deleted
//     and created again never looks like one that was modified.
//   - A handler with a filter about objects is told of exactly those that it
//     holds for: what comes to pass is Added, what ceases to is Deleted. What
//     a filter drops is dropped before it waits anywhere.
//   - A batch is the net difference between two revisions, each object once. It
//     never shows a part of a transaction.
//   - A handler that is slow or panics disturbs nobody else. What waits for it
//     is bounded by the number of objects. A filter that panics lets pass what
//     it was asked about.
//   - A value that cannot be decoded is reported with its key, in the log and in
//     [Replica.Status]; the last good object stays.
//   - A lost connection and lost data are noticed: at once when the connection
//     breaks, otherwise within seconds. The replica stays readable, and
//     [Replica.Status] says why it is stale and since when.
//   - [Replica.Run] returns when all goroutines that it started have ended, and
//     leaves no watch behind in etcd's client.
//
// # What is not guaranteed
//
//   - That a snapshot is up to date: it is as new as what etcd has sent. Use
//     [Replica.Fresh] or [Replica.WaitForRevision].
//   - That a handler sees every state that an object went through. One that is
//     far behind, and everyone after a list, is told the net change.
//   - That a slow filter disturbs nobody: it is asked in the replica's own
//     goroutine. A slow handler does no harm there.
//   - That batches of two kinds, or of two handlers, end at the same revision.
//   - When an object was deleted, if that was found by a list: the event has the
//     list's revision.
//   - That etcd's data being replaced is noticed when the new data's revision is
//     not below the replica's and the newest object that the replica has is in
//     them unchanged, as after the restore of a backup that lacks only deletions.
//     The next list, for whatever reason, sets it right.
package informer
