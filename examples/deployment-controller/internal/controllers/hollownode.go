package controllers

import (
	"context"
	"path"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
)

// NodeName is the name of the node to which all Pods are bound.
const NodeName = "hollow-node"

// startedAnnotation has the time at which a Pod was bound, more precisely than
// status.startTime.
const startedAnnotation = "hollow-node.example.com/started-at"

// hollowNode stands in for the kubelet: it marks Pods as ready and runs nothing.
type hollowNode struct {
	startDelay time.Duration
}

// AddHollowNode adds the hollow-node controller. A Pod is Running after half of the
// start delay and ready after the whole delay. It never gets ready if the last path
// element of one of its images begins with "broken".
func AddHollowNode(m *controller.Manager, startDelay time.Duration) error {
	n := &hollowNode{startDelay}
	_, err := controller.New(m, "hollow-node", n.reconcile, controller.Options{Workers: 4})
	return err
}

// reconcile moves a Pod one step on its way Pending -> Running -> Ready.
func (n *hollowNode) reconcile(_ context.Context, tx *controller.Tx, pod *corev1.Pod) (controller.Result, error) {
	if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return controller.Result{}, nil
	}
	now := time.Now()
	started, err := time.Parse(time.RFC3339Nano, pod.Annotations[startedAnnotation])
	age := now.Sub(started)
	if err != nil || age < 0 && !isReady(pod) { // the annotation cannot be this controller's
		return n.bind(tx, pod, now)
	}
	switch {
	case isReady(pod):
		return controller.Result{}, nil
	case age < n.startDelay/2:
		return controller.Result{RequeueAfter: n.startDelay/2 - age}, nil
	case isBroken(pod):
		if setStatus(pod, corev1.PodPending, false, now) {
			tx.UpdateStatus(pod)
		}
		return controller.Result{}, nil
	case age < n.startDelay:
		if setStatus(pod, corev1.PodRunning, false, now) {
			tx.UpdateStatus(pod)
		}
		return controller.Result{RequeueAfter: n.startDelay - age}, nil
	}
	setStatus(pod, corev1.PodRunning, true, now)
	tx.UpdateStatus(pod)
	return controller.Result{}, nil
}

// bind binds a Pod to the node.
func (n *hollowNode) bind(tx *controller.Tx, pod *corev1.Pod, now time.Time) (controller.Result, error) {
	if pod.Spec.NodeName == "" {
		pod.Spec.NodeName = NodeName
	}
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, startedAnnotation, now.Format(time.RFC3339Nano))
	started := metav1.NewTime(now)
	pod.Status.Phase = corev1.PodPending
	pod.Status.StartTime = &started
	setCondition(pod, corev1.PodScheduled, corev1.ConditionTrue, "", now)
	tx.Update(pod)
	tx.UpdateStatus(pod)
	return controller.Result{RequeueAfter: n.startDelay / 2}, nil
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func isBroken(pod *corev1.Pod) bool {
	for _, c := range pod.Spec.Containers {
		if brokenImage(c.Image) {
			return true
		}
	}
	return false
}

func brokenImage(image string) bool { return strings.HasPrefix(path.Base(image), "broken") }

// setStatus sets the status that a kubelet would report. It returns false if nothing
// changed.
func setStatus(pod *corev1.Pod, phase corev1.PodPhase, ready bool, now time.Time) bool {
	condition, reason := corev1.ConditionFalse, "ContainersNotReady"
	if ready {
		condition, reason = corev1.ConditionTrue, ""
	}
	changed := setCondition(pod, corev1.PodInitialized, corev1.ConditionTrue, "", now)
	changed = setCondition(pod, corev1.ContainersReady, condition, reason, now) || changed
	changed = setCondition(pod, corev1.PodReady, condition, reason, now) || changed
	changed = changed || pod.Status.Phase != phase
	pod.Status.Phase = phase
	pod.Status.ContainerStatuses = nil
	for _, c := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, containerStatus(c, ready, now))
	}
	return changed
}

func containerStatus(c corev1.Container, ready bool, now time.Time) corev1.ContainerStatus {
	status := corev1.ContainerStatus{Name: c.Name, Image: c.Image, Ready: ready}
	if brokenImage(c.Image) {
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "the image is broken"}
		return status
	}
	started := true
	status.Started = &started
	status.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now)}
	return status
}

// setCondition sets a condition. It returns false if nothing changed.
func setCondition(pod *corev1.Pod, t corev1.PodConditionType, status corev1.ConditionStatus, reason string, now time.Time) bool {
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		if c.Type != t {
			continue
		}
		if c.Status == status && c.Reason == reason {
			return false
		}
		c.Status, c.Reason, c.LastTransitionTime = status, reason, metav1.NewTime(now)
		return true
	}
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
		Type: t, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(now),
	})
	return true
}
