// Package controllers runs the example's controllers on a homeostat manager:
//
//   - deployment creates ReplicaSets.
//   - replicaset creates Pods, and deletes them with their grace period.
//   - hollow-node stands in for the kubelet: it marks Pods as ready without running
//     anything, and ends those that are deleted. Annotations make it crash, fail or stop
//     Pods slowly; see [CrashAnnotation], [FailAnnotation] and [StopAnnotation].
//   - pod-collector deletes the oldest Pods that have ended.
//
// They record Events about what they do and about what fails.
//
// Pure functions (packages rollout and replicas) decide on one snapshot. Their plans
// become one etcd transaction, so a process that is killed at any point leaves nothing
// half done.
package controllers
