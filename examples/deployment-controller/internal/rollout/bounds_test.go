package rollout_test

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/replicas"
	"github.com/homeostat/homeostat/examples/deployment-controller/internal/rollout"
)

// bounds watches a world for what a rollout promises. When the user changes the
// Deployment's size or strategy, Pods of the former one may be about until all
// ReplicaSets have come to their new sizes; until then the wider bounds hold.
type bounds struct {
	most      int32
	resized   bool // and not all ReplicaSets have come to their sizes
	short     bool // the controller saw fewer available than promised
	exclusive bool // revisions never run side by side
	available int32
}

// reported is how many available Pods the ReplicaSets' sizes and status vouch
// for.
func reported(w *world) int32 {
	total := int32(0)
	for _, rs := range w.sets {
		total += min(replicas.Replicas(rs), rs.Status.AvailableReplicas)
	}
	return total
}

// decided is called after each sync of the Deployment, with what was reported
// before. Below the promise only Pods that are not available may be given up.
func (b *bounds) decided(w *world, before int32) {
	w.t.Helper()
	_, least := limits(w)
	b.short = b.short || before < least
	if after := reported(w); !b.resized && after < min(before, least) {
		w.fatalf("gives up available Pods: %d of %d, at least %d are promised", after, before, least)
	}
}

func limits(w *world) (most, least int32) {
	surge, unavailable, err := rollout.Fenceposts(w.d)
	if err != nil {
		w.fatalf("fenceposts: %v", err)
	}
	most, least = *w.d.Spec.Replicas+surge, *w.d.Spec.Replicas-unavailable
	if w.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		least = 0
	}
	return most, least
}

func (b *bounds) widen(w *world) {
	most, _ := limits(w)
	b.most = max(b.most, most)
}

// check is called after every single thing that happens.
func (b *bounds) check(w *world, what string) {
	w.t.Helper()
	most, least := limits(w)
	if active := w.active(); active > b.most {
		w.fatalf("%s: %d Pods, at most %d are allowed", what, active, b.most)
	}
	available := w.available()
	if available < b.available && available < least && !b.resized && !b.short && !w.flaky {
		w.fatalf("%s: from %d to %d available, at least %d are promised", what, b.available, available, least)
	}
	b.available = available
	if b.atRest(w, most) {
		b.most, b.resized, b.short = most, false, reported(w) < least
	}
}

// atRest reports whether every ReplicaSet has no more Pods than its size, and the
// sizes fit the Deployment.
func (b *bounds) atRest(w *world, most int32) bool {
	total := int32(0)
	for _, rs := range w.sets {
		running := int32(0)
		for _, pod := range w.podsOf(rs) {
			if replicas.Active(pod) {
				running++
			}
		}
		if running > replicas.Replicas(rs) {
			return false
		}
		total += replicas.Replicas(rs)
	}
	return total <= most
}

// created is called for every new Pod.
func (b *bounds) created(w *world, pod *corev1.Pod) {
	w.t.Helper()
	if !b.exclusive {
		return
	}
	owner := metav1.GetControllerOf(pod).UID
	for _, other := range w.pods {
		if ref := metav1.GetControllerOf(other); !replicas.Terminal(other) && ref != nil && ref.UID != owner {
			w.fatalf("%s starts while %s of another revision runs", pod.Name, other.Name)
		}
	}
}
