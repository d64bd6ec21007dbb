package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/homeostat/homeostat/pkg/store"
)

// maxListDepth is the maximum depth of Lists within Lists.
const maxListDepth = 4

// decode adds the object that data declares, or its errors. prefix is the field path of data in its document.
func (l *loader) decode(at place, prefix string, data []byte, depth int) {
	data = bytes.TrimSpace(data)
	if !bytes.HasPrefix(data, []byte("{")) {
		l.fail(at, prefix, fmt.Errorf("is %s; a manifest is an object with apiVersion and kind", describe(data)))
		return
	}
	meta, ok := l.typeMeta(at, prefix, data)
	if !ok {
		return
	}
	if meta.APIVersion == "v1" && meta.Kind == "List" {
		l.list(at, prefix, data, depth)
		return
	}
	object, field, err := newObject(l.store, meta)
	if err != nil {
		l.fail(at, join(prefix, field), err)
		return
	}
	if !l.strict(at, prefix, data, object) {
		return
	}
	if object.GetName() == "" && object.GetGenerateName() == "" {
		l.fail(at, join(prefix, "metadata.name"), errors.New("is missing, and so is metadata.generateName"))
		return
	}
	written, err := parse(data)
	if err != nil {
		l.fail(at, prefix, err)
		return
	}
	l.docs = append(l.docs, Document{Source: at.source, Index: at.index, Field: prefix, Object: object, written: written})
}

// typeMeta reads apiVersion and kind. They decide to which Go type the rest is decoded.
func (l *loader) typeMeta(at place, prefix string, data []byte) (meta metav1.TypeMeta, ok bool) {
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &meta); err != nil {
		if !l.misfits(at, prefix, misfits(node{data: data, t: reflect.TypeFor[metav1.TypeMeta]()})) {
			l.fail(at, prefix, err)
		}
		return meta, false
	}
	ok = true
	for _, required := range []struct{ field, value string }{{"apiVersion", meta.APIVersion}, {"kind", meta.Kind}} {
		if required.value == "" {
			l.fail(at, join(prefix, required.field), errors.New("is missing"))
			ok = false
		}
	}
	return meta, ok
}

// list decodes the items of a v1 List.
func (l *loader) list(at place, prefix string, data []byte, depth int) {
	if depth == maxListDepth {
		l.fail(at, prefix, fmt.Errorf("more than %d Lists stand in one another", maxListDepth))
		return
	}
	var list struct {
		metav1.TypeMeta `json:",inline"`
		metav1.ListMeta `json:"metadata"`
		Items           []json.RawMessage `json:"items"`
	}
	if !l.strict(at, prefix, data, &list) {
		return
	}
	for i, item := range list.Items {
		l.decode(at, join(prefix, fmt.Sprintf("items[%d]", i)), item, depth+1)
	}
}

// strict decodes data into the target. It reports unknown and duplicate fields and values of a wrong type, and returns
// whether there were none.
func (l *loader) strict(at place, prefix string, data []byte, target any) bool {
	root := node{data: data, t: reflect.TypeOf(target).Elem()}
	found, err := store.UnmarshalStrict(data, target)
	if err != nil {
		if !l.misfits(at, prefix, misfits(root)) {
			l.fail(at, prefix, err)
		}
		return false
	}
	for _, err := range found {
		if field, ok := errors.AsType[kjson.FieldError](err); ok {
			what, _, _ := strings.Cut(err.Error(), ` "`)
			l.fail(at, join(prefix, field.FieldPath()), errors.New(what))
		} else {
			l.fail(at, prefix, err)
		}
	}
	return len(found) == 0
}

// misfits adds an error for each misfit, and returns whether there are any.
func (l *loader) misfits(at place, prefix string, found []misfit) bool {
	for _, m := range found {
		l.fail(at, join(prefix, m.field), m.err)
	}
	return len(found) > 0
}

func join(prefix, field string) string {
	if prefix == "" || field == "" {
		return prefix + field
	}
	return prefix + "." + field
}
