package storetest

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/homeostat/homeostat/pkg/store"
)

// NewStore returns a store on fresh keys, made with the kinds of o.
type NewStore func(t *testing.T, o store.Options) *store.Store

// Run checks every rule, each on a store of its own.
func Run(t *testing.T, newStore NewStore) {
	run(t, newStore, nil)
}

// RunInterrupted is [Run] with an interruption in the middle of each rule, after
// the first object has been written: interrupt breaks what lies between the
// store and its data, such as by a restart of the server, and mends it again. It
// returns when the server can answer; the suite waits until the store's client
// has noticed.
func RunInterrupted(t *testing.T, newStore NewStore, interrupt func(t *testing.T)) {
	run(t, newStore, interrupt)
}

// run has the rules for all objects run on one kind only when they are
// interrupted: an interruption costs time, and does not look at the kind.
func run(t *testing.T, newStore NewStore, interrupt func(*testing.T)) {
	runKind(t, deployments(), newStore, interrupt, commonRules[*appsv1.Deployment]())
	if interrupt == nil {
		runKind(t, widgets(), newStore, interrupt, commonRules[*widget]())
	}
	runKind(t, widgets(), newStore, interrupt, ownRules())
	runKind(t, configMaps(), newStore, interrupt, plainRules())
}

// rule is a promise of package store, and how to see whether it is kept.
type rule[T store.Object] struct {
	name  string
	check func(e *env[T])
}

// commonRules hold for every kind with a spec and a status.
func commonRules[T store.Object]() []rule[T] {
	return slices.Concat(createRules[T](), inputRules[T](), updateRules[T](), statusRules[T](), deleteRules[T](),
		finalizerRules[T](), mutateRules[T](), txnRules[T](), fenceRules[T](), cacheRules[T](), listRules[T](), watchRules[T]())
}

func runKind[T store.Object](t *testing.T, k kind[T], newStore NewStore, interrupt func(*testing.T), rules []rule[T]) {
	for _, r := range rules {
		t.Run(k.name+": "+r.name, func(t *testing.T) {
			r.check(&env[T]{T: t, kind: k, s: newStore(t, options()), interruption: interrupt})
		})
	}
}
