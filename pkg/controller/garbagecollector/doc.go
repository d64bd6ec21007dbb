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
// # Guarantees
//
// Owners and dependents are read from one snapshot, and the deletion's
// transaction checks that the owner's key is still as it was there. So no
// object is deleted whose owner exists, not even one whose value cannot be
// decoded, and none is missed because its owner went while the collector was
// not running.
//
// # What it does not do
//
// It knows only the kinds that it was given. A reference to any other kind
// counts as one to an owner that exists, and so does that of a cluster-scoped
// object to a kind that has namespaces.
//
// It deletes in the background: an owner does not wait for its dependents to be
// gone, whatever blockOwnerDeletion says.
package garbagecollector
