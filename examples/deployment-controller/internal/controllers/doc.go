// Package controllers runs the example's three controllers on a homeostat
// manager: deployment creates ReplicaSets, replicaset creates Pods, and
// hollow-node stands in for the kubelet: it marks Pods as ready without running
// anything.
//
// Pure functions (packages rollout and replicas) decide on one snapshot. Their plans
// become one etcd transaction, so a process that is killed at any point leaves nothing
// half done.
package controllers
