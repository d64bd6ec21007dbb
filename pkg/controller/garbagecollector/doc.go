// Package garbagecollector deletes objects whose owners are gone, as
// Kubernetes' garbage collector does, for any program that adds it to its
// manager:
//
//	err := garbagecollector.Add(m, &appsv1.Deployment{}, &appsv1.ReplicaSet{}, &corev1.Pod{})
//
// An object is deleted when all of its owner references name objects that no
// longer exist; when only some do, those references are taken out. An owner is
// the object with the referenced uid: another object that took its name later
// is not.
//
// An owner that is deleted with the propagation Foreground stays, marked, until
// the dependents that block its deletion are gone; the collector deletes these
// and all others that no other owner keeps, in the foreground too where they have
// dependents of their own. With Orphan it stays until no dependent refers to it
// any more, which keeps these alive; those that are being deleted already are
// past that. Dependents that would wait for each other in a circle do not.
//
// # Guarantees
//
// Owners and dependents are read from one snapshot, and the deletion's
// transaction checks that the owner's key is still as it was there. So no
// object is deleted whose owner exists, not even one whose value cannot be
// decoded, and none is missed because its owner went while the collector was
// not running.
//
// The same holds for an owner that waits: what becomes of a dependent is
// conditional on the owner being as it was in the snapshot, so that a deletion
// with another propagation takes effect at once for all that is left. The owner is
// let go by a snapshot that shows both its mark and no dependent that counts, if
// it has not changed since; one that orphans, if no object of the collector's kinds
// has either, in its namespace. So every dependent that existed when the owner was
// marked is deleted, or kept, as was asked for. Every step is found out from what
// etcd holds: a collector that stops in the middle goes on when it runs again.
//
// # What it does not do
//
// It cannot keep anybody from creating a dependent of an owner that is being
// deleted. One that the collector sees in time, or that comes before an owner
// goes which was to orphan its dependents, is treated like the others; one that
// comes after is garbage. Do not create dependents of an owner with a
// deletionTimestamp, and have their creation be conditional on the owner, as
// controller.Apply does.
//
// It knows only the kinds that it was given. A reference to any other kind
// counts as one to an owner that exists, and so does that of a cluster-scoped
// object to a kind that has namespaces.
// Neither they nor objects that cannot be decoded hold an owner back. The same
// holds for objects that the manager's replica does not keep, see [informer.Scope];
// metadata are all that the collector needs.
package garbagecollector
