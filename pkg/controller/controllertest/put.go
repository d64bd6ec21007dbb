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

// Put puts objects into etcd as they are, in place of what has their names:
// status, uid, generation, owner references and a deletionTimestamp included, and
// without defaults or validation, as if they had become so in the course of
// time. What is missing of uid, creationTimestamp and generation is filled in, and
// the resourceVersion set, in the given objects too, so that others can refer to
// them. Objects that break the rules of their kind may be refused later, when a
// reconcile writes them.
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
	if err := complete(obj); err != nil {
		return fmt.Errorf("put %s %s: %w", kind.GroupVersionKind.Kind, store.KeyOf(obj), err)
	}
	prefix, _, err := e.Store().Decoder(obj)
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

func complete(obj store.Object) error {
	if obj.GetUID() == "" {
		obj.SetUID(uuid.NewUUID())
	}
	if created := obj.GetCreationTimestamp(); created.IsZero() {
		obj.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
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
	if parts.Spec != nil { // kinds without a spec have no generation
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
