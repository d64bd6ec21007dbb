package progress_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/progress"
)

const revision = "deployment.kubernetes.io/revision"

type status struct {
	updated, ready, available, total int32
	reason                           string
}

// deployment is in revision 1 or 2 of its template, with the images nginx:1 and nginx:2.
func deployment(name string, rev int, replicas int32, s status) *appsv1.Deployment {
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, UID: types.UID(name), Generation: 4,
			Annotations: map[string]string{revision: fmt.Sprint(rev)},
		},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Template: template(name, rev),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
		},
		Status: appsv1.DeploymentStatus{
			ObservedGeneration: 4, Replicas: s.total, UpdatedReplicas: s.updated, ReadyReplicas: s.ready, AvailableReplicas: s.available,
		},
	}
	if s.reason != "" {
		c := appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: s.reason}
		switch s.reason {
		case "ProgressDeadlineExceeded", "ReplicaSetCreateError", "InvalidDeployment":
			c.Status = corev1.ConditionFalse
		case "DeploymentPaused":
			c.Status = corev1.ConditionUnknown
		}
		d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}, c}
	}
	return d
}

func template(name string, rev int) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Image: fmt.Sprintf("nginx:%d", rev)}}},
	}
}

func replicaSet(name string, rev int, replicas, ready int32) *appsv1.ReplicaSet {
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: fmt.Sprintf("%s-hash%d", name, rev), UID: types.UID(fmt.Sprintf("%s-%d", name, rev)),
			Annotations:       map[string]string{revision: fmt.Sprint(rev)},
			OwnerReferences:   controlledBy(types.UID(name)),
			CreationTimestamp: metav1.Unix(int64(rev), 0),
		},
		Spec:   appsv1.ReplicaSetSpec{Replicas: &replicas, Template: template(name, rev)},
		Status: appsv1.ReplicaSetStatus{Replicas: replicas, ReadyReplicas: ready, AvailableReplicas: ready},
	}
	rs.Spec.Template.Labels["pod-template-hash"] = fmt.Sprintf("hash%d", rev)
	return rs
}

func controlledBy(uid types.UID) []metav1.OwnerReference {
	return []metav1.OwnerReference{{UID: uid, Controller: new(true)}}
}

func pods(set types.UID, n int, change func(*corev1.Pod)) []*corev1.Pod {
	var list []*corev1.Pod
	for range n {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: controlledBy(set)}}
		if change != nil {
			change(p)
		}
		list = append(list, p)
	}
	return list
}

func ready(p *corev1.Pod) {
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
}

func waiting(reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}}
	}
}

// rollout is in the middle of replacing nginx:1 by nginx:2; another Deployment is complete, a third one is new.
func rollout() progress.State {
	failing := deployment("broken", 1, 2, status{updated: 2, total: 2, reason: "ProgressDeadlineExceeded"})
	failing.Namespace = "test"
	fresh := deployment("fresh", 1, 1, status{})
	fresh.Annotations, fresh.Status.ObservedGeneration = nil, 0
	state := progress.State{
		Revision: 42,
		Deployments: []*appsv1.Deployment{
			failing,
			deployment("nginx", 2, 3, status{updated: 2, ready: 3, available: 3, total: 4, reason: "ReplicaSetUpdated"}),
			fresh,
			deployment("done", 1, 1, status{updated: 1, ready: 1, available: 1, total: 1, reason: "NewReplicaSetAvailable"}),
		},
		ReplicaSets: []*appsv1.ReplicaSet{
			replicaSet("nginx", 1, 2, 2), replicaSet("nginx", 2, 2, 1), replicaSet("nginx", 0, 0, 0),
			replicaSet("done", 1, 1, 1), replicaSet("broken", 1, 2, 0), replicaSet("other", 1, 9, 9),
		},
	}
	state.Pods = append(state.Pods, pods("nginx-1", 2, ready)...)
	state.Pods = append(state.Pods, pods("nginx-2", 1, ready)...)
	state.Pods = append(state.Pods, pods("nginx-2", 1, nil)...)
	state.Pods = append(state.Pods, pods("done-1", 1, ready)...)
	state.Pods = append(state.Pods, pods("broken-1", 2, waiting("ImagePullBackOff"))...)
	state.Pods = append(state.Pods, pods("orphan", 5, nil)...)
	return state
}

func checkText(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestTable(t *testing.T) {
	checkText(t, strings.Join(progress.Table(progress.Rows(rollout()), 79), "\n"), strings.TrimSpace(`
NAME                REV  UPDATED  READY  AVAIL  STATE
default/done        1    1/1      1/1    1/1    NewReplicaSetAvailable
  new done-hash1    1             1/1    1/1    nginx:1: 1 Ready
default/fresh       -    0/1      0/1    0/1    Waiting for the controller
default/nginx       2    2/3      3/3    3/3    ReplicaSetUpdated
  new nginx-hash2   2             1/2    1/2    nginx:2: 1 Pending, 1 Ready
  old nginx-hash1   1             2/2    2/2    nginx:1: 2 Ready
test/broken         1    2/2      0/2    0/2    ProgressDeadlineExceeded
  new broken-hash1  1             0/2    0/2    nginx:1: 2 ImagePullBackOff
`))
}

func TestTableOnNarrowTerminal(t *testing.T) {
	checkText(t, strings.Join(progress.Table(progress.Rows(rollout()), 46), "\n"), strings.TrimSpace(`
NAME              REV  UPDATED  READY  AVAIL …
default/done      1    1/1      1/1    1/1   …
  new done-hash1  1             1/1    1/1   …
default/fresh     -    0/1      0/1    0/1   …
default/nginx     2    2/3      3/3    3/3   …
  new nginx-has…  2             1/2    1/2   …
  old nginx-has…  1             2/2    2/2   …
test/broken       1    2/2      0/2    0/2   …
  new broken-ha…  1             0/2    0/2   …
`))
}

func TestTableIsNeverTooWideOrTooLong(t *testing.T) {
	state := rollout()
	for i := range 40 {
		state.Deployments = append(state.Deployments, deployment(fmt.Sprintf("many-界-%d", i), 1, 1, status{reason: "部署进行中"}))
	}
	for width := range 130 {
		lines := progress.Table(progress.Rows(state), width)
		if len(lines) != 22 {
			t.Fatalf("%d lines", len(lines))
		}
		for _, line := range lines {
			if n := len([]rune(line)); n > width {
				t.Errorf("width %d: %d columns: %q", width, n, line)
			}
		}
	}
	lines := progress.Table(progress.Rows(state), 120)
	checkText(t, lines[21], "... and 27 more lines")
	checkText(t, lines[2][:14], "default/fresh ") // The ReplicaSets of what is complete go first.
}

func TestRows(t *testing.T) {
	rows := progress.Rows(rollout())
	if len(rows) != 4 {
		t.Fatalf("%d rows", len(rows))
	}
	nginx := rows[2]
	if nginx.Revision != "2" || nginx.Desired != 3 || nginx.Total != 4 || nginx.Old != 2 || nginx.Complete || !rows[0].Complete {
		t.Errorf("got %+v", nginx)
	}
	if nginx.New == nil || nginx.New.Name != "nginx-hash2" || nginx.New.Image != "nginx:2" || nginx.New.Pods != "1 Pending, 1 Ready" {
		t.Errorf("got %+v", nginx.New)
	}
	if len(nginx.Earlier) != 2 || nginx.Earlier[0].Name != "nginx-hash1" || nginx.Earlier[1].Name != "nginx-hash0" {
		t.Errorf("got %+v", nginx.Earlier)
	}
	if rows[1].New != nil || rows[1].Revision != "" {
		t.Errorf("got %+v", rows[1])
	}
}

func TestOldestOfEqualReplicaSetsIsNew(t *testing.T) {
	older, newer := replicaSet("a", 1, 1, 1), replicaSet("a", 1, 1, 1)
	newer.Name, newer.CreationTimestamp = "a-later", metav1.Unix(9, 0)
	row := progress.Rows(progress.State{
		Deployments: []*appsv1.Deployment{deployment("a", 1, 1, status{})},
		ReplicaSets: []*appsv1.ReplicaSet{newer, older},
	})[0]
	if row.New.Name != "a-hash1" || len(row.Earlier) != 1 {
		t.Errorf("got %+v", row)
	}
}

func TestPodStates(t *testing.T) {
	state := progress.State{
		Deployments: []*appsv1.Deployment{deployment("a", 1, 1, status{})},
		ReplicaSets: []*appsv1.ReplicaSet{replicaSet("a", 1, 1, 1)},
	}
	for _, change := range []func(*corev1.Pod){
		ready, ready, nil, waiting("ErrImagePull"), waiting(""), waiting("bad"),
		func(p *corev1.Pod) { ready(p); p.DeletionTimestamp = new(metav1.Now()) },
		func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning },
		func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed },
	} {
		state.Pods = append(state.Pods, pods("a-1", 1, change)...)
	}
	checkText(t, progress.Rows(state)[0].New.Pods, "1 ErrImagePull, 1 Failed, 2 Pending, 2 Ready, 1 Running, 1 Terminating, 1 bad")
}

func TestCompleteAndFailed(t *testing.T) {
	done := status{updated: 3, ready: 3, available: 3, total: 3, reason: "NewReplicaSetAvailable"}
	late := status{updated: 3, total: 3, reason: "ProgressDeadlineExceeded"}
	changed := func(d *appsv1.Deployment, change func(*appsv1.Deployment)) *appsv1.Deployment { change(d); return d }
	for name, c := range map[string]struct {
		d                *appsv1.Deployment
		complete, failed bool
	}{
		"done":              {deployment("a", 1, 3, done), true, false},
		"not yet seen":      {changed(deployment("a", 1, 3, done), func(d *appsv1.Deployment) { d.Generation++ }), false, false},
		"scaled up":         {deployment("a", 1, 4, done), false, false},
		"scaled down":       {deployment("a", 1, 2, done), false, false},
		"old ones are left": {deployment("a", 1, 3, status{updated: 3, ready: 4, available: 3, total: 4}), false, false},
		"not available":     {deployment("a", 1, 3, status{updated: 3, ready: 3, available: 2, total: 3}), false, false},
		"none":              {deployment("a", 1, 0, status{}), true, false},
		"one by default":    {changed(deployment("a", 1, 0, status{}), func(d *appsv1.Deployment) { d.Spec.Replicas = nil }), false, false},
		"late":              {deployment("a", 1, 3, late), false, true},
		"late, but changed": {changed(deployment("a", 1, 3, late), func(d *appsv1.Deployment) { d.Generation++ }), false, false},
		"another reason":    {deployment("a", 1, 3, status{reason: "ReplicaSetCreateError"}), false, false},
	} {
		reason, failed := progress.NewRollout(c.d, time.Now()).Failed(c.d, time.Now())
		if progress.Complete(c.d) != c.complete || failed != c.failed || failed != (reason == "ProgressDeadlineExceeded") {
			t.Errorf("%s: complete %t, failed %t, %q", name, progress.Complete(c.d), failed, reason)
		}
	}
}

func TestConditions(t *testing.T) {
	failure := deployment("a", 1, 1, status{reason: "ReplicaSetUpdated"})
	failure.Status.Conditions = append(failure.Status.Conditions,
		appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate"})
	with := func(d *appsv1.Deployment, change func(*appsv1.Deployment)) *appsv1.Deployment { change(d); return d }
	refused := with(deployment("a", 1, 1, status{updated: 1, available: 1, total: 1, reason: "InvalidDeployment"}),
		func(d *appsv1.Deployment) { d.Status.Conditions[1].Message = "no such percentage" })
	everything := with(deployment("a", 1, 1, status{updated: 1, available: 1, total: 1}),
		func(d *appsv1.Deployment) { d.Spec.Selector = nil })
	deleting := deployment("a", 1, 1, status{})
	deleting.DeletionTimestamp = new(metav1.Now())
	for want, d := range map[string]*appsv1.Deployment{
		"Progressing: ReplicaSetUpdated, ReplicaFailure: FailedCreate": failure,
		"Deleting":                               deleting,
		"DeploymentPaused":                       deployment("a", 1, 1, status{reason: "DeploymentPaused"}),
		"Not progressing: ReplicaSetCreateError": deployment("a", 1, 1, status{reason: "ReplicaSetCreateError"}),
		"Not progressing: ReplicaSetCreateError: no room": with(deployment("a", 1, 1, status{reason: "ReplicaSetCreateError"}),
			func(d *appsv1.Deployment) { d.Generation++; d.Status.Conditions[1].Message = "no room" }),
		"Not progressing: InvalidDeployment: no such percentage": refused,
		"Not progressing: the selector is empty":                 everything,
		"Progressing":                                            deployment("a", 1, 1, status{}),
		"Complete":                                               deployment("a", 1, 1, status{updated: 1, available: 1, total: 1}),
	} {
		if failed := d == refused || d == everything; failed && progress.Complete(d) {
			t.Errorf("%s: complete", want)
		}
		checkText(t, progress.Rows(progress.State{Deployments: []*appsv1.Deployment{d}})[0].Condition, want)
	}
}
