package controllers

import (
	"context"
	"path"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/replicas"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/store"
)

// NodeName is the name of the node to which all Pods are bound.
const NodeName = "hollow-node"

// startedAnnotation has the time at which a Pod was bound, more precisely than
// status.startTime.
const startedAnnotation = "hollow-node.example.com/started-at"

// hollowNode stands in for the kubelet: it marks Pods as ready and runs nothing.
type hollowNode struct {
	startDelay time.Duration
	seed       int64
	events     controller.EventRecorder
}

// AddHollowNode adds the hollow-node controller. A Pod is Running after half of the
// start delay and ready after the whole delay. It never gets ready if the last path
// element of one of its images begins with "broken". The annotations of this package make
// Pods crash, fail, and take time to stop; the seed decides which ones.
func AddHollowNode(m *controller.Manager, startDelay time.Duration, seed int64, events controller.EventRecorder) error {
	n := &hollowNode{startDelay, seed, events}
	_, err := controller.New(m, "hollow-node", n.reconcile, controller.Options{Workers: 4})
	return err
}

// reconcile moves a Pod one step on its way Pending -> Running -> Ready, or to its end.
func (n *hollowNode) reconcile(ctx context.Context, tx *controller.Tx, pod *corev1.Pod) (controller.Result, error) {
	now := time.Now()
	switch {
	case pod.DeletionTimestamp != nil:
		return n.stop(tx, pod, now)
	case replicas.Terminal(pod):
		return controller.Result{}, nil
	}
	started, err := time.Parse(time.RFC3339Nano, pod.Annotations[startedAnnotation])
	age, delay := now.Sub(started), startTime(n.startDelay, restartsOf(pod))
	if err != nil || age < 0 && !isReady(pod) { // the annotation cannot be this controller's
		return n.bind(tx, pod, now)
	}
	switch {
	case isReady(pod):
		return controller.Result{}, nil
	case age < delay/2:
		return controller.Result{RequeueAfter: delay/2 - age}, nil
	case isBroken(pod):
		if setStatus(pod, corev1.PodPending, false, now) {
			tx.UpdateStatus(pod)
		}
		return controller.Result{}, nil
	case age < delay:
		if setStatus(pod, corev1.PodRunning, false, now) {
			tx.UpdateStatus(pod)
		}
		return controller.Result{RequeueAfter: delay - age}, nil
	}
	switch outcomeOf(n.seed, pod) {
	case crashes:
		return n.crash(tx, pod, now)
	case fails:
		n.fail(tx, pod, now)
	default:
		setStatus(pod, corev1.PodRunning, true, now)
		tx.UpdateStatus(pod)
	}
	return controller.Result{}, nil
}

// stop deletes a Pod for good when its containers have stopped.
func (n *hollowNode) stop(tx *controller.Tx, pod *corev1.Pod, now time.Time) (controller.Result, error) {
	if grace := pod.DeletionGracePeriodSeconds; grace == nil || *grace == 0 {
		return controller.Result{}, nil // only a finalizer keeps it
	}
	// The deletionTimestamp is the end of the grace period.
	marked := pod.DeletionTimestamp.Add(-time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second)
	if left := marked.Add(stopTime(pod)).Sub(now); left > 0 {
		return controller.Result{RequeueAfter: left}, nil
	}
	tx.Delete(pod, store.DeleteOptions{})
	return controller.Result{}, nil
}

// crash ends the containers and starts them again after a pause.
func (n *hollowNode) crash(tx *controller.Tx, pod *corev1.Pod, now time.Time) (controller.Result, error) {
	setStatus(pod, corev1.PodRunning, false, now)
	for i := range pod.Status.ContainerStatuses {
		c := &pod.Status.ContainerStatuses[i]
		c.RestartCount++
		c.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", FinishedAt: metav1.NewTime(now)}
		c.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		c.Started = new(false)
	}
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, startedAnnotation, now.Format(time.RFC3339Nano))
	tx.Update(pod)
	tx.UpdateStatus(pod)
	n.events.Eventf(pod, nil, corev1.EventTypeWarning, "BackOff", actionRun, "Back-off restarting failed containers")
	return controller.Result{RequeueAfter: startTime(n.startDelay, restartsOf(pod)) / 2}, nil
}

// fail ends the Pod for good.
func (n *hollowNode) fail(tx *controller.Tx, pod *corev1.Pod, now time.Time) {
	setStatus(pod, corev1.PodFailed, false, now)
	for i := range pod.Status.ContainerStatuses {
		pod.Status.ContainerStatuses[i].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 1, Reason: "Error", FinishedAt: metav1.NewTime(now),
		}}
	}
	pod.Status.Reason, pod.Status.Message = "Failed", "The hollow node made the Pod fail, as its annotations ask."
	tx.UpdateStatus(pod)
	n.events.Eventf(pod, nil, corev1.EventTypeWarning, "Failed", actionRun, "The Pod failed")
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
	before := pod.Status.ContainerStatuses
	pod.Status.ContainerStatuses = nil
	for i, c := range pod.Spec.Containers {
		status := containerStatus(c, ready, now)
		if i < len(before) {
			status.RestartCount, status.LastTerminationState = before[i].RestartCount, before[i].LastTerminationState
		}
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, status)
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
