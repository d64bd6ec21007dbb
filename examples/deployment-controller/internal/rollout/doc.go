// Package rollout is what a Deployment controller decides: which ReplicaSets a
// Deployment has, how large each is to be next, and what to report.
//
// [Sync] is a pure function of one consistent view. It does no I/O, reads no
// clock and changes nothing that it is given: the objects may come from a
// shared cache. The [Plan] it returns is the whole of one step, meant to be
// written in one transaction.
//
// It guarantees, when every Plan is written on condition that the Deployment
// and the ReplicaSets in it still have the resourceVersions they were read at,
// and the ReplicaSet controller does likewise:
//   - A rolling update never asks for a Pod that would make more than replicas +
//     maxSurge. Pods that a ReplicaSet has beyond its size, because it has yet
//     to act on being made smaller, count; those already terminating do not.
//   - A rolling update gives up no available Pod when fewer than replicas -
//     maxUnavailable would be left, by what the ReplicaSets report. With fewer
//     than that it gives up only Pods that were reported as not available.
//   - Recreate makes no ReplicaSet larger while a Pod of another may still run.
//   - A Plan for a state that is settled is empty, so that writing Plans comes
//     to an end; lastUpdateTime moves only when something progressed.
//
// It does not guarantee availability against Pods that fail by themselves, nor
// while the Deployment itself is being resized: that is shared out in
// proportion to the ReplicaSets' sizes, whatever their health.
//
// The caller calls Sync again whenever the Deployment, one of its ReplicaSets
// or one of their Pods changes, and after [Plan.RequeueAfter]. Rolling back is
// no operation of its own: a client writes an earlier template into the
// Deployment, and Sync finds the ReplicaSet that has it.
//
// Invalid Deployments are assumed to be refused before they get here. Those
// that would do harm are an error.
package rollout
