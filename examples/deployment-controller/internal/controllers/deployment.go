package controllers

import (
	"context"
	"errors"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/rollout"
	"github.com/homeostat/homeostat/examples/deployment-controller/internal/workloads"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// deployments is the deployment controller.
type deployments struct {
	manager     *controller.Manager
	all         *informer.Informer[*appsv1.Deployment]
	replicaSets *informer.Informer[*appsv1.ReplicaSet]
	owners      *Owners
	events      controller.EventRecorder
}

// AddDeployment adds the deployment controller. It records Events about Deployments.
func AddDeployment(m *controller.Manager, owners *Owners, events controller.EventRecorder) error {
	d, err := newDeployments(m, owners, events)
	if err != nil {
		return err
	}
	_, err = controller.New(m, "deployment", d.reconcile, controller.Options{Workers: 4},
		controller.Owns[*appsv1.ReplicaSet](),
		controller.WatchesEvents(d.forOrphan),
		controller.WatchesEvents(d.forDeletedPod))
	return err
}

func newDeployments(m *controller.Manager, owners *Owners, events controller.EventRecorder) (*deployments, error) {
	all, err := informer.For[*appsv1.Deployment](m.Replica())
	if err != nil {
		return nil, err
	}
	replicaSets, err := informer.For[*appsv1.ReplicaSet](m.Replica())
	if err != nil {
		return nil, err
	}
	return &deployments{m, all, replicaSets, owners, events}, nil
}

// reconcile takes one step of a rollout.
func (d *deployments) reconcile(ctx context.Context, tx *controller.Tx, deployment *appsv1.Deployment) (controller.Result, error) {
	workloads.DefaultDeployment(deployment) // another client may have stored it without defaults
	in := rollout.Input{
		Deployment:  deployment,
		ReplicaSets: slices.Collect(controller.List[*appsv1.ReplicaSet](tx, informer.ListOptions{Namespace: deployment.Namespace})),
		Pods: func(rs *appsv1.ReplicaSet) []*corev1.Pod {
			return slices.Collect(d.owners.Pods.Lookup(tx.Snapshot(), string(rs.UID)))
		},
		NameTaken: func(name string) *appsv1.ReplicaSet {
			rs, _ := controller.Get[*appsv1.ReplicaSet](tx, store.Key{Namespace: deployment.Namespace, Name: name})
			return rs
		},
		Now: time.Now(),
	}
	plan, err := rollout.Sync(in)
	if err != nil {
		return controller.Result{}, controller.TerminalError(d.report(ctx, in, rollout.Refuse(in, err), err))
	}
	writeDeployment(tx, in, plan)
	if err := tx.Commit(ctx); err != nil {
		if plan.Create != nil && refused(err) {
			err = d.report(ctx, in, rollout.CreateFailed(in, plan.Create.Name, answer(err)), err)
		}
		return controller.Result{}, err
	}
	d.record(in.Deployment, plan.Events)
	return controller.Result{RequeueAfter: plan.RequeueAfter}, nil
}

// record records what happened to a Deployment.
func (d *deployments) record(deployment *appsv1.Deployment, events []rollout.Event) {
	for _, e := range events {
		d.events.Eventf(deployment, nil, e.Type, e.Reason, actionRollOut, "%s", e.Message)
	}
}

// writeDeployment writes a plan on condition that its inputs have not changed: the
// bounds of a rollout apply to all ReplicaSets together.
func writeDeployment(tx *controller.Tx, in rollout.Input, plan rollout.Plan) {
	if plan.Deployment != nil {
		tx.UpdateStatus(plan.Deployment)
	}
	if plan.Create != nil {
		tx.Create(plan.Create)
	}
	for _, rs := range plan.Update {
		tx.Update(rs)
	}
	for _, rs := range plan.Delete {
		tx.Delete(rs, store.DeleteOptions{})
	}
	scales := plan.Create != nil || len(plan.Update) > 0
	if scales || len(plan.Delete) > 0 {
		tx.Unchanged(in.Deployment)
	}
	if !scales {
		return
	}
	for _, rs := range in.ReplicaSets {
		if metav1.IsControlledBy(rs, in.Deployment) {
			tx.Unchanged(rs)
		}
	}
}

// report writes the plan for a failure, which has only a status and Events. It returns
// the cause, so that the controller logs it and retries with backoff.
func (d *deployments) report(ctx context.Context, in rollout.Input, plan rollout.Plan, cause error) error {
	d.record(in.Deployment, plan.Events)
	if plan.Deployment == nil {
		return cause
	}
	if _, err := d.manager.Store().UpdateStatus(ctx, plan.Deployment); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}

// forOrphan returns the Deployments that may adopt a ReplicaSet without a controller.
func (d *deployments) forOrphan(_ context.Context, e informer.Event[*appsv1.ReplicaSet]) []controller.Request {
	if e.Type == store.Deleted || metav1.GetControllerOfNoCopy(e.Object) != nil {
		return nil
	}
	return matching(d.all, d.manager.Replica().Snapshot(), e.Object, func(d *appsv1.Deployment) *metav1.LabelSelector { return d.Spec.Selector })
}

// forDeletedPod returns the Deployment that a deleted Pod belonged to, if its strategy
// is Recreate: it may be waiting for the Pod's end.
func (d *deployments) forDeletedPod(_ context.Context, e informer.Event[*corev1.Pod]) []controller.Request {
	if e.Type != store.Deleted {
		return nil
	}
	snapshot := d.manager.Replica().Snapshot()
	ref := metav1.GetControllerOfNoCopy(e.Object)
	if ref == nil || ref.Kind != "ReplicaSet" {
		return nil
	}
	rs, ok := d.replicaSets.Get(snapshot, store.Key{Namespace: e.Object.Namespace, Name: ref.Name})
	if !ok {
		return nil
	}
	owner := metav1.GetControllerOfNoCopy(rs)
	if owner == nil || owner.Kind != "Deployment" {
		return nil
	}
	key := store.Key{Namespace: rs.Namespace, Name: owner.Name}
	if deployment, ok := d.all.Get(snapshot, key); !ok || deployment.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		return nil
	}
	return []controller.Request{{Key: key}}
}

// matching returns requests for the objects in the orphan's namespace whose selectors
// match the orphan's labels.
func matching[T store.Object](inf *informer.Informer[T], s *informer.Snapshot, orphan store.Object, selectorOf func(T) *metav1.LabelSelector) []controller.Request {
	var requests []controller.Request
	for obj := range inf.List(s, informer.ListOptions{Namespace: orphan.GetNamespace()}) {
		selector, err := metav1.LabelSelectorAsSelector(selectorOf(obj))
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(orphan.GetLabels())) {
			requests = append(requests, controller.Request{Key: store.KeyOf(obj)})
		}
	}
	return requests
}
