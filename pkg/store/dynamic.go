package store

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// DynamicKind reads and deletes the objects of one kind that is known only when the
// program runs, such as one that a request names. [Store.Dynamic] returns it. Objects
// have the Go type of the kind; to create and update them, pass them to the methods of
// [Store]. All rules are those of the functions with a type parameter.
//
// It is safe for concurrent use.
type DynamicKind struct {
	store *Store
	kind  *kindInfo
}

// Dynamic returns access to the objects of a kind. It returns an error if the store
// does not know the kind. The kind may be a [Version] of another.
func (s *Store) Dynamic(gvk schema.GroupVersionKind) (DynamicKind, error) {
	k := s.kinds.byGVK[gvk]
	if k == nil {
		return DynamicKind{}, fmt.Errorf("kind %s is not known to this store: add it to Options.Scheme or Options.Kinds", gvk)
	}
	return DynamicKind{s, k}, nil
}

// Kinds returns all kinds of the store, each [Version] as a kind of its own. They are
// ordered by group, kind and version. Use it to offer or serve all kinds.
func (s *Store) Kinds() []KindInfo {
	var all []KindInfo
	for k := range maps.Values(s.kinds.byType) {
		all = append(all, k.public())
	}
	slices.SortFunc(all, func(a, b KindInfo) int {
		order := func(k KindInfo) string {
			return k.GroupVersionKind.Group + "\x00" + k.GroupVersionKind.Kind + "\x00" + k.GroupVersionKind.Version
		}
		return strings.Compare(order(a), order(b))
	})
	return all
}

// LookupResource returns the kind that is stored as a resource, such as "deployments"
// in the group "apps", and false if there is none. If the kind has several versions,
// LookupResource returns the one that values are stored as.
func (s *Store) LookupResource(resource schema.GroupResource) (KindInfo, bool) {
	for k := range maps.Values(s.kinds.byType) {
		if k.stored == nil && k.resource == resource {
			return k.public(), true
		}
	}
	return KindInfo{}, false
}

// Info describes the kind, as [KindOf] does.
func (d DynamicKind) Info() KindInfo { return d.kind.public() }

// Get reads one object of the kind, as the function [Get] does.
func (d DynamicKind) Get(ctx context.Context, key Key) (Object, error) {
	return d.store.get(ctx, d.kind, key)
}

// List reads the objects of the kind, as the function [List] does.
func (d DynamicKind) List(ctx context.Context, o ListOptions) (ListResult[Object], error) {
	return listKind[Object](ctx, d.store, d.kind, o)
}

// Stream reads many objects of the kind, as the function [Stream] does.
func (d DynamicKind) Stream(ctx context.Context, o ListOptions) (*ObjectStream[Object], error) {
	return streamKind[Object](ctx, d.store, d.kind, o)
}

// Watch yields the changes of the kind, as the function [Watch] does.
func (d DynamicKind) Watch(ctx context.Context, o WatchOptions) iter.Seq2[Event[Object], error] {
	return watchKind[Object](ctx, d.store, d.kind, o)
}

// Delete deletes the object of a key, as [Store.Delete] does, and returns the revision
// of the deletion. A value that does not decode can be deleted if the options have its
// revision as ResourceVersion; see [UndecodableError].
func (d DynamicKind) Delete(ctx context.Context, key Key, o DeleteOptions) (int64, error) {
	obj := d.kind.newObject()
	obj.SetNamespace(key.Namespace)
	obj.SetName(key.Name)
	return d.store.Delete(ctx, obj, o)
}

// Convert returns an object of any version of the kind as an object of this version.
// It returns obj itself if it has this version, and a copy otherwise. It returns an
// error if obj is of another kind, or if a conversion fails.
func (d DynamicKind) Convert(obj Object) (Object, error) {
	from, err := d.store.kinds.of(obj)
	if err != nil {
		return nil, fmt.Errorf("convert: %w", err)
	}
	if from.storage() != d.kind.storage() {
		return nil, fmt.Errorf("convert: %s is no version of %s", from.gvk, d.kind.gvk)
	}
	return convert(obj, from, d.kind)
}

// Count returns the number of the kind's values in a namespace, or in all namespaces if
// it is empty, at the current revision. It counts values that do not decode too. etcd
// counts its keys in memory and reads no values.
func (d DynamicKind) Count(ctx context.Context, namespace string) (int64, error) {
	keys, err := d.store.layout.rangeOf(d.kind, namespace)
	if err != nil {
		return 0, fmt.Errorf("count: %w", apierrors.NewBadRequest(err.Error()))
	}
	resp, err := etcd.GetRange(ctx, d.store.client, keys.Start, clientv3.WithRange(keys.End), clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", keys.Start, err)
	}
	return resp.Count, nil
}
