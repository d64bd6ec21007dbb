// Package events records what controllers do to objects as Events of
// events.k8s.io/v1, in etcd, under a prefix of their own: they churn, and no
// replica of the objects should see them.
//
//	r, err := events.New(s, events.Options{Controller: "example.com/site-controller"})
//	go r.Run(ctx)
//	...
//	r.Eventf(site, pod, corev1.EventTypeNormal, "Created", "CreatePod", "created pod %s", pod.Name)
//
// A [Recorder] has the method of client-go's EventRecorder, so that code which
// uses that one can be given this one.
//
// # Series
//
// Calls that agree in the object that they are about (regarding), the related
// object, type, reason, action and controller are one Event. The first is
// written at once, the others as its series: a count and the time of the last,
// at most once every 10 seconds. Resource versions of the objects do not matter,
// nor does the note, since notes have counters and error texts in them that
// differ each time: an Event shows the note of its last call. A series ends when
// nothing has been added to it for 6 minutes; then the next such call begins a
// new Event.
//
// # Guarantees
//
//   - Eventf does not wait for etcd, and neither fails nor panics. It takes a
//     lock that is never held while anything is waited for.
//   - Memory is bounded: see [Options.Buffer].
//   - etcd is spared: a controller makes at most [Options.Burst] Events about one
//     object at a time, and one more every 5 minutes. Until it stops, a recorder
//     writes at most Options.Buffer of them in any 10 seconds, up to 32 in one
//     transaction.
//   - An Event lives for at least [Options.TTL] after it was last written and
//     goes with an etcd lease. Events share leases: a recorder has about a dozen.
//   - What is not written is counted, by its cause, in [Recorder.Dropped] and in
//     the metric of [Recorder.Collector], and the log says so, at most once a
//     minute for each cause.
//   - While etcd does not answer, writing is tried again, with pauses that double
//     up to 10 seconds. What could not be written for 5 minutes is dropped.
//   - [Recorder.Run] returns when all goroutines that it started have ended. It
//     writes what waits before it does, for at most 5 seconds.
//
// # What is not guaranteed
//
//   - That there is an Event for each call: they inform people. Do not have a
//     program depend on them.
//   - What is recorded after Run has begun to return stays in memory until Run
//     is called again. Stop the recorder after those who use it.
//   - That series continue in another process, or after a restart. Two recorders
//     write Events of their own.
//   - That an Event which somebody deletes stays away: the next call of its
//     series writes it again.
//   - That an Event never goes back: a write that was given up, and was on its
//     way all the same, may arrive after the next one of the same Event.
package events
