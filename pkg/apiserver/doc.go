// Package apiserver serves the Kubernetes API of a store's kinds: kubectl, client-go,
// controller-runtime and the clients of other languages can then read, watch and change
// the objects that programs use through package store.
//
// # How to use it
//
// A server is a runnable of a manager. There is no generated code, and no process
// beside the program:
//
//	api, err := apiserver.New(m, apiserver.Options{})
//	err = m.Add("api", api.Run, controller.RunnableOptions{EveryProcess: true})
//
// It listens on [DefaultAddress] unless [Options].Address says otherwise:
//
//	kubectl --server=http://127.0.0.1:8001 get sites
//
// All kinds of the store are served, each in all its versions. A [Kind] says how the
// objects of a type are named and shown: short names, the columns of kubectl get, and
// the fields of the scale subresource. Kubernetes' own kinds look as kubectl users know
// them.
//
// # What is served
//
//   - get, list, watch, create, update, patch, delete and deletecollection; the status of
//     kinds that have one; the scale of kinds that say so. Patches are JSON patches, merge
//     patches, strategic merge patches for Kubernetes' types, and server-side apply with
//     managed fields and conflicts.
//
//   - Dry runs, field validation (Strict, Warn, Ignore), label selectors, the field
//     selectors that the store knows, pages, resource versions with their match modes,
//     bookmarks, and watches that begin with all objects (sendInitialEvents).
//
//   - JSON, YAML and CBOR; protobuf for groups in which all types have it. Tables.
//
//   - Discovery, plain and aggregated, and OpenAPI 2 and 3. Schemas are made from the Go
//     types. The struct tags listType, listMapKey, mapType and description say how
//     server-side apply merges a field, and what kubectl explain shows:
//
//     Ports []Port `json:"ports" listType:"map" listMapKey:"name" description:"..."`
//
//   - /version, /healthz, /livez and /readyz. The checks are those of the manager.
//
// # What is guaranteed
//
//   - Everything passes through the store. Its rules decide about names, versions,
//     defaults, validation, finalizers and conflicts, and a Go program cannot tell whether
//     an object was written by another Go program or by a client of the API.
//   - Lists and gets are linearizable: they see every write that returned before. A watch
//     that continues a list or another watch misses nothing. If a revision has several
//     changes of a kind, a watch from it may repeat them.
//   - A body that takes more time to decode than its length allows is refused, in any form.
//   - A wrong request gets the status, the reason and the causes that Kubernetes gives.
//
// # Who may use it
//
// On a loopback address the API is open to every program on the machine, but to no web
// page: the server refuses foreign Host and Origin headers, and bodies without a
// Content-Type. On any other address it demands TLS and clients that prove who they are,
// by a certificate or a token; see [Options].Serving and package serving. Whoever may use
// the API may do everything.
//
// # What is not guaranteed
//
//   - There is no authorization by user and verb, no audit log and no admission webhook.
//   - Each watch is a watch of etcd, and each list reads etcd. Bookmarks come when etcd
//     reports progress, every ten minutes unless it is configured otherwise.
//   - A deletion has no grace period unless the client asks for one.
//   - If a value in etcd does not decode, lists of its kind fail with an error that names
//     its key, and watches leave it out.
//   - Namespaces exist without being created. Deleting a Namespace deletes nothing in it.
package apiserver
