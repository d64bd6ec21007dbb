package controllers

import (
	"cmp"
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/replicas"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// MaxTerminated is how many Pods that have ended a namespace keeps, for people to look at.
const MaxTerminated = 10

// podCollector deletes the oldest Pods that have ended.
type podCollector struct {
	ended *informer.Index[*corev1.Pod] // Pods that have ended, by namespace
}

// AddPodCollector adds the pod-collector controller: ReplicaSets replace Pods that failed,
// and nobody else deletes them.
func AddPodCollector(m *controller.Manager) error {
	c, err := newPodCollector(m)
	if err != nil {
		return err
	}
	// One worker: two would delete the same Pods.
	_, err = controller.New(m, "pod-collector", c.reconcile, controller.Options{},
		controller.For(informer.Where(replicas.Terminal)))
	return err
}

func newPodCollector(m *controller.Manager) (*podCollector, error) {
	pods, err := informer.For[*corev1.Pod](m.Replica())
	if err != nil {
		return nil, err
	}
	return &podCollector{pods.AddIndex(func(pod *corev1.Pod) []string {
		if replicas.Terminal(pod) && pod.DeletionTimestamp == nil {
			return []string{pod.Namespace}
		}
		return nil
	})}, nil
}

// reconcile deletes what is too much in the namespace of a Pod that has ended.
func (c *podCollector) reconcile(_ context.Context, tx *controller.Tx, pod *corev1.Pod) (controller.Result, error) {
	ended := slices.Collect(c.ended.Lookup(tx.Snapshot(), pod.Namespace))
	slices.SortFunc(ended, func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	for _, old := range ended[:min(max(0, len(ended)-MaxTerminated), store.MaxTxnOps/2)] {
		tx.Delete(old.DeepCopy(), store.DeleteOptions{})
	}
	return controller.Result{}, nil
}
