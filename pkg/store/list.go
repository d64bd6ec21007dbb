package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"k8s.io/apimachinery/pkg/labels"
)

// ListOptions select what [List] returns. The zero value selects all.
type ListOptions struct {
	// Namespace, when set, leaves out the objects of other namespaces.
	Namespace string
	// Selector, when set, leaves out the objects whose labels do not match.
	Selector labels.Selector
	// Revision, when set, is the revision to list at, instead of the newest.
	Revision int64
}

// ListResult is a list of objects as they all were at one revision.
type ListResult[T Object] struct {
	// Items are in the order of their keys: by namespace, then by name, save
	// that a slash counts as a character. It is never nil.
	Items []T
	// Revision is the one that the list was read at. A watch from the next
	// revision on continues it without a gap.
	Revision int64
}

// List reads the objects of one kind at one revision, by default the newest:
// the read is linearizable. The objects are the caller's own.
//
// The error is [apierrors.IsResourceExpired] when the revision asked for is
// compacted. Values that cannot be decoded are reported all together in an
// [UndecodableError]; the result then holds the rest.
func List[T Object](ctx context.Context, s *Store, o ListOptions) (ListResult[T], error) {
	result := ListResult[T]{Items: []T{}}
	k, err := s.kinds.ofType(reflect.TypeFor[T]())
	if err != nil {
		return result, fmt.Errorf("list: %w", err)
	}
	prefix := s.layout.kindPrefix(k.resource)
	within := prefix
	if o.Namespace != "" {
		if err := checkNamespace(k, o.Namespace); err != nil {
			return result, fmt.Errorf("list: %w", err)
		}
		within += o.Namespace + "/"
	}
	undecodable := &UndecodableError{}
	result.Revision, err = ListRange(ctx, s.client, PrefixRange(within), o.Revision, func(kvs []*mvccpb.KeyValue) error {
		for _, kv := range kvs {
			obj, err := k.decodeKV(prefix, kv)
			switch {
			case err != nil:
				undecodable.add(string(kv.Key), err)
			case o.Selector == nil || o.Selector.Matches(labels.Set(obj.GetLabels())):
				result.Items = append(result.Items, obj.(T))
			}
		}
		return nil
	})
	return result, errors.Join(err, undecodable.orNil())
}

func checkNamespace(k *kindInfo, namespace string) error {
	if k.clusterScoped {
		return fmt.Errorf("namespace %q: kind %s is cluster-scoped", namespace, k.gvk.Kind)
	}
	return checkSegment("namespace", namespace)
}

// decodeKV decodes what lies under a key that begins with the kind's prefix.
func (k *kindInfo) decodeKV(prefix string, kv *mvccpb.KeyValue) (Object, error) {
	key, ok := k.split(string(kv.Key[len(prefix):]))
	if !ok {
		return nil, fmt.Errorf("key is not one of an object of kind %s", k.gvk.Kind)
	}
	return k.decode(key, kv.Value, kv.ModRevision)
}
