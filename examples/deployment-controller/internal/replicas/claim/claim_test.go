package claim_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/replicas/claim"
)

var kind = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSet"}

func owner(deleting bool) *corev1.Pod {
	o := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "owner", Namespace: "ns", UID: "owner-uid"}}
	if deleting {
		o.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	}
	return o
}

func ref(uid types.UID, controller bool) metav1.OwnerReference {
	return metav1.OwnerReference{UID: uid, Name: string(uid), Controller: &controller}
}

func TestOf(t *testing.T) {
	tests := []struct {
		name                     string
		labels                   map[string]string
		namespace                string
		refs                     []metav1.OwnerReference
		objectDeleting           bool
		ownerDeleting            bool
		owned, adopted, released int
		wantRefs                 []types.UID
		isController             bool
	}{
		{name: "matching and owned", labels: map[string]string{"app": "a"}, refs: []metav1.OwnerReference{ref("owner-uid", true)}, owned: 1},
		{name: "matching orphan", labels: map[string]string{"app": "a"}, owned: 1, adopted: 1,
			wantRefs: []types.UID{"owner-uid"}, isController: true},
		{name: "orphan with other references keeps them", labels: map[string]string{"app": "a"}, refs: []metav1.OwnerReference{ref("x", false)},
			owned: 1, adopted: 1, wantRefs: []types.UID{"x", "owner-uid"}, isController: true},
		{name: "plain reference becomes the controller", labels: map[string]string{"app": "a"}, refs: []metav1.OwnerReference{ref("owner-uid", false)},
			owned: 1, adopted: 1, wantRefs: []types.UID{"owner-uid"}, isController: true},
		{name: "owned but no longer matching", labels: map[string]string{"app": "b"}, refs: []metav1.OwnerReference{ref("owner-uid", true), ref("x", false)},
			released: 1, wantRefs: []types.UID{"x"}},
		{name: "orphan that does not match", labels: map[string]string{"app": "b"}},
		{name: "another controller's", labels: map[string]string{"app": "a"}, refs: []metav1.OwnerReference{ref("other", true)}},
		{name: "deleting orphan", labels: map[string]string{"app": "a"}, objectDeleting: true},
		{name: "another namespace", labels: map[string]string{"app": "a"}, namespace: "elsewhere"},
		{name: "deleting owner does not adopt", labels: map[string]string{"app": "a"}, ownerDeleting: true},
		{name: "deleting owner does not release", labels: map[string]string{"app": "b"}, refs: []metav1.OwnerReference{ref("owner-uid", true)}, ownerDeleting: true},
		{name: "deleting owner still owns", labels: map[string]string{"app": "a"}, refs: []metav1.OwnerReference{ref("owner-uid", true)}, ownerDeleting: true, owned: 1},
	}
	selector := labels.SelectorFromSet(labels.Set{"app": "a"})
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", Labels: tc.labels, OwnerReferences: tc.refs}}
			if tc.namespace != "" {
				pod.Namespace = tc.namespace
			}
			if tc.objectDeleting {
				pod.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
			}
			before := pod.DeepCopy()
			got := claim.Of(owner(tc.ownerDeleting), kind, selector, []*corev1.Pod{pod})
			if len(got.Owned) != tc.owned || len(got.Adopted) != tc.adopted || len(got.Released) != tc.released {
				t.Fatalf("owned %d adopted %d released %d, want %d %d %d",
					len(got.Owned), len(got.Adopted), len(got.Released), tc.owned, tc.adopted, tc.released)
			}
			if !equality.Semantic.DeepEqual(pod, before) {
				t.Error("the object passed in was changed")
			}
			written := append(got.Adopted, got.Released...)
			if len(written) == 0 {
				return
			}
			if uids := refUIDs(written[0]); !slices.Equal(uids, tc.wantRefs) {
				t.Errorf("references %v, want %v", uids, tc.wantRefs)
			}
			controller := metav1.GetControllerOf(written[0])
			if is := controller != nil && controller.UID == "owner-uid" && controller.Kind == "ReplicaSet"; is != tc.isController {
				t.Errorf("controller %v", controller)
			}
			if tc.isController && !*controller.BlockOwnerDeletion {
				t.Error("the reference does not block the owner's deletion")
			}
		})
	}
}

func refUIDs(pod *corev1.Pod) []types.UID {
	var uids []types.UID
	for _, ref := range pod.OwnerReferences {
		uids = append(uids, ref.UID)
	}
	return uids
}
