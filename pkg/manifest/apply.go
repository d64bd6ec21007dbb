package manifest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/internal/retry"
	"github.com/homeostat/homeostat/pkg/store"
)

// Action is what an Apply did.
type Action string

// The actions, in the words of kubectl.
const (
	Created    Action = "created"
	Configured Action = "configured"
	Unchanged  Action = "unchanged"
)

// ApplyOptions configure an Apply. The zero value is useful.
type ApplyOptions struct {
	// Namespace is for objects of namespaced kinds whose manifest names none. Defaults to "default".
	Namespace string
}

// Applied is the result of an Apply.
type Applied struct {
	// Object is the stored object.
	Object store.Object
	// Action says what was done. The rest is then in etcd at the Object's resourceVersion.
	Action Action
}

// Apply creates the object of a document, or changes the stored one so that it has what the manifest says:
//
//   - Fields in the manifest are set.
//   - Fields that the manifest had when it was applied last, and no longer has, are removed. They get their defaults.
//   - All other fields stay: those that controllers, other programs and users have set. The status always stays.
//
// The package comment says how lists are merged. Apply uses the manifest as it was written, and neither reads nor
// changes doc.Object, unless the Document was made by the program itself: then doc.Object is the manifest, including the
// zero values that its type writes to JSON.
//
// Like kubectl, Apply keeps the manifest in the annotation kubectl.kubernetes.io/last-applied-configuration of the
// object. Objects that were applied by the one can be applied by the other. An object without the annotation, which
// another program has created, loses nothing at its first Apply. A document with a generateName is created anew each
// time.
//
// If another writer changes the object meanwhile, Apply merges again. A resourceVersion or uid in the manifest is a
// condition: if the stored object has another one, Apply returns a Conflict. Other errors are those of store.Create and
// store.Update; an annotation that cannot be read is a BadRequest. See [Document.Errors] for how to show them.
func Apply(ctx context.Context, s *store.Store, doc Document, o ApplyOptions) (Applied, error) {
	m, err := newManifest(s, doc, o)
	if err != nil {
		return Applied{}, fmt.Errorf("apply: %w", err)
	}
	pauses := retry.NewBackoff(clock.RealClock{}, time.Millisecond, time.Second)
	for {
		applied, err := m.createOrUpdate(ctx, s)
		raced := apierrors.IsNotFound(err) || apierrors.IsConflict(err)
		if !raced || m.conditional() || pauses.Wait(ctx) != nil {
			return applied, err
		}
	}
}

// manifest is what to apply.
type manifest struct {
	object store.Object   // with the annotation, as it is created
	fields map[string]any // the same in JSON, with only the fields that the manifest has
}

func newManifest(s *store.Store, doc Document, o ApplyOptions) (manifest, error) {
	kind, err := s.KindOf(doc.Object)
	if err != nil {
		return manifest{}, err
	}
	fields := maps.Clone(doc.written)
	if fields == nil {
		if fields, err = fieldsOf(doc.Object); err != nil {
			return manifest{}, err
		}
	}
	fields["apiVersion"], fields["kind"] = kind.GroupVersionKind.ToAPIVersionAndKind()
	delete(fields, "status")
	meta, _ := fields["metadata"].(map[string]any)
	if meta = maps.Clone(meta); meta == nil {
		meta = map[string]any{}
	}
	if namespace, _ := meta["namespace"].(string); namespace == "" && !kind.ClusterScoped {
		meta["namespace"] = cmp.Or(o.Namespace, metav1.NamespaceDefault)
	}
	annotations, _ := meta["annotations"].(map[string]any)
	if annotations = maps.Clone(annotations); annotations == nil {
		annotations = map[string]any{} // as kubectl writes it
	}
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	meta["annotations"], fields["metadata"] = annotations, meta
	written, err := json.Marshal(fields)
	if err != nil {
		return manifest{}, err
	}
	annotations[corev1.LastAppliedConfigAnnotation] = string(written) + "\n"
	m := manifest{fields: fields}
	m.object, err = decodeAs(doc.Object, fields)
	return m, err
}

// conditional reports whether the manifest applies only to one state or one incarnation of the object.
func (m manifest) conditional() bool {
	return m.object.GetResourceVersion() != "" || m.object.GetUID() != ""
}

func (m manifest) createOrUpdate(ctx context.Context, s *store.Store) (Applied, error) {
	if m.object.GetResourceVersion() == "" {
		obj := m.object.DeepCopyObject().(store.Object)
		_, err := s.Create(ctx, obj)
		if err == nil {
			return Applied{obj, Created}, nil
		}
		if !apierrors.IsAlreadyExists(err) || obj.GetName() == "" {
			return Applied{}, fmt.Errorf("apply: %w", err)
		}
	}
	there, err := s.GetObject(ctx, m.object)
	if err != nil {
		return Applied{}, fmt.Errorf("apply: %w", err)
	}
	obj, err := m.mergedInto(there)
	if err != nil {
		return Applied{}, fmt.Errorf("apply %T %s: %w", there, store.KeyOf(there), err)
	}
	if _, err := s.Update(ctx, obj); err != nil {
		return Applied{}, fmt.Errorf("apply: %w", err)
	}
	if obj.GetResourceVersion() == there.GetResourceVersion() {
		return Applied{obj, Unchanged}, nil
	}
	return Applied{obj, Configured}, nil
}

// mergedInto returns the stored object with what the manifest says.
func (m manifest) mergedInto(there store.Object) (store.Object, error) {
	current, err := fieldsOf(there)
	if err != nil {
		return nil, err
	}
	last := map[string]any{}
	if text, ok := there.GetAnnotations()[corev1.LastAppliedConfigAnnotation]; ok {
		if last, err = parse([]byte(text)); err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("metadata.annotations[%s] is not an object in JSON; remove it to apply", corev1.LastAppliedConfigAnnotation))
		}
	}
	delete(last, "status")
	merged, err := decodeAs(there, mergeObjects(objectSchema(reflect.TypeOf(there)), last, m.fields, current))
	if err != nil {
		return nil, err
	}
	if merged.GetResourceVersion() == "" {
		merged.SetResourceVersion(there.GetResourceVersion())
	}
	return merged, nil
}

// fieldsOf returns an object in JSON.
func fieldsOf(obj store.Object) (map[string]any, error) {
	data, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	return parse(data)
}

// decodeAs returns a new object of the type of like.
func decodeAs(like store.Object, fields map[string]any) (store.Object, error) {
	data, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	obj := reflect.New(reflect.TypeOf(like).Elem()).Interface().(store.Object)
	strict, err := store.UnmarshalStrict(data, obj)
	if err == nil {
		err = errors.Join(strict...)
	}
	return obj, err
}

// parse reads an object in JSON and keeps numbers as they are written.
func parse(data []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var fields map[string]any
	if err := decoder.Decode(&fields); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) || fields == nil {
		return nil, errors.New("is not one object in JSON")
	}
	return fields, nil
}
