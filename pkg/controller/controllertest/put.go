package controllertest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/homeostat/homeostat/pkg/store"
)

// Put writes objects into etcd as they are, and replaces those that have their names.
// It writes status, uid, generation, owner references and deletionTimestamp too, and
// applies neither defaults nor validation. It fails the test if etcd refuses.
//
// Put sets the resourceVersion of the given objects. It also sets their uid,
// creationTimestamp and generation if they are missing, so that other objects can
// refer to them.
//
// An object that breaks the rules of its kind may be refused later, when a reconcile
// writes it.
func (e *Env) Put(objects ...store.Object) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	for _, obj := range objects {
		e.must(e.put(ctx, obj))
	}
}

func (e *Env) put(ctx context.Context, obj store.Object) error {
	kind, err := e.Store().KindOf(obj)
	if err != nil {
		return err
	}
	if obj.GetName() == "" {
		return fmt.Errorf("put a %s: it has no name", kind.GroupVersionKind.Kind)
	}
	if err := e.identify(obj); err != nil {
		return fmt.Errorf("put %s %s: %w", kind.GroupVersionKind.Kind, store.KeyOf(obj), err)
	}
	prefix, _, err := e.Store().Decoder(obj, store.DecodeOptions{})
	if err != nil {
		return err
	}
	stored := obj.DeepCopyObject().(store.Object)
	stored.SetResourceVersion("")
	stored.GetObjectKind().SetGroupVersionKind(kind.GroupVersionKind)
	value, err := json.Marshal(stored)
	if err != nil {
		return fmt.Errorf("put %s %s: %w", kind.GroupVersionKind.Kind, store.KeyOf(obj), err)
	}
	resp, err := e.Store().Client().Put(ctx, prefix+path(store.KeyOf(obj)), string(value))
	if err != nil {
		return fmt.Errorf("put %s %s: %w", kind.GroupVersionKind.Kind, store.KeyOf(obj), err)
	}
	obj.SetResourceVersion(store.FormatRevision(resp.Header.Revision))
	return nil
}

// identify sets what an object must have in etcd.
func (e *Env) identify(obj store.Object) error {
	if obj.GetUID() == "" {
		obj.SetUID(uuid.NewUUID())
	}
	if created := obj.GetCreationTimestamp(); created.IsZero() {
		obj.SetCreationTimestamp(metav1.NewTime(e.clock.Now().Truncate(time.Second)))
	}
	if obj.GetGeneration() != 0 {
		return nil
	}
	value, err := json.Marshal(obj)
	if err != nil {
		return err
	}
	var parts struct {
		Spec json.RawMessage `json:"spec"`
	}
	if err := json.Unmarshal(value, &parts); err != nil {
		return err
	}
	if parts.Spec != nil { // an object without a spec has no generation
		obj.SetGeneration(1)
	}
	return nil
}

func path(key store.Key) string {
	if key.Namespace == "" {
		return key.Name
	}
	return key.Namespace + "/" + key.Name
}
