package replicas

import (
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const maxNameLength = 253

func kind() schema.GroupVersionKind { return appsv1.SchemeGroupVersion.WithKind("ReplicaSet") }

// newPod returns a Pod made from the ReplicaSet's template. Of the template's
// metadata only labels, annotations and finalizers are taken.
func newPod(rs *appsv1.ReplicaSet) *corev1.Pod {
	template := &rs.Spec.Template
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       rs.Namespace,
			GenerateName:    namePrefix(rs.Name),
			Labels:          maps.Clone(template.Labels),
			Annotations:     maps.Clone(template.Annotations),
			Finalizers:      slices.Clone(template.Finalizers),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(rs, kind())},
		},
		Spec: *template.Spec.DeepCopy(),
	}
}

// namePrefix puts a dash after the name, if that is still a valid name.
func namePrefix(name string) string {
	if len(name) >= maxNameLength {
		return name
	}
	return name + "-"
}
