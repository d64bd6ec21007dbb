package storetest

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/homeostat/homeostat/pkg/store"
)

// NewStore returns a store on keys that no other store uses. It must make the store with the
// Scheme and the Kinds of o. It fails t if it cannot.
type NewStore func(t *testing.T, o store.Options) *store.Store

// Run checks every rule as a subtest, each on a store of its own. Use it in the tests of
// a backend or a configuration of package store.
func Run(t *testing.T, newStore NewStore) {
	run(t, newStore, nil)
}

// RunInterrupted is [Run] with an interruption in the middle of each rule, after its first
// write. interrupt breaks the connection between the store and its data and restores it,
// for example by a restart of the server. It returns when the server can answer; the suite
// then waits until the store's client has noticed.
func RunInterrupted(t *testing.T, newStore NewStore, interrupt func(t *testing.T)) {
	run(t, newStore, interrupt)
}

// run checks the common rules on two kinds, or on one if there are interruptions: they take
// time, and do not depend on the kind.
func run(t *testing.T, newStore NewStore, interrupt func(*testing.T)) {
	runKind(t, deployments(), newStore, interrupt, commonRules[*appsv1.Deployment]())
	if interrupt == nil {
		runKind(t, widgets(), newStore, interrupt, commonRules[*widget]())
	}
	runKind(t, widgets(), newStore, interrupt, ownRules())
	runKind(t, configMaps(), newStore, interrupt, plainRules())
}

// rule is a promise of package store, with its check.
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
			r.check(&env[T]{t: t, kind: k, s: newStore(t, options()), interruption: interrupt})
		})
	}
}
