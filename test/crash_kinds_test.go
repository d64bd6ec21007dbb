package test

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/store"
)

// The kinds of the system: a Fleet has Groups. A Group has Units, whose names derive
// from its own, and Hands, whose names are generated.
type (
	Fleet = store.Resource[FleetSpec, FleetStatus]
	Group = store.Resource[GroupSpec, GroupStatus]
	Unit  = store.Resource[UnitSpec, UnitStatus]
	Hand  = store.Resource[HandSpec, struct{}]
)

// FleetSpec asks for Groups, each with a number of Units and Hands.
type FleetSpec struct{ Groups, Units, Hands, Color int }

// FleetStatus counts the Groups that match the Fleet's spec, and their Units.
type FleetStatus struct {
	ObservedGeneration   int64
	Groups, Units, Color int
}

// GroupSpec asks for Units and Hands.
type GroupSpec struct{ Units, Hands, Color int }

// GroupStatus counts the Units that have painted themselves.
type GroupStatus struct {
	ObservedGeneration int64
	Ready, Color       int
}

// UnitSpec asks for a color.
type UnitSpec struct{ Color int }

// UnitStatus has the Unit's color.
type UnitStatus struct {
	ObservedGeneration int64
	Color              int
}

// HandSpec has the Group's generation for which the Hand was created.
type HandSpec struct{ AskedAt int64 }

const (
	crashPrefix    = "/registry/crash.test/"
	crashNamespace = "default"
	// tokenAnnotation has the fencing token of the last writer.
	tokenAnnotation = "crash.test/token"
	// fleetLabel has the name of the Fleet at the end of an object's owners.
	fleetLabel = "crash.test/fleet"
)

func newCrashStore(client *clientv3.Client) (*store.Store, error) {
	gvk := func(kind string) schema.GroupVersionKind {
		return schema.GroupVersionKind{Group: "crash.test", Version: "v1", Kind: kind}
	}
	return store.New(client, store.Options{Kinds: []store.AnyKind{
		store.Kind[*Fleet]{GroupVersionKind: gvk("Fleet")},
		store.Kind[*Group]{GroupVersionKind: gvk("Group")},
		store.Kind[*Unit]{GroupVersionKind: gvk("Unit")},
		store.Kind[*Hand]{GroupVersionKind: gvk("Hand")},
	}})
}

func crashMeta(name, fleet string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: crashNamespace, Name: name, Labels: map[string]string{fleetLabel: fleet}}
}
