package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/replicas"
	"github.com/homeostat/homeostat/examples/deployment-controller/internal/workloads"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// replicaSets is the replicaset controller.
type replicaSets struct {
	manager *controller.Manager
	all     *informer.Informer[*appsv1.ReplicaSet]
	owners  *Owners
	orphans *informer.Index[*corev1.Pod] // Pods without a controller, by namespace
	events  controller.EventRecorder
}

// AddReplicaSet adds the replicaset controller. It records Events about ReplicaSets.
func AddReplicaSet(m *controller.Manager, owners *Owners, events controller.EventRecorder) error {
	r, err := newReplicaSets(m, owners, events)
	if err != nil {
		return err
	}
	_, err = controller.New(m, "replicaset", r.reconcile, controller.Options{Workers: 4},
		controller.Owns[*corev1.Pod](),
		controller.WatchesEvents(r.forOrphan))
	return err
}

func newReplicaSets(m *controller.Manager, owners *Owners, events controller.EventRecorder) (*replicaSets, error) {
	all, err := informer.For[*appsv1.ReplicaSet](m.Replica())
	if err != nil {
		return nil, err
	}
	pods, err := informer.For[*corev1.Pod](m.Replica())
	if err != nil {
		return nil, err
	}
	orphans := pods.AddIndex(func(pod *corev1.Pod) []string {
		if metav1.GetControllerOfNoCopy(pod) == nil {
			return []string{pod.Namespace}
		}
		return nil
	})
	return &replicaSets{m, all, owners, orphans, events}, nil
}

// reconcile creates or deletes as many Pods as fit into one transaction, and updates
// the status.
func (r *replicaSets) reconcile(ctx context.Context, tx *controller.Tx, rs *appsv1.ReplicaSet) (controller.Result, error) {
	workloads.DefaultReplicaSet(rs) // another client may have stored it without defaults
	in := replicas.Input{
		ReplicaSet: rs,
		Pods: slices.Concat(
			slices.Collect(r.owners.Pods.Lookup(tx.Snapshot(), string(rs.UID))),
			slices.Collect(r.orphans.Lookup(tx.Snapshot(), rs.Namespace))),
		Related: r.related(tx.Snapshot(), rs),
		Now:     time.Now(),
		Burst:   burst(rs),
	}
	plan, err := replicas.Sync(in)
	if err != nil {
		return controller.Result{}, controller.TerminalError(r.report(ctx, rs, replicas.Refuse(in, err), err))
	}
	for _, pod := range plan.Create {
		tx.Create(pod)
	}
	for _, pod := range plan.Delete {
		tx.Delete(pod.DeepCopy(), store.DeleteOptions{GracePeriodSeconds: graceOf(pod)})
	}
	for _, pod := range plan.Update[:min(len(plan.Update), in.Burst)] {
		tx.Update(pod)
	}
	switch {
	case plan.ReplicaSet != nil:
		tx.UpdateStatus(plan.ReplicaSet)
	case len(plan.Create)+len(plan.Delete)+len(plan.Update) > 0:
		tx.Unchanged(rs) // the plan depends on its size
	}
	if err := tx.Commit(ctx); err != nil {
		if refused(err) {
			err = r.report(ctx, rs, replicas.Failed(in, answer(err)), err)
		}
		return controller.Result{}, err
	}
	r.record(rs, plan)
	return controller.Result{RequeueAfter: plan.RequeueAfter}, nil
}

// graceOf returns how long a Pod may take to stop. One that no node runs ends at once.
func graceOf(pod *corev1.Pod) int64 {
	switch seconds := pod.Spec.TerminationGracePeriodSeconds; {
	case pod.Spec.NodeName == "" || replicas.Terminal(pod):
		return 0
	case seconds == nil:
		return corev1.DefaultTerminationGracePeriodSeconds
	case *seconds < 0:
		return 1
	default:
		return *seconds
	}
}

// record records which Pods were created and deleted.
func (r *replicaSets) record(rs *appsv1.ReplicaSet, plan replicas.Plan) {
	for _, pod := range plan.Create {
		r.events.Eventf(rs, nil, corev1.EventTypeNormal, "SuccessfulCreate", actionScale, "Created pod: %s", pod.Name)
	}
	for _, pod := range plan.Delete {
		r.events.Eventf(rs, nil, corev1.EventTypeNormal, "SuccessfulDelete", actionScale, "Deleted pod: %s", pod.Name)
	}
}

// report writes the failed ReplicaSet's status and records an Event. It returns the
// cause, so that the controller logs it and retries with backoff.
func (r *replicaSets) report(ctx context.Context, rs *appsv1.ReplicaSet, f replicas.Failure, cause error) error {
	r.events.Eventf(rs, nil, corev1.EventTypeWarning, f.Reason, actionScale, "%s", answer(cause))
	if f.ReplicaSet == nil {
		return cause
	}
	if _, err := r.manager.Store().UpdateStatus(ctx, f.ReplicaSet); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}

// burst returns how many Pods of a ReplicaSet fit into one transaction, counting
// creations, deletions and adoptions.
func burst(rs *appsv1.ReplicaSet) int {
	const overhead = 1 << 10 // bytes of a Pod besides the template
	template, err := json.Marshal(rs.Spec.Template)
	if err != nil {
		return 1
	}
	return max(1, min(store.MaxTxnOps/2-1, store.MaxRequestBytes/2/(len(template)+overhead)))
}

// related returns the Pods of all ReplicaSets with the same controller.
func (r *replicaSets) related(s *informer.Snapshot, rs *appsv1.ReplicaSet) []*corev1.Pod {
	owner := metav1.GetControllerOfNoCopy(rs)
	if owner == nil {
		return nil
	}
	var pods []*corev1.Pod
	for sibling := range r.owners.ReplicaSets.Lookup(s, string(owner.UID)) {
		pods = slices.AppendSeq(pods, r.owners.Pods.Lookup(s, string(sibling.UID)))
	}
	return pods
}

// forOrphan returns the ReplicaSets that may adopt a Pod without a controller.
func (r *replicaSets) forOrphan(_ context.Context, e informer.Event[*corev1.Pod]) []controller.Request {
	if e.Type == store.Deleted || metav1.GetControllerOfNoCopy(e.Object) != nil {
		return nil
	}
	return matching(r.all, r.manager.Replica().Snapshot(), e.Object, func(rs *appsv1.ReplicaSet) *metav1.LabelSelector { return rs.Spec.Selector })
}
