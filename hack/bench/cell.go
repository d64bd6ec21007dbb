package main

import (
	"bytes"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// cell is an object that costs almost nothing to decode, for benchmarks of caches. Its
// JSON is a string with its namespace and name.
type cell struct {
	metav1.TypeMeta
	metav1.ObjectMeta
}

var cellKind = schema.GroupVersionKind{Group: "bench.example.com", Version: "v1", Kind: "Cell"}

// cellPrefix is the default key prefix of cells.
const cellPrefix = "/registry/bench.example.com/cells/"

// newCell returns the i-th cell. All cells share a namespace, as in client-go's own
// benchmark.
func newCell(i int) *cell {
	return &cell{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("cell-%07d", i)}}
}

func (c *cell) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%q", c.Namespace+"/"+c.Name), nil
}

func (c *cell) UnmarshalJSON(b []byte) error {
	namespace, name, ok := bytes.Cut(bytes.Trim(b, `"`), []byte{'/'})
	if !ok {
		return fmt.Errorf("%q is not a cell", b)
	}
	c.Namespace, c.Name = string(namespace), string(name)
	c.SetGroupVersionKind(cellKind)
	return nil
}

func (c *cell) DeepCopyObject() runtime.Object {
	d := &cell{TypeMeta: c.TypeMeta}
	c.ObjectMeta.DeepCopyInto(&d.ObjectMeta)
	return d
}

// cellList is the list type for client-go.
type cellList struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []cell
}

func (l *cellList) DeepCopyObject() runtime.Object {
	d := &cellList{TypeMeta: l.TypeMeta, ListMeta: l.ListMeta}
	for _, c := range l.Items {
		d.Items = append(d.Items, *c.DeepCopyObject().(*cell))
	}
	return d
}
