package rollout

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// newReplicaSet returns the ReplicaSet of the Deployment's present template. The
// hash in its selector keeps it from Pods of the Deployment's other ReplicaSets.
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
