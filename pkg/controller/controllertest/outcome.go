package controllertest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/store"
)

// Outcome is what a reconcile did.
type Outcome struct {
	// Result and Err are what the reconciler returned. If the commit failed or the
	// reconciler panicked, Err says so.
	Result controller.Result
	Err    error
	// Changes has the net change of each object that was created, changed or deleted
	// during the reconcile, in the order of etcd's keys.
	Changes Changes
	// Events are those that were recorded during the reconcile with controller.Tx or
	// [Env.Events].
	Events Events
}

// Changes are the changes of several objects, in the order of etcd's keys. A test
// compares String with what it expects.
type Changes []Change

// Change is the net change of one object during a reconcile.
type Change struct {
	// Type is store.Added, store.Modified or store.Deleted.
	Type store.EventType
	// Key is the etcd key without the store's prefix.
	Key string
	// Old is nil for an object that was added, and New for one that was deleted. They
	// belong to the caller.
	Old, New store.Object
}

// String formats a change as "MODIFIED apps/deployments/default/web".
func (c Change) String() string { return fmt.Sprintf("%s %s", c.Type, c.Key) }

// String returns one line for each change.
func (c Changes) String() string {
	lines := make([]string, len(c))
	for i, change := range c {
		lines[i] = change.String()
	}
	return strings.Join(lines, "\n")
}

// Written returns the new state of the objects of one type that were added or
// modified.
func Written[T store.Object](o Outcome) []T {
	var objects []T
	for _, c := range o.Changes {
		if obj, ok := c.New.(T); ok {
			objects = append(objects, obj)
		}
	}
	return objects
}

// Deleted returns the last state of the objects of one type that were deleted.
func Deleted[T store.Object](o Outcome) []T {
	var objects []T
	for _, c := range o.Changes {
		if obj, ok := c.Old.(T); ok && c.New == nil {
			objects = append(objects, obj)
		}
	}
	return objects
}

// state has the objects in etcd, by key without the store's prefix.
type state map[string]item

type item struct {
	revision int64
	object   store.Object
}

func (e *Env) state(ctx context.Context) state {
	e.t.Helper()
	prefix := e.Store().Prefix()
	resp, err := e.Store().Client().Get(ctx, prefix, clientv3.WithPrefix())
	e.must(err)
	st := state{}
	for _, kv := range resp.Kvs {
		key := strings.TrimPrefix(string(kv.Key), prefix)
		obj, err := e.decode(string(kv.Key), kv.Value, kv.ModRevision)
		e.must(err)
		if obj != nil {
			st[key] = item{kv.ModRevision, obj}
		}
	}
	return st
}

// find returns the object of obj's kind and key in a state, or nil.
func (e *Env) find(st state, obj store.Object) store.Object {
	e.t.Helper()
	if obj == nil {
		return nil
	}
	prefix, _, err := e.Store().Decoder(obj, store.DecodeOptions{})
	e.must(err)
	return st[strings.TrimPrefix(prefix, e.Store().Prefix())+path(store.KeyOf(obj))].object
}

// decode returns nil for a value that is no object, such as that of a key which the
// replica keeps for itself.
func (e *Env) decode(etcdKey string, value []byte, revision int64) (store.Object, error) {
	var tag metav1.TypeMeta
	if json.Unmarshal(value, &tag) != nil || tag.Kind == "" {
		return nil, nil
	}
	like, ok := e.Store().NewObject(tag.GroupVersionKind())
	if !ok {
		return nil, fmt.Errorf("key %s: the store does not know %s", etcdKey, tag.GroupVersionKind())
	}
	_, decode, err := e.Store().Decoder(like, store.DecodeOptions{})
	if err != nil {
		return nil, err
	}
	decoded, err := decode(etcdKey, value, revision)
	obj := decoded.Object
	return obj, err
}

func diff(before, after state) Changes {
	var changes Changes
	for _, key := range slices.Sorted(maps.Keys(union(before, after))) {
		was, is := before[key], after[key]
		switch {
		case was.revision == is.revision:
		case was.object == nil:
			changes = append(changes, Change{Type: store.Added, Key: key, New: is.object})
		case is.object == nil:
			changes = append(changes, Change{Type: store.Deleted, Key: key, Old: was.object})
		default:
			changes = append(changes, Change{Type: store.Modified, Key: key, Old: was.object, New: is.object})
		}
	}
	return changes
}

func union(a, b state) state {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}
