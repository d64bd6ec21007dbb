package rollout

import (
	"cmp"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// find splits ReplicaSets into the one with the template, which may be nil, and the
// others, oldest first. If several have the template, the oldest is the new one, so
// that an accidental duplicate goes away.
func find(template *corev1.PodTemplateSpec, sets []*appsv1.ReplicaSet) (newRS *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) {
	for _, rs := range slices.SortedFunc(slices.Values(sets), compareAge) {
		if newRS == nil && equalIgnoringHash(&rs.Spec.Template, template) {
			newRS = rs
		} else {
			old = append(old, rs)
		}
	}
	return newRS, old
}

// equalIgnoringHash compares two templates without the hash label, which only the
// ReplicaSet's template has.
func equalIgnoringHash(a, b *corev1.PodTemplateSpec) bool {
	return equality.Semantic.DeepEqual(withoutHash(a), withoutHash(b))
}

// withoutHash returns a copy without the hash label. It shares everything but the
// labels with the template.
func withoutHash(template *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	bare := *template
	bare.Labels = maps.Clone(template.Labels)
	delete(bare.Labels, hashLabel)
	return &bare
}

// compareAge puts the older first.
func compareAge(a, b *appsv1.ReplicaSet) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

// newReplicaSet returns a ReplicaSet for the Deployment's current template. The hash in
// its selector excludes the Pods of the Deployment's other ReplicaSets.
func newReplicaSet(d *appsv1.Deployment, l limits, hash string, replicas int32, revision int64) *appsv1.ReplicaSet {
	template := *d.Spec.Template.DeepCopy()
	template.Labels = withHash(template.Labels, hash)
	selector := d.Spec.Selector.DeepCopy()
	selector.MatchLabels = withHash(selector.MatchLabels, hash)
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name:            Name(d.Name, hash),
			Namespace:       d.Namespace,
			Labels:          maps.Clone(template.Labels),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, kind())},
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas:        &replicas,
			MinReadySeconds: d.Spec.MinReadySeconds,
			Selector:        selector,
			Template:        template,
		},
	}
	setAnnotations(d, rs, revision, maxHistoryLength)
	setSizeAnnotations(rs, l)
	return rs
}

func withHash(labels map[string]string, hash string) map[string]string {
	hashed := make(map[string]string, len(labels)+1)
	maps.Copy(hashed, labels)
	hashed[hashLabel] = hash
	return hashed
}
