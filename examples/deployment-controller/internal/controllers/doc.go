// Package controllers runs the example's three controllers on a homeostat
// manager: deployment makes ReplicaSets, replicaset makes Pods, and hollow-node
// plays the kubelet, so that Pods become ready without anything being run.
//
// What they decide is worked out by pure functions (packages rollout and
// replicas) on one snapshot, and written in one etcd transaction, so that a
// process may be killed at any point: nothing is ever half done.
package controllers
