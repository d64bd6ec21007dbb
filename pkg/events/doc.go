// Package events records what controllers do to objects as Events of
// events.k8s.io/v1. The Events are for people: kubectl, dashboards and logs show them.
//
//	r, err := events.New(s, events.Options{Controller: "example.com/site-controller"})
//	go r.Run(ctx)
//	...
//	r.Eventf(site, pod, corev1.EventTypeNormal, "Created", "CreatePod", "created pod %s", pod.Name)
//
// Events live in etcd under a prefix of their own. They change often, and replicas of
// the objects should not see them.
//
// A [Recorder] has the method of client-go's EventRecorder, so that code written for
// that interface accepts it. A controller's transactions record Events when the
// recorder is set in the manager's options.
//
// # Series
//
// Calls with the same objects (regarding and related), type, reason, action and
// controller share one Event. The first call is written at once. Later calls only update
// the Event's series: the number of calls, and the time of the last one. A series is
// written at most once every 10 seconds. The objects' resourceVersions may differ, and
// so may the note, since notes hold counters and error texts: an Event shows the note of
// its last call. A series ends after 6 minutes without a call; the next call begins a
// new Event.
//
// # Guarantees
//
//   - Eventf does not wait for etcd, and it neither fails nor panics. It takes a lock
//     that is held only briefly.
//   - Memory is bounded; see [Options.Buffer].
//   - The load on etcd is bounded. A controller makes at most [Options.Burst] Events
//     about one object in quick succession, and one more every 5 minutes. While it
//     runs, a recorder writes at most Options.Buffer Events in any 10 seconds, up to 32
//     in one transaction.
//   - An Event lives for at least [Options.TTL] after it was last written. etcd deletes
//     it by its lease. Events share leases: a recorder holds about a dozen,
//     and one more for each 1000 Events.
//   - Every call that no Event shows is counted by cause, in [Recorder.Dropped] and in
//     the metric of [Recorder.Collector]. The log reports drops at most once a minute
//     for each cause.
//   - A write that fails is tried again. The pauses double from 0.1 seconds to about 10.
//     An Event that could not be written for 5 minutes is dropped.
//   - [Recorder.Run] writes what is pending before it returns, for at most 5 seconds.
//     It starts no goroutine.
//
// # Not guaranteed
//
//   - That each call leads to an Event. No program should depend on Events.
//   - That calls made after Run has begun to return are written. They stay in memory
//     until Run is called again. Stop the recorder after the code that uses it.
//   - That a series continues in another process or after a restart. Two recorders
//     write Events of their own.
//   - That a deleted Event stays deleted: the next call of its series writes it again.
//   - That the count of an Event never goes back. A write that timed out may still
//     arrive after a later write of the same Event.
package events
