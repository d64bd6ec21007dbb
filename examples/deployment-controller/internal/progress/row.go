package progress

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// revisionAnnotation numbers the templates of a Deployment.
const revisionAnnotation = "deployment.kubernetes.io/revision"

// State has Deployments at one revision. The package only reads them, so they may be shared.
type State struct {
	// Revision is etcd's revision of the objects.
	Revision int64
	// Deployments are those that may have changed since the State before.
	Deployments []*appsv1.Deployment
	// ReplicaSets and Pods must include all that belong to these Deployments.
	ReplicaSets []*appsv1.ReplicaSet
	Pods        []*corev1.Pod
	// Deleted are Deployments that no longer exist. Those that were never shown do no harm.
	Deleted []types.NamespacedName
}

// Row is the summary of one Deployment.
type Row struct {
	Namespace, Name string
	// Revision is the number of the current template; empty until the controller has set it.
	Revision string
	// Desired is the desired number of Pods. The others count existing Pods: Updated ones have the current template, Old
	// ones have not.
	Desired, Updated, Ready, Available, Total, Old int32
	// New is the ReplicaSet with the current template; nil until there is one.
	New *Set
	// Earlier are the other ReplicaSets of the Deployment, latest revision first.
	Earlier []Set
	// Condition describes the state, such as "Progressing: ReplicaSetUpdated".
	Condition string
	// Complete is true if there is nothing left to do.
	Complete bool
}

// Rows returns the summaries of a State's Deployments, sorted by namespace and name.
func Rows(s State) []Row {
	sets := byController(s.ReplicaSets)
	pods := byController(s.Pods)
	rows := make([]Row, 0, len(s.Deployments))
	for _, d := range s.Deployments {
		rows = append(rows, newRow(d, sets[d.UID], pods))
	}
	slices.SortFunc(rows, compareRows)
	return rows
}

func compareRows(a, b Row) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

func newRow(d *appsv1.Deployment, sets []*appsv1.ReplicaSet, pods map[types.UID][]*corev1.Pod) Row {
	row := Row{
		Namespace: d.Namespace,
		Name:      d.Name,
		Revision:  d.Annotations[revisionAnnotation],
		Desired:   desired(d.Spec.Replicas),
		Updated:   d.Status.UpdatedReplicas,
		Ready:     d.Status.ReadyReplicas,
		Available: d.Status.AvailableReplicas,
		Total:     d.Status.Replicas,
		Old:       max(0, d.Status.Replicas-d.Status.UpdatedReplicas),
		Condition: conditionText(d),
		Complete:  Complete(d),
	}
	current := newSetOf(d, sets)
	for _, rs := range sets {
		set := newSet(rs, pods[rs.UID])
		if rs == current {
			row.New = &set
		} else {
			row.Earlier = append(row.Earlier, set)
		}
	}
	slices.SortFunc(row.Earlier, func(a, b Set) int {
		return cmp.Or(cmp.Compare(number(b.Revision), number(a.Revision)), strings.Compare(a.Name, b.Name))
	})
	return row
}

// byController groups objects by the uid of their controller. It omits objects without one.
func byController[T metav1.Object](objects []T) map[types.UID][]T {
	groups := map[types.UID][]T{}
	for _, object := range objects {
		if owner := metav1.GetControllerOfNoCopy(object); owner != nil {
			groups[owner.UID] = append(groups[owner.UID], object)
		}
	}
	return groups
}

// Line returns the row as one line of text, without a time.
func (r Row) Line() string {
	return fmt.Sprintf("%s/%s  revision %s  updated %d/%d  ready %d/%d  available %d/%d  old %d  %s",
		r.Namespace, r.Name, orDash(r.Revision), r.Updated, r.Desired, r.Ready, r.Desired, r.Available, r.Desired, r.Old, r.Condition)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
