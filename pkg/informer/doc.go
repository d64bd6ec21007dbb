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
//	sites.AddBatchHandler(informer.Debounce{Quiet: time.Second}, handleBatch)
//
// Objects are shared by all who read them, and equal parts of several objects,
// such as their labels, are one, which is why they take less than half of the
// memory that they would alone. Whoever wants to change one makes a DeepCopy;
// Options.OnMutation finds who does not. [Restrict] has a replica keep only a part
// of a kind.
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
//   - Memory follows what the replica holds, not what passes through it. Changes
//     that come faster than they can be applied wait up to a bound, the greater
//     of 32 MiB and what the replica holds; beyond it, the replica lists.
//   - A value that cannot be decoded is reported with its key, in the log and in
//     [Replica.Status]; the last good object stays.
//   - A lost connection and lost data are noticed: at once when the connection
//     breaks, otherwise within seconds. The replica stays readable, and
//     [Replica.Status] says why it is stale and since when.
//   - A list of what is known already reads the keys, and then only what has
//     changed, unless that is much or etcd's data may have been replaced.
//   - [Replica.Run] returns when all goroutines that it started have ended, and
//     leaves no watch behind in etcd's client.
//
// # What is not guaranteed
//
//   - That a snapshot is up to date: it is as new as what etcd has sent. Use
//     [Replica.FreshSnapshot] or [Replica.WaitForRevision].
//   - That a handler sees every state that an object went through. One that is
//     far behind, and everyone after a list, is told the net change.
//   - That a slow filter disturbs nobody: it is asked in the replica's own
//     goroutine. A slow handler does no harm there.
//   - That batches of two kinds, or of two handlers, end at the same revision.
//   - When an object was deleted, if that was found by a list: the event has the
//     list's revision.
//   - That etcd's data being replaced is noticed when they have the same epoch
//     key, their revision is not below the replica's, and what is left of the
//     newest objects that the replica has is unchanged, as after the restore of a
//     backup that lacks only deletions. Delete the epoch key after each restore.
//   - That memory is bounded when the Watcher of the store's etcd client was
//     replaced, such as by one that adds a prefix to all keys.
//
// # Health and metrics
//
// [Replica.Healthy] is for readiness probes, [Replica.Status] tells everything,
// and [Replica.Collector] gives the same to Prometheus. All names begin with
// homeostat_replica_.
//
//	synced                   gauge    1 when every registered kind was listed
//	disturbed                gauge    1 while something keeps the replica from following etcd
//	revision                 gauge    of the newest snapshot
//	etcd_revision            gauge    the newest that is known
//	lag_seconds              gauge    since the replica was last known to have all that etcd had; absent before the first list
//	unapplied_bytes          gauge    memory of changes received and not applied
//	lists_total              counter  by reason: "initial", "new kind", "compacted", "far behind", ...
//	watches_total            counter  opened, or tried to
//	failures_total           counter  lists that failed, watches that ended or could not be opened
//	foreign_events_total     counter  of keys that are of no registered kind
//
// And for each kind, with the labels group, version and kind:
//
//	objects                  gauge    in the newest snapshot
//	object_bytes             gauge    their size in etcd, keys included
//	undecodable_keys         gauge    whose values cannot be decoded
//	handlers                 gauge    that are told of changes
//	handler_backlog_changes  gauge    that the handler furthest behind was not told yet
//	changes_total            counter  taken in
//
// A replica that follows etcd looks every 5 s whether it has everything, so
// lag_seconds goes up to that and a little more while all is well; an alert
// belongs at 15 s or above. The revisions count the writes of everybody: their
// difference is no measure of what the replica lacks.
//
// # Permissions
//
// An etcd user needs to read the smallest range of keys that covers all kinds of
// the replica: one watch is opened over it. For one kind, that is the kind's own
// prefix. A permission that is lost, and a token that has expired, are named in
// [Status] and by [Replica.Healthy]; the replica tries again until it has them
// back, and then goes on where it was.
//
// A replica's lists and watches share its client's connection. Etcd is known to
// have starved the watches of a connection with TLS while it answered large reads
// on it. A replica for which others of the client's reads do that, as its lag then
// shows, is better given a client of its own.
//
// # The epoch key
//
// Data that were wiped or restored, and have since come as far as a replica was,
// look like a continuation. So the first replica puts a random value under the
// key <prefix>.epoch, where no object can be, and all read it with their periodic
// look at etcd. When it is gone or another, everything is listed by value, the
// difference is told, and a warning is logged. A backup has the key, too. So
// whoever restores one deletes it, and a replica makes another:
//
//	etcdctl del /registry/.epoch
//
// A user who may not read or not write the key does without it; what is left is
// the comparison of some of the newest objects.
//
// # Checkpoints
//
// With [Options].Checkpoint a replica keeps its state in a file and the next
// process begins with it. Its handlers are told the objects in the file, as
// Added events with Initial set, and then what has happened since, missed
// deletions and old objects included: a handler that ignores what is initial sees
// what happened while no process was there. From etcd only that is read.
//
//   - The file hides no change from a handler: a state is written only after the
//     calls that told of all that led to it have returned, to every handler there
//     was, before their contexts were done. A handler that is too slow for that
//     delays checkpoints, which [Status] and the log tell.
//   - It is written every so often, and when Run ends, which waits for it. What a
//     handler was told after the last time, the next process tells it again. What
//     it was told counts as done: one that hands events on to something that
//     forgets has to take the initial objects for changes. So does one that the
//     process before did not have. One that was removed has no say. Where Run is
//     called again, what the Run before told counts as done, too.
//   - A process that is killed, or a machine that stops, leaves the file as it was
//     or as it was to be. Any damage is noticed. Two replicas cannot write the
//     same file at the same time, where the file system has locks.
//   - Nothing of the file is shown before etcd was asked whether it is the same:
//     its cluster, its epoch key, its revision and its newest objects. Then it can
//     be read at the revision that it has, and [Replica.WaitForSync] waits until
//     the replica has come as far as etcd was when asked.
//   - A file that is damaged, of another format, cluster or prefix, or has an
//     object that does not decode, is not used; the replica lists, and all it
//     finds is initial. When etcd was wiped or restored since, or another program
//     has written the file, all values are read and the difference is told. The
//     log and [CheckpointStatus].Start say which it was. Until then a snapshot of
//     what the file has is at revision 0: no revision of this etcd is reached.
//   - Kinds have to be registered before Run to be looked for in the file. Those
//     that it lacks are listed, and so are those of which only a part is kept
//     with [Restrict]: the next process may keep another.
//   - Values are encoded as the store does, encrypted if the store's are. Keys, and
//     why values could not be decoded, are legible to who may read the file: its
//     owner.
package informer
