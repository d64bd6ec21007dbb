// Package workloads defaults and validates Deployments, ReplicaSets and Pods like a Kubernetes API server, for a store
// without one.
//
// A store calls DefaultX and then ValidateX on each create and update, and ValidateXUpdate on updates. Validation expects
// a defaulted object: an empty strategy or restart policy is an error.
//
// # What is guaranteed
//
//   - Defaulting sets empty fields and changes nothing else, with two exceptions: it removes the rollingUpdate of a
//     Deployment with strategy Recreate, which would be invalid, and it rounds quantities up to thousandths. It is
//     idempotent: a defaulted object equals itself after it was written and read again.
//   - A Pod template gets the same defaults as a Pod, except those that the API server applies only to Pods:
//     enableServiceLinks, requests from limits, and host ports on the host's network.
//   - Validation changes nothing and returns all errors at once, at the field paths that the API server uses.
//
// # What is not guaranteed
//
//   - The store checks what holds for objects of every kind: namespace, uid, resourceVersion, owners, finalizers, and
//     which metadata an update may change. This package checks only the name, labels and annotations.
//   - There is no admission: nothing chooses a service account, mounts a token or adds a toleration.
//   - Validation covers the parts of a Pod that workload controllers and a node's agent need: containers, ports,
//     environment, resources, probes, volumes and mounts by name. It does not check affinity, security contexts, the
//     contents of volumes, or finer rules.
//   - Pod-level resources get no defaults.
package workloads
