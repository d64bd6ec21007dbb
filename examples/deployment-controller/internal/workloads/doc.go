// Package workloads defaults and validates Deployments, ReplicaSets and Pods like a Kubernetes API server, for a store
// without one.
//
// A store calls DefaultX and then ValidateX on each create and update, and ValidateXUpdate on updates. Validation expects
// a defaulted object: an empty strategy or restart policy is an error.
//
// # What is guaranteed
//
//   - Defaulting sets empty fields and changes nothing else, except that it rounds quantities up to thousandths. It is
//     idempotent: a defaulted object equals itself after it was written and read again.
//   - A Pod template gets the same defaults as a Pod, except those that the API server applies only to Pods:
//     enableServiceLinks, requests from limits, and host ports on the host's network.
//   - Validation changes nothing and returns all errors at once. Each has the field path and the reason that the API server
//     gives, also where that names a list and not its element, as for envFrom and for paths within volumes. The messages
//     are this package's own. A resource with an unknown name is one error here and two there.
//
// # What is checked
//
// All fields of Deployments and ReplicaSets; the parts of a Pod that workload controllers and a node's agent need:
//
//   - containers, init containers and sidecars: names, images, policies, ports, host ports and the host's network
//   - environment: names, sources, keys and field paths
//   - resources: names, amounts, limits against requests
//   - probes and hooks, with what they do
//   - volumes: one source each; paths, keys and names of hostPath, secret, configMap and persistentVolumeClaim
//   - mounts: names, paths, paths within volumes, propagation
//   - restartPolicy, dnsPolicy, deadlines, tolerations, nodeSelector, names of other objects, and the deletion cost
//
// # What is not checked
//
//   - Metadata other than a template's labels and annotations: the store checks it, for objects of every kind.
//   - affinity, topologySpreadConstraints, readinessGates, schedulingGates, resourceClaims, overhead, os, hostAliases,
//     dnsConfig beyond the presence of servers, and priority
//   - security contexts of Pods and containers, sysctls, hostUsers, and the annotations of AppArmor and seccomp
//   - the contents of the other volume sources, volumeDevices, and recursiveReadOnly
//   - resizePolicy, restartPolicyRules, Pod-level resources (which get no defaults either), and that huge pages need cpu or
//     memory
//   - hostIP of ports, divisors of resourceFieldRef, and fileKeyRef
//   - what depends on the feature gates of a cluster, and all rules that an API server applies only to old objects
//   - the status
//   - admission: nothing chooses a service account, mounts a token or adds a toleration
package workloads
