// Package rollout has the decisions of a Deployment controller: which ReplicaSets a
// Deployment has, their next sizes, and the status to write.
//
// [Sync] is a pure function of one consistent view. It does no I/O, reads no clock
// and does not modify its input, which may come from a shared cache. It returns a
// [Plan] with one whole step. Write it in one transaction.
//
// The guarantees below hold if you write each Plan on condition that the Deployment
// and its ReplicaSets still have the same resourceVersions, and the ReplicaSet
// controller does likewise:
//   - A rolling update never asks for more than replicas + maxSurge Pods. Pods that
//     a shrinking ReplicaSet has yet to delete count; terminating Pods do not.
//   - A rolling update gives up an available Pod only if at least replicas -
//     maxUnavailable remain, according to the ReplicaSets' statuses. Below that it
//     gives up only Pods that are reported as not available.
//   - Recreate enlarges no ReplicaSet while a Pod of another one may still run.
//   - The Plan for a settled state is empty, so writing Plans comes to an end.
//     lastUpdateTime moves only with progress.
//
// The package does not guarantee availability if Pods fail by themselves, or while the
// Deployment itself is being scaled: scaling changes ReplicaSets in proportion to their
// sizes, whatever their health.
//
// Call Sync again whenever the Deployment, one of its ReplicaSets or one of their Pods
// changes, and after [Plan.RequeueAfter]. There is no operation for rolling back: a
// client writes an earlier template into the Deployment, and Sync finds the ReplicaSet
// with that template.
//
// Sync expects valid Deployments. It returns an error for those that would do harm.
package rollout
