package rollout_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/replicas"
	"github.com/homeostat/homeostat/examples/deployment-controller/internal/rollout"
)

// world is a store with one Deployment, its controllers and a kubelet. Objects
// in it are replaced, never changed, and go through JSON as in a real store.
type world struct {
	t    *testing.T
	rng  *rand.Rand
	now  time.Time
	made int // objects so far, for uids and names

	d    *appsv1.Deployment
	sets []*appsv1.ReplicaSet
	pods []*corev1.Pod

	flaky     bool // Pods fail by themselves
	podEvents bool // the Deployment controller sees Pods change

	deployments controller
	replicaSets map[types.UID]*controller
	bounds      bounds
	log         []string
}

// controller is when to sync an object: after a change, or at a time.
type controller struct {
	due bool
	at  time.Time
}

func (c *controller) ready(now time.Time) bool {
	return c.due || !c.at.IsZero() && !now.Before(c.at)
}

func (c *controller) done(now time.Time, requeue time.Duration) {
	*c = controller{}
	if requeue > 0 {
		c.at = now.Add(requeue)
	}
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), now: time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC),
		replicaSets: make(map[types.UID]*controller),
	}
}

func (w *world) notef(format string, args ...any) {
	w.log = append(w.log, w.now.Format("04:05 ")+fmt.Sprintf(format, args...))
}

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(w.log[max(0, len(w.log)-60):], "\n"))
}

// stored is the object as it would be read back.
func stored[T any](w *world, object *T) *T {
	text, err := json.Marshal(object)
	if err != nil {
		w.t.Fatal(err)
	}
	back := new(T)
	if err := json.Unmarshal(text, back); err != nil {
		w.t.Fatal(err)
	}
	return back
}

func (w *world) create(meta *metav1.ObjectMeta) {
	w.made++
	meta.UID = types.UID(fmt.Sprintf("uid-%04d", w.made))
	meta.CreationTimestamp, meta.Generation = metav1.NewTime(w.now), 1
	if meta.Name == "" {
		meta.Name = fmt.Sprint(meta.GenerateName, w.made)
	}
}

func (w *world) deploymentChanged() { w.deployments.due = true }

func (w *world) setChanged(uid types.UID) {
	w.deployments.due = true
	if w.replicaSets[uid] == nil {
		w.replicaSets[uid] = new(controller)
	}
	w.replicaSets[uid].due = true
}

func (w *world) podsChanged() {
	w.deployments.due = w.deployments.due || w.podEvents
	for _, c := range w.replicaSets {
		c.due = true
	}
}

// edit is a user's change to the Deployment.
func (w *world) edit(what string, change func(*appsv1.Deployment)) {
	d := w.d.DeepCopy()
	change(d)
	if !equality.Semantic.DeepEqual(d.Spec, w.d.Spec) {
		d.Generation++
	}
	w.d = stored(w, d)
	w.notef("user: %s", what)
	w.deploymentChanged()
	w.bounds.widen(w)
}

func (w *world) podsOf(rs *appsv1.ReplicaSet) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, pod := range w.pods {
		if metav1.IsControlledBy(pod, rs) {
			pods = append(pods, pod)
		}
	}
	return pods
}

func (w *world) set(name string) (int, *appsv1.ReplicaSet) {
	i := slices.IndexFunc(w.sets, func(rs *appsv1.ReplicaSet) bool { return rs.Name == name })
	if i < 0 {
		return i, nil
	}
	return i, w.sets[i]
}

func (w *world) planDeployment() rollout.Plan {
	w.t.Helper()
	before, sets := w.d.DeepCopy(), make([]*appsv1.ReplicaSet, len(w.sets))
	for i, rs := range w.sets {
		sets[i] = rs.DeepCopy()
	}
	plan, err := rollout.Sync(rollout.Input{
		Deployment: w.d, ReplicaSets: w.sets, Pods: w.podsOf, Now: w.now,
		NameTaken: func(name string) *appsv1.ReplicaSet { _, rs := w.set(name); return rs },
	})
	if err != nil {
		w.fatalf("sync: %v", err)
	}
	if !equality.Semantic.DeepEqual(before, w.d) || !equality.Semantic.DeepEqual(sets, w.sets) {
		w.fatalf("the input was changed")
	}
	return plan
}

func (w *world) syncDeployment() {
	w.t.Helper()
	plan := w.planDeployment()
	w.deployments.done(w.now, plan.RequeueAfter)
	for _, event := range plan.Events {
		w.notef("%s", event.Message)
	}
	if rs := plan.Create; rs != nil {
		if _, taken := w.set(rs.Name); taken != nil {
			w.fatalf("the name %s is taken", rs.Name)
		}
		w.create(&rs.ObjectMeta)
		w.sets = append(w.sets, stored(w, rs))
		w.setChanged(rs.UID)
	}
	for _, rs := range plan.Update {
		w.updateSet(rs)
	}
	for _, rs := range plan.Delete {
		i, _ := w.set(rs.Name)
		if len(w.podsOf(rs)) > 0 && slices.ContainsFunc(w.podsOf(rs), replicas.Active) {
			w.fatalf("%s is deleted with Pods", rs.Name)
		}
		w.sets = slices.Delete(w.sets, i, i+1)
		delete(w.replicaSets, rs.UID)
		w.notef("deleted %s", rs.Name)
		w.deploymentChanged()
	}
	if plan.Deployment != nil {
		if plan.Create == nil {
			w.checkProgressTime(plan.Deployment)
		}
		w.d = stored(w, plan.Deployment)
		w.deploymentChanged()
	}
}

// updateSet stores a ReplicaSet's spec and metadata.
func (w *world) updateSet(rs *appsv1.ReplicaSet) {
	i, current := w.set(rs.Name)
	rs.Status = current.Status
	if equality.Semantic.DeepEqual(rs, current) {
		w.fatalf("%s is written without a change", rs.Name)
	}
	if !equality.Semantic.DeepEqual(rs.Spec, current.Spec) {
		rs.Generation++
	}
	w.sets[i] = stored(w, rs)
	w.setChanged(rs.UID)
}

// checkProgressTime fails when the time of the last progress moved for nothing.
// A new ReplicaSet is progress, and if no Pod is wanted, also the end of it.
func (w *world) checkProgressTime(after *appsv1.Deployment) {
	find := func(d *appsv1.Deployment) (c appsv1.DeploymentCondition) {
		for _, c = range d.Status.Conditions {
			if c.Type == appsv1.DeploymentProgressing {
				return c
			}
		}
		return appsv1.DeploymentCondition{}
	}
	was, is := find(w.d), find(after)
	if was.Status != is.Status || was.Reason != is.Reason || was.LastUpdateTime.Equal(&is.LastUpdateTime) {
		return
	}
	a, b := w.d.Status, after.Status
	if b.UpdatedReplicas <= a.UpdatedReplicas && b.Replicas-b.UpdatedReplicas >= a.Replicas-a.UpdatedReplicas &&
		b.ReadyReplicas <= a.ReadyReplicas && b.AvailableReplicas <= a.AvailableReplicas {
		w.fatalf("progress from %+v to %+v", a, b)
	}
}

func (w *world) planReplicaSet(rs *appsv1.ReplicaSet) replicas.Plan {
	plan, err := replicas.Sync(replicas.Input{ReplicaSet: rs, Pods: w.pods, Now: w.now})
	if err != nil {
		w.fatalf("sync of %s: %v", rs.Name, err)
	}
	return plan
}

func (w *world) syncReplicaSet(i int) {
	w.t.Helper()
	rs := w.sets[i]
	plan := w.planReplicaSet(rs)
	w.replicaSets[rs.UID].done(w.now, plan.RequeueAfter)
	for _, pod := range plan.Create {
		w.create(&pod.ObjectMeta)
		w.pods = append(w.pods, stored(w, pod))
		w.bounds.created(w, pod)
	}
	for _, pod := range plan.Delete {
		w.change(pod, func(pod *corev1.Pod) { pod.DeletionTimestamp = &metav1.Time{Time: w.now} })
	}
	if len(plan.Create)+len(plan.Delete) > 0 {
		w.notef("%s of %d: %d created, %d deleted", rs.Name, replicas.Replicas(rs), len(plan.Create), len(plan.Delete))
		w.podsChanged()
	}
	if plan.ReplicaSet != nil {
		w.sets[i] = stored(w, plan.ReplicaSet)
		w.setChanged(rs.UID)
	}
}

func (w *world) change(pod *corev1.Pod, change func(*corev1.Pod)) {
	i := slices.IndexFunc(w.pods, func(p *corev1.Pod) bool { return p.Name == pod.Name })
	changed := w.pods[i].DeepCopy()
	change(changed)
	w.pods[i] = stored(w, changed)
	w.podsChanged()
}

// kubelet takes one Pod a step further in its life.
func (w *world) kubelet() {
	if len(w.pods) == 0 {
		return
	}
	i := w.rng.IntN(len(w.pods))
	pod := w.pods[i]
	switch {
	case pod.DeletionTimestamp != nil:
		w.pods = slices.Delete(w.pods, i, i+1)
		w.podsChanged()
	case pod.Spec.NodeName == "":
		w.change(pod, func(pod *corev1.Pod) { pod.Spec.NodeName = fmt.Sprint("node-", w.rng.IntN(3)) })
	case pod.Status.Phase == "" || pod.Status.Phase == corev1.PodPending:
		w.change(pod, func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodRunning })
	case w.flaky && w.rng.IntN(8) == 0 && !replicas.Terminal(pod):
		w.notef("%s fails", pod.Name)
		w.change(pod, func(pod *corev1.Pod) {
			pod.Status.Conditions = nil
			if w.rng.IntN(2) == 0 {
				pod.Status.Phase = corev1.PodFailed
			}
		})
	case pod.Status.Phase == corev1.PodRunning && len(pod.Status.Conditions) == 0 && !strings.HasPrefix(pod.Spec.Containers[0].Image, "broken"):
		w.change(pod, func(pod *corev1.Pod) {
			pod.Status.Conditions = []corev1.PodCondition{{
				Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(w.now),
			}}
		})
	}
}

// available counts the Pods that serve. It waits no longer for a Pod than its
// ReplicaSet's minReadySeconds, which is the Deployment's.
func (w *world) available() int32 {
	n := int32(0)
	for _, pod := range w.pods {
		if !replicas.Active(pod) || len(pod.Status.Conditions) == 0 {
			continue
		}
		since := pod.Status.Conditions[0].LastTransitionTime.Time
		if w.now.Sub(since) >= time.Duration(w.d.Spec.MinReadySeconds)*time.Second {
			n++
		}
	}
	return n
}

func (w *world) active() int32 {
	n := int32(0)
	for _, pod := range w.pods {
		if replicas.Active(pod) {
			n++
		}
	}
	return n
}
