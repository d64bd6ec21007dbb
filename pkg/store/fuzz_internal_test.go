package store

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// everything has a field of each type that can be copied.
type everything struct {
	Number   int64                        `json:"number,omitempty"`
	Float    float64                      `json:"float,omitempty"`
	Text     string                       `json:"text,omitempty"`
	Flag     bool                         `json:"flag,omitempty"`
	Bytes    []byte                       `json:"bytes,omitempty"`
	List     []int                        `json:"list,omitempty"`
	Lists    [][]string                   `json:"lists,omitempty"`
	Array    [2]*string                   `json:"array,omitempty"`
	Map      map[string]*node             `json:"map,omitempty"`
	Maps     map[string]map[string][]int  `json:"maps,omitempty"`
	ByNumber map[int]string               `json:"byNumber,omitempty"`
	Pointer  *string                      `json:"pointer,omitempty"`
	Twice    **int                        `json:"twice,omitempty"`
	Node     node                         `json:"node,omitzero"`
	Tree     tree                         `json:"tree,omitempty"`
	Time     time.Time                    `json:"time,omitzero"`
	Stamp    *metav1.Time                 `json:"stamp,omitempty"`
	Quantity map[string]resource.Quantity `json:"quantity,omitempty"`
	Port     *intstr.IntOrString          `json:"port,omitempty"`
	Selector *metav1.LabelSelector        `json:"selector,omitempty"`
	Pod      *corev1.PodTemplateSpec      `json:"pod,omitempty"`
	Raw      runtime.RawExtension         `json:"raw,omitzero"`
	embedded `json:",inline"`

	hidden int
}

type embedded struct {
	Inner string `json:"inner,omitempty"`
}

// node and tree are recursive, by pointer and by map.
type node struct {
	Next  *node   `json:"next,omitempty"`
	Nodes []node  `json:"nodes,omitempty"`
	Value *string `json:"value,omitempty"`
}

type tree map[string]tree

type thing = Resource[everything, everything]

func fuzzKind(f *testing.F, clusterScoped bool) *kindInfo {
	f.Helper()
	k := Kind[*thing]{
		GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Thing"},
		ClusterScoped:    clusterScoped,
	}
	kinds, err := newKinds(runtime.NewScheme(), []AnyKind{k})
	if err != nil {
		f.Fatal(err)
	}
	if err := kinds.setCodec(Options{}, layout{DefaultPrefix}); err != nil {
		f.Fatal(err)
	}
	return kinds.byGVK[k.GroupVersionKind]
}
