// Package store keeps typed objects in etcd by Kubernetes' rules: optimistic
// concurrency by resourceVersion, a status apart from the spec, generations,
// finalizers, graceful deletion, generated names and owner references. There is
// no server in between; what a write may do is decided here and verified by
// etcd.
//
// # Use
//
// A [Store] is made with [New] from an etcd client, and holds the types of
// k8s.io/api that a scheme names as well as types of your own:
//
//	type Site = store.Resource[SiteSpec, SiteStatus]
//
//	s, err := store.New(client, store.Options{Kinds: []store.AnyKind{
//		store.Kind[*Site]{GroupVersionKind: schema.GroupVersionKind{
//			Group: "example.com", Version: "v1", Kind: "Site"}},
//	}})
//
// [Get], [List] and [Watch] read; [Store.Create], [Store.Update],
// [Store.UpdateStatus] and [Store.Delete] write; [Mutate] reads, changes and
// writes until no other writer comes in between. Each single write is a
// transaction of one object; [Store.Txn] makes larger ones, with conditions on
// other objects and on ranges of them. A [Kind] adds
// defaults and validation, a [Version] another form of a kind. Lists come in
// pages where they have a limit; [Stream] hands out large ones as they are read,
// and [DeleteCollection] deletes what a list selects.
//
// Values are JSON or protobuf, see [Codec], and encrypted where
// [Options].EncryptionKeys says so. Each says which it is, so that [Rewrite] moves
// a store from one to another while it is in use.
//
// Objects that the store returns are the caller's own. A successful write fills
// in the object that it was given with what is stored now; one that fails
// leaves it as it was.
//
// # What is guaranteed
//
//   - Every write, of one object or of many, happens as a whole at one revision
//     or not at all (save for [Txn.AllowSplit]), and only if what its rules were
//     applied to is still what etcd holds. No update is lost, whatever other
//     processes do, as long as they compare and set as this package does.
//   - A write that changes nothing costs no revision. It is verified all the
//     same.
//   - A [Cache] spares a write its read and never makes it wrong: no write
//     succeeds, and none is refused, on the word of a cache alone.
//   - Under [Store.WithFences] nothing is written once a fence has fallen. This
//     holds however late the writer learns of it, since etcd compares the fence
//     within the write. Under [Store.WithFencesFrom] nothing is written whose
//     context has no fence.
//   - Get, and List of the newest revision, are linearizable. A list is of one
//     revision, and a watch from the next one continues it without a gap.
//   - A watch yields each change once, in the order of revisions, through any
//     number of lost connections, or ends with an error that says why it cannot.
//
// # What is not
//
//   - When the answer to a write is lost, it is looked for in etcd: a creation is
//     known by its uid, an update that another writer forestalled by what stands
//     in its place, and any update if values are encrypted. What remains is
//     reported as unknown, see [IsUnknownOutcome]: an update that may have
//     happened, and one that may yet. A write that found no connection, or that
//     etcd clearly refused, is not reported so.
//   - Objects that share a revision are yielded by a watch one by one. Whoever
//     needs them together has to wait for the next revision, or to use a replica
//     of the informer package.
//   - An etcd whose data were wiped, or restored from a backup, is noticed by a
//     watch only when it is opened, or opened again, before etcd has come as far
//     as the watch was; the informer package looks closer.
//   - Owner references are kept and checked for form. Nothing is deleted because
//     of them: that is a controller's work.
//   - A value of a version that the store was not told of, see [Version], is
//     undecodable.
//   - Who may read or write what is up to etcd's own users and roles, by keys.
//
// # Keys
//
// An object's key is <prefix><group>/<resource>/<namespace>/<name>, with "core"
// for the empty group and without the namespace for a cluster-scoped kind. The
// value is JSON. Names that could lead elsewhere, such as ".." and "a/b", are
// refused.
//
// # Errors
//
// Errors say what was attempted, on which key. They wrap those of Kubernetes
// where it has one: apierrors.IsNotFound, IsAlreadyExists, IsConflict,
// IsInvalid, IsBadRequest, IsResourceExpired and IsRequestEntityTooLargeError
// answer as usual. [IsFenced], [IsUnknownOutcome], [UndecodableError] and
// [etcd.CompactedError] are this package's own, and etcd's and the context's errors
// are found with errors.Is.
package store
