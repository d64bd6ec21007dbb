// Package informer keeps a local copy of objects in etcd, and calls handlers when
// objects change.
//
// A [Replica] holds the kinds that [For] registered. It lists all of them at one
// revision of etcd, and then follows them with one watch. Its [Snapshot] shows
// every kind at the same revision, and is read without locks. An [Informer] reads
// one kind of a snapshot, an [Index] finds objects by computed values, and
// a [Handler] gets the changes.
//
//	r := informer.NewReplica(s, informer.Options{})
//	sites, err := informer.For[*Site](r)
//	byRegion := sites.AddIndex(func(s *Site) []string { return []string{s.Spec.Region} })
//	go r.Run(ctx)
//	err = r.WaitForSync(ctx)
//	for site := range byRegion.Lookup(r.Snapshot(), "north") { ... }
//
// A [Filter] selects the changes that a handler gets: by key, labels, fields,
// operation, changed part, or any function of the object or the change.
// A [BatchHandler] gets the net changes of an interval in one call; [Debounce]
// bounds the interval:
//
//	web, err := informer.KeyGlob[*Site]("team-*/web-?")
//	sites.AddHandler(handle, web, informer.Where(func(s *Site) bool { return s.Status.Ready }))
//	sites.AddBatchHandler(informer.Debounce{Quiet: time.Second}, handleBatch)
//
// All readers share the objects. To change an object, make a DeepCopy first;
// Options.OnMutation finds code that does not. Equal parts of several objects,
// such as labels, are stored once, so that the objects take less than half of the
// memory that separate copies would. [Restrict] makes a replica keep only a part
// of a kind.
//
// # Guarantees
//
//   - A snapshot shows exactly what etcd held at its revision, except for values
//     that cannot be decoded. It never shows a part of a transaction.
//   - The revisions of successive snapshots do not decrease, unless etcd itself
//     went back.
//   - A handler gets each change once, in the order of revisions. After a
//     disturbance (a lost connection, a compaction, a wiped or restored etcd) it
//     gets the difference between what it last got and the current state,
//     including missed deletions with the last known object. An object that was
//     deleted and created again never looks modified.
//   - A handler with a filter on objects, such as [LabelSelector] or [Where], sees
//     exactly the objects that match. An object that starts to match arrives as
//     Added, and one that stops matching as Deleted. [Filter] says how filters on
//     changes, such as [GenerationChanged], differ. A change that a filter drops is
//     never queued.
//   - A batch is the net difference between two revisions, with each object once.
//     It never shows a part of a transaction.
//   - A handler that is slow or panics does not disturb other handlers. Its queue
//     holds at most 4,096 changes, or 1 MiB of keys and values before and after
//     changes; beyond that, it grows only with the number of objects: by two changes
//     of each. If a filter panics, its handler gets the change.
//   - Memory follows the size of what the replica holds, not the rate of changes.
//     Changes that arrive faster than the replica applies them are queued up to
//     the greater of 32 MiB and the size of the replica. Beyond that, the replica
//     lists again.
//   - A value that cannot be decoded is reported with its key in [Replica.Status]. The
//     last good object stays; [Informer.Undecodable] tells of a key. The log has a line for the first such value of each kind
//     and cause, then at most one line a minute with their number, and one when none is
//     left.
//   - A replica notices a lost connection and lost data: at once if the connection
//     breaks, otherwise within seconds. It stays readable, and [Replica.Status]
//     says since when it is stale, and why.
//   - To relist a kind that it already holds, the replica reads keys first and
//     fetches only values whose ModRevision changed. It reads all values if many
//     changed, or if etcd's data may have been replaced.
//   - [Replica.Run] returns when all goroutines that it started have ended. It
//     leaves no watch open in etcd's client.
//
// # What is not guaranteed
//
//   - That a snapshot is up to date. It is as new as what etcd has sent. Use
//     [Replica.FreshSnapshot] or [Replica.WaitForRevision].
//   - That a handler sees every state of an object. A handler that is far behind
//     gets the net change, and so does every handler after a relist.
//     [Informer.AddHandlerWithJoined] shows each change that the replica applied.
//   - That a slow filter does not disturb others. Filters run in the replica's
//     goroutine; handlers do not.
//   - That batches of two kinds, or of two handlers, end at the same revision.
//   - The revision of a deletion that a relist found: the event has the list's
//     revision.
//   - That the replica notices every replacement of etcd's data. It does not if
//     all of these hold: the epoch key is the same, etcd's revision is not below
//     the replica's, and the newest objects that are left are unchanged. The
//     restore of a backup that lacks only deletions is such a case. Delete the
//     epoch key after each restore.
//   - That memory is bounded if the Watcher of the store's etcd client was
//     replaced, for example by one that adds a prefix to all keys.
//
// # Health and metrics
//
// [Replica.Healthy] is for readiness probes. [Replica.Status] has all details, and
// [Replica.Collector] gives them to Prometheus. All names begin with
// homeostat_replica_.
//
//	synced                   gauge    1 if every registered kind was listed
//	disturbed                gauge    1 while something keeps the replica from following etcd
//	revision                 gauge    of the newest snapshot
//	etcd_revision            gauge    newest revision of etcd that the replica knows of
//	lag_seconds              gauge    time since the replica was last known to be up to date; absent before the first list
//	unapplied_bytes          gauge    memory of changes that were received and not applied yet
//	lists_total              counter  lists, by reason: "initial", "new kind", "compacted", "far behind", ...
//	watches_total            counter  attempts to open a watch
//	failures_total           counter  failed lists, and watches that ended or could not be opened
//	foreign_events_total     counter  events of keys of no registered kind
//
// And for each kind, with the labels group, version and kind:
//
//	objects                  gauge    objects in the newest snapshot
//	object_bytes             gauge    their size in etcd, including keys
//	objects_by_form          gauge    objects by the form in which etcd has them (stored_version, codec, encryption_key, unknown_fields)
//	undecodable_keys         gauge    keys with values that cannot be decoded
//	handlers                 gauge    registered handlers
//	handler_backlog_changes  gauge    undelivered changes of the handler that is furthest behind
//	changes_total            counter  applied changes
//
// A replica that follows etcd checks every 5 s that nothing is missing. So
// lag_seconds rises to a little more than 5 while all is well; alert at 15 or
// above. Revisions count the writes of all clients: the difference between the
// two is no measure of what the replica lacks.
//
// # Permissions
//
// The etcd user must be able to read the smallest range of keys that encloses all
// kinds of the replica, since one watch covers it. For a single kind, that is the
// kind's own prefix. [Status] and [Replica.Healthy] name a permission that was
// lost and a token that expired. The replica retries until it has access again,
// and then continues where it was.
//
// A replica's lists and watches share the connection of its client. Over TLS, etcd
// is known to starve the watches of a connection while it answers large reads on
// it. If the lag shows that other reads of the same client do this, give the
// replica a client of its own.
//
// # The epoch key
//
// After a wipe or a restore, etcd's revision can grow past the replica's, and the
// new data look like a continuation of the old. To tell them apart, the first
// replica stores a random value under the key <prefix>.epoch, where no object can
// be, and every replica reads it with its periodic check. If the key is gone or
// has changed, the replica reads all values, delivers the difference, and logs
// a warning. A backup also contains the key, so it does not change by a restore.
// Therefore delete it after each restore; a replica then creates another one:
//
//	etcdctl del /registry/.epoch
//
// A replica whose user may not read or write the key works without it. It then
// compares only some of its newest objects.
//
// # Checkpoints
//
// With [Options].Checkpoint a replica writes its state to a file, and the next
// process starts from it. Handlers first get the objects of the file, as Added
// events with Initial set, and then everything that has changed since, including
// missed deletions with old objects. A handler that ignores initial events thus
// sees what changed while no process ran. The replica reads only those changes
// from etcd.
//
//   - A checkpoint hides no change from a handler. A state is written only after
//     every handler has returned from the calls for all changes up to it, with
//     its context not done. A handler that is too slow delays checkpoints;
//     [Status] and the log say so.
//   - The file is written periodically, and at the end of Run, which waits for
//     it. The next process delivers again whatever was delivered after the last
//     write.
//   - A call of a handler that has returned counts as done. If the handler only
//     puts the event into memory, such as a queue of its own, the work that is left
//     is lost with the process. Such a handler must not ignore initial events.
//     Neither must a handler that the previous process did not have.
//   - The replica does not wait for handlers that were removed. If Run is called
//     again, calls that were interrupted by the end of the earlier Run count as
//     done.
//   - If the process is killed or the machine stops, the file has either its old
//     or its new content. The replica detects a damaged file. On a file system
//     with locks, two replicas cannot write the same file at the same time.
//   - Nothing of the file is visible before the replica has compared it with
//     etcd: the cluster, the epoch key, the revision and the newest objects. Then
//     the state is visible at its own revision, and [Replica.WaitForSync] waits
//     until the replica has reached the revision that etcd had at the comparison.
//   - The replica does not use a file that is damaged, that has another format,
//     cluster or prefix, or that has an object that cannot be decoded or was not
//     encrypted in etcd though the store refuses such values. It then lists as if
//     there were no file, and all objects are initial.
//   - If etcd was wiped or restored since, or another program wrote the file, or a
//     program whose store could read other values, the replica uses the file, reads
//     all values and delivers the difference. After a wipe or a restore, the revision
//     of its snapshot is 0 until then, because this etcd never had that state. The
//     log and [CheckpointStatus].Start name the case.
//   - Kinds must be registered before Run to be read from the file. Kinds that the
//     file lacks are listed, and so are kinds that [Restrict] keeps only in part,
//     since the next process may keep another part.
//   - Values are encoded as in the store, and encrypted if the store encrypts.
//     Keys and decoding errors are not encrypted; if the store encrypts, these errors
//     have nothing of the content of values. Only the owner may read the file.
package informer
