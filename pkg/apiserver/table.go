package apiserver

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/store"
)

// table makes the tables of kubectl get.
type table struct {
	columns []column // after the name
	clock   clock.PassiveClock
}

// ConvertToTable implements rest.TableConvertor for an object or a list.
func (t table) ConvertToTable(_ context.Context, obj runtime.Object, options runtime.Object) (*metav1.Table, error) {
	var result metav1.Table
	if o, ok := options.(*metav1.TableOptions); !ok || o == nil || !o.NoHeaders {
		result.ColumnDefinitions = t.definitions()
	}
	row := func(item runtime.Object) error {
		o, ok := item.(store.Object)
		if !ok {
			return fmt.Errorf("a table of %T", item)
		}
		result.Rows = append(result.Rows, metav1.TableRow{Cells: t.cells(o), Object: runtime.RawExtension{Object: o}})
		return nil
	}
	if l, err := meta.ListAccessor(obj); err == nil && meta.IsListType(obj) {
		result.ResourceVersion, result.Continue, result.RemainingItemCount = l.GetResourceVersion(), l.GetContinue(), l.GetRemainingItemCount()
		return &result, meta.EachListItem(obj, row)
	}
	if o, ok := obj.(metav1.Object); ok {
		result.ResourceVersion = o.GetResourceVersion()
	}
	return &result, row(obj)
}

func (t table) definitions() []metav1.TableColumnDefinition {
	all := []metav1.TableColumnDefinition{{Name: "Name", Type: "string", Format: "name", Description: "The name of the object."}}
	for _, c := range t.columns {
		d := metav1.TableColumnDefinition{Name: c.name, Type: "string", Description: c.description}
		if c.wide {
			d.Priority = 1
		}
		all = append(all, d)
	}
	return all
}

func (t table) cells(obj store.Object) []any {
	cells := []any{obj.GetName()}
	for _, c := range t.columns {
		cells = append(cells, t.cell(c, obj))
	}
	return cells
}

// cell returns what a column prints of an object. A panic of the column's function is
// printed, and does not end the request.
func (t table) cell(c column, obj store.Object) (cell any) {
	defer func() {
		if p := recover(); p != nil {
			cell = "<error>"
		}
	}()
	switch v := c.value(obj).(type) {
	case nil:
		return "<none>"
	case metav1.Time:
		return t.age(v)
	case *metav1.Time:
		if v == nil {
			return "<none>"
		}
		return t.age(*v)
	case string:
		if v == "" {
			return "<none>"
		}
		return v
	case bool, int, int32, int64, float64:
		return v
	default:
		return fmt.Sprint(v)
	}
}

func (t table) age(at metav1.Time) string {
	if at.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(max(0, t.clock.Since(at.Time).Truncate(time.Second)))
}
