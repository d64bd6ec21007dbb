// Package workloads defaults and validates Deployments, ReplicaSets and Pods as a Kubernetes API server does, for a
// store that has none in front of it.
//
// A store calls DefaultX and then ValidateX on each create and update, and ValidateXUpdate on updates. Validation wants
// a defaulted object: an empty strategy or restart policy is an error, not a reason to look for the default.
//
// # What is guaranteed
//
//   - Defaulting fills in what is empty and changes nothing else, with two exceptions: a Deployment that asks for
//     Recreate loses its rollingUpdate, which would be refused, and quantities are rounded up to thousandths. It is
//     idempotent, so a defaulted object compares equal to itself written and read again.
//   - A Pod template gets what a Pod gets, but for what the API server gives to Pods alone: enableServiceLinks,
//     requests from limits, and host ports on the host's network.
//   - Validation changes nothing and returns all errors at once, at the field paths that the API server uses.
//
// # What is not
//
//   - What holds for objects of any kind is the store's to check: namespace, uid, resourceVersion, owners, finalizers,
//     and what of the metadata may change in an update. Of the metadata only the name, labels and annotations are looked
//     at here.
//   - Admission is not played: no service account is chosen, no token is mounted, no toleration is added.
//   - Of a Pod that part is validated which workload controllers and a node's agent live by: containers, ports,
//     environment, resources, probes, volumes and mounts by name. Affinity, security contexts, the insides of volumes and
//     the finer rules of each are taken as they are.
//   - Pod-level resources get no defaults.
package workloads
