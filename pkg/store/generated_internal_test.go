package store

import (
	"encoding/json"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// These types have the fields of Kubernetes' types, but not their methods. Only
// the types of the fields have a DeepCopyInto.
type (
	bareSpec   corev1.PodSpec
	bareStatus corev1.PodStatus
	bareBody   struct {
		Spec   bareSpec   `json:"spec"`
		Status bareStatus `json:"status"`
	}
)

// FuzzDeepCopyAsGenerated checks that the copy of a Resource equals the copy made
// by Kubernetes' generated code.
func FuzzDeepCopyAsGenerated(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"spec":{"containers":[{"name":"a","ports":[{"containerPort":1}],"resources":{"limits":{"cpu":"1"}}}],"nodeSelector":{"a":"b"}}}`,
		`{"spec":{"tolerations":[{"tolerationSeconds":3}],"affinity":{"nodeAffinity":{}},"volumes":[{"emptyDir":{}}],"securityContext":{}}}`,
		`{"status":{"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z"}],"startTime":"2026-01-02T03:04:05Z","containerStatuses":[{"started":true}]}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var body bareBody
		if json.Unmarshal([]byte(text), &body) != nil {
			return
		}
		from := &Resource[bareSpec, bareStatus]{Spec: body.Spec, Status: body.Status}
		got := from.DeepCopy()
		spec, status := (*corev1.PodSpec)(&body.Spec).DeepCopy(), (*corev1.PodStatus)(&body.Status).DeepCopy()
		if !reflect.DeepEqual(*spec, corev1.PodSpec(got.Spec)) || !reflect.DeepEqual(*status, corev1.PodStatus(got.Status)) {
			t.Fatalf("%s:\ncopied    %+v\ngenerated %+v %+v", text, got, spec, status)
		}
		if !reflect.DeepEqual(from, got) {
			t.Fatalf("%s: the copy is not equal", text)
		}
	})
}
