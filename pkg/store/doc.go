// Package store keeps typed objects in etcd under Kubernetes' rules: optimistic
// concurrency by resourceVersion, a status that is written apart from the spec,
// generations, finalizers, graceful deletion, generated names and owner references. No
// server stands in between. The store applies the rules in the writing process, and
// etcd verifies them within the transaction of the write.
//
// # Use
//
// [New] makes a [Store] from an etcd client; package connect opens one. The store holds
// types of k8s.io/api, listed in a scheme, and types of your own:
//
//	type Site = store.Resource[SiteSpec, SiteStatus]
//
//	s, err := store.New(client, store.Options{Kinds: []store.AnyKind{
//		store.Kind[*Site]{GroupVersionKind: schema.GroupVersionKind{
//			Group: "example.com", Version: "v1", Kind: "Site"}},
//	}})
//
// Read with [Get], [List] and [Watch]. [List] returns pages if you set a limit.
// [Stream] yields a large list while it is read.
//
// Write with [Store.Create], [Store.Update], [Store.UpdateStatus] and [Store.Delete].
// [Mutate] reads an object, changes it and writes it, and repeats that if another
// writer was faster. [Store.Txn] writes several objects in one transaction, with
// conditions on other objects and on ranges of them. [DeleteCollection] deletes the
// objects that a list selects. [Store.Expire] gives an object a time to live.
//
// A [Kind] adds defaults and validation to a type, also across objects, and a [Version]
// adds an older or newer form of it. As in Kubernetes, a write moves the stringData of
// a Secret into its data.
//
// Values are JSON or protobuf, see [Codec], and encrypted if [Options].EncryptionKeys
// is set. A store reads all of these forms, whichever it writes. Use [Rewrite] to move
// the values of a running store to another form.
//
// Returned objects belong to the caller. A successful write updates the object that it
// was given to what is now stored. A failed write leaves it unchanged.
//
// # Guarantees
//
//   - A write, of one object or of many, happens completely at one revision or not at
//     all, except with [Txn.AllowSplit]. It happens only if etcd still holds the
//     objects to which the rules were applied. No update is lost, if all other writers
//     compare resourceVersions as this package does.
//   - A write that changes nothing makes no revision, whatever the form of the stored
//     value. It is verified like any other.
//   - A write keeps the fields of a stored value that the Go type lacks; see Upgrades. It
//     also keeps the lease of a key.
//   - A [Cache] saves a write from reading and never makes it wrong. Every success and
//     every refusal is verified with etcd.
//   - With [Store.WithFences], nothing is written once a fence no longer holds, even if
//     the writer does not know that yet: etcd compares the fence within the write. With
//     [Store.WithFencesFrom], a program can refuse writes whose context has no fence.
//   - Get, and List without a revision, are linearizable. A list shows one revision, and
//     a watch from the next revision continues it without a gap.
//   - A watch yields each change once, in the order of revisions, across lost
//     connections. If it cannot, it ends with an error that says why.
//
// # Not guaranteed
//
//   - A revision does not tell writes apart. Transactions of several callers that wait for
//     etcd at the same time go in one request and have one revision, each with conditions
//     and a result of its own. [Options].Ungrouped prevents that.
//   - If the response to a write is lost, the store reads the keys to find out whether
//     the write happened. The answer is certain in three cases: it finds the created
//     object, with the same uid; it finds that another writer changed the object first;
//     or the values are encrypted, and it finds the value that it wrote. In all other
//     cases [IsUnknownOutcome] is true for the error: the write may have happened, or
//     may still happen. A write that found no connection, or that etcd clearly refused,
//     never has an unknown outcome.
//   - A watch yields the objects of one revision one by one. If you need them together,
//     wait for the next revision, or use a replica of package informer.
//   - A watch may not notice that etcd was wiped or restored. It notices only if it is
//     opened, or opened again, while etcd's revision is below the one that the watch has
//     reached. Package informer checks more.
//   - Owner references are stored and validated. The store deletes nothing because of
//     them; package garbagecollector does.
//   - A value of a version that the store does not know is undecodable, see [Version].
//   - So is a value that takes more time to decode than its length allows, for example one
//     with a quantity of 1e-999999999. Exponents have at most three digits, and numbers in
//     quantities at most a thousand. The store does not write such a value either.
//   - The store does not authorize. Use etcd's users and roles, which grant access by
//     key.
//
// # Upgrades
//
// Programs of several versions may use the same objects.
//
// A program that lacks a field of a type decodes a value without it. Its writes keep the
// field all the same: they apply the difference that they make to the stored value. In a
// list, an element keeps its unknown fields if the store finds the old element that it
// replaces: one with the same key, an equal one, or, if the list keeps its length, the
// one at the same index. The key is the field in the struct tag patchMergeKey, as in
// Kubernetes' types, or the first of name, key, id, uid and type by which all elements
// differ. If a write removes a field, the unknown fields within it are removed too. A
// value with unknown fields keeps its version and its codec, and writes read it from etcd
// even with a [Cache]. The store does not notice unknown fields within a type that has an
// UnmarshalJSON method: a write may remove them.
//
// Rules may change while objects are stored. An update defaults and validates only the
// parts of an object that it changes; see [Kind]. A write of the status or of metadata
// leaves the spec as it is. Removing a finalizer from an object that is being deleted is
// always valid.
//
// To move stored values to another [Version], [Codec] or encryption key: first let every
// program know the new form, then let every program write it, then call [Rewrite].
// [Form] says how a value is stored; package informer counts the objects of each form.
// To go back, take the same steps in the other direction. Set [Options].RefusePlaintext
// once all values are encrypted, and unset it before a way back. docs/upgrading.md has
// the steps in detail.
//
// # Keys
//
// The etcd key of an object is <prefix><group>/<resource>/<namespace>/<name>. The
// empty group is written as "core". A cluster-scoped kind has no namespace in its keys.
// The store refuses names that would change this structure, such as ".." and "a/b".
//
// # Errors
//
// Errors name the operation and the key. They wrap Kubernetes' errors where one has the
// same meaning, so that apierrors.IsNotFound, IsAlreadyExists, IsConflict, IsInvalid,
// IsBadRequest, IsResourceExpired and IsRequestEntityTooLargeError report as usual.
// This package adds [IsFenced], [IsUnknownOutcome] and [UndecodableError], and package
// etcd adds [etcd.CompactedError]. Use errors.Is to find errors of etcd and of the
// context. If the store encrypts values, errors have nothing of their content.
package store
