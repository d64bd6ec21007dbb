// Package replicas has the decisions of a ReplicaSet controller: which Pods to
// create, delete, adopt and release, and which status to write.
//
// [Sync] is a pure function of one consistent view. It does no I/O, reads no clock
// and does not modify its input, which may come from a shared cache. Its results are
// new objects, except for the Pods in [Plan.Delete].
//
// It guarantees:
//   - It never creates more Pods than spec.replicas asks for, and never deletes more
//     than the excess. Terminal Pods and Pods being deleted do not count.
//   - If there is nothing to do, the [Plan] is empty.
//   - For a ReplicaSet that is being deleted it plans only a status.
//
// It does not guarantee that the view is current. Write a Plan on condition that the
// ReplicaSet still has the same resourceVersion, even when the Plan does not change
// the ReplicaSet. Otherwise you may create Pods for a size that has changed. Call Sync
// again when the ReplicaSet or one of its Pods changes, and after [Plan.RequeueAfter].
package replicas
