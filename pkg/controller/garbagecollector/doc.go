// Package garbagecollector deletes objects whose owners are gone, as Kubernetes'
// garbage collector does. Add it to a manager, with all kinds that own or are
// owned:
//
//	err := garbagecollector.Add(m, &appsv1.Deployment{}, &appsv1.ReplicaSet{}, &corev1.Pod{})
//
// # What it does
//
// The collector looks at the owner references of each object. When none of the
// owners exists, it deletes the object. When only some exist, it removes the
// references to the others. An owner is the object with the referenced uid: a later
// object of the same name is not the owner.
//
// An owner deleted with the propagation Foreground stays, with a deletionTimestamp,
// until the dependents with blockOwnerDeletion are gone. The collector deletes those,
// and all other dependents that have no other owner. Dependents that have dependents
// themselves are deleted in the foreground too. If objects own each other in a circle,
// so that each would wait for the next, the collector deletes them without waiting.
//
// An owner deleted with the propagation Orphan stays until no dependent refers to
// it. The collector removes the references, so the dependents live on. Dependents
// that are being deleted already are not saved.
//
// # Guarantees
//
//   - No object is deleted while an owner of it exists, not even an owner whose
//     value cannot be decoded. The collector reads an object and its owners from one
//     snapshot, and the transaction that deletes the object checks that the owners'
//     keys in etcd are as the snapshot had them.
//   - The collector also finds dependents of owners that disappeared while it did not
//     run. Every decision follows from the objects in etcd, so the collector
//     continues after a crash where it stopped.
//   - Every dependent that existed when its owner's deletion began is deleted or
//     orphaned, as the deletion's propagation says. Before the collector removes its
//     finalizer from the owner, it reads a snapshot that has the owner's deletionTimestamp and no
//     remaining dependent. The write checks that the owner is as it was in that
//     snapshot. For an orphaning owner, it also checks that no object of the
//     collector's kinds in the owner's namespace has changed since.
//   - A second deletion of the same owner with another propagation takes effect at
//     once for all dependents that are left, since each write for a dependent checks
//     that the owner has not changed.
//
// # What is not guaranteed
//
//   - The collector cannot prevent the creation of a dependent whose owner is being
//     deleted. If it sees the new dependent before the owner is gone, it treats it like
//     the others. Otherwise the dependent becomes garbage and is deleted, even if the owner
//     was deleted with Orphan. To avoid this, do not create dependents for an
//     owner with a deletionTimestamp, and make their creation conditional on the
//     owner, as controller.Apply does.
//   - The collector knows only the kinds given to Add. A reference to another kind
//     counts as one to an owner that exists. So does a reference from a cluster-scoped
//     object to a kind with namespaces. Dependents of other kinds do not delay the
//     deletion of their owner.
//   - The collector does not know objects outside the manager's replica, or dependents
//     that cannot be decoded. They are not deleted, and do not delay the deletion of
//     their owner. See [informer.Scope].
//
// The collector reads only metadata, so the replica may keep only the metadata of a
// kind; see [informer.Restrict].
package garbagecollector
