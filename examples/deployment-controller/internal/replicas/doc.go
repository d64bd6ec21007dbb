// Package replicas is what a ReplicaSet controller decides: which Pods to
// create, delete, adopt and release, and what to report.
//
// [Sync] is a pure function of one consistent view. It does no I/O, reads no
// clock and changes nothing that it is given: the objects may come from a
// shared cache. What it returns is new, except for the Pods in [Plan.Delete].
//
// It guarantees:
//   - Never more Pods than spec.replicas are asked for, and never more are
//     deleted than are too many. Pods that are done or being deleted do not
//     count.
//   - A view in which nothing is to be done gives an empty [Plan].
//   - A ReplicaSet that is being deleted creates, deletes, adopts and releases
//     nothing; only its status is kept.
//
// It does not guarantee that the view is current. Write a Plan on condition
// that the ReplicaSet still has the resourceVersion it was made from, even when
// the Plan does not change the ReplicaSet; otherwise Pods may be created for a
// size that has been taken back meanwhile. Call Sync again when the ReplicaSet
// or one of its Pods changes, and after [Plan.RequeueAfter].
package replicas
