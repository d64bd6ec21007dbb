package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// ListOptions select what [List] returns. The zero value selects all objects of
// the kind.
type ListOptions struct {
	// Namespace selects the objects of one namespace. Defaults to all.
	Namespace string
	// Selector selects objects by their labels. Defaults to all.
	Selector labels.Selector
	// Fields selects objects by fields. Every kind has metadata.name and
	// metadata.namespace; [Kind.Fields] adds more. A list by any other field
	// returns a BadRequest. Defaults to all.
	Fields fields.Selector
	// Revision is the revision to list at. Defaults to the newest.
	Revision int64
	// Limit is the maximum number of objects to return. If there may be more, the
	// result has a Continue. Defaults to no limit, which is the fastest way to
	// read all objects.
	Limit int64
	// Continue is the Continue of an earlier result. The list then continues
	// after that result, at the same revision. Leave Revision empty, and set all
	// other options but Limit as in the earlier list.
	Continue string
	// Descending reverses the order. With a Limit, each page costs etcd as much
	// as reading everything that is left, because etcd reads only forwards and
	// then sorts.
	Descending bool
}

// ListResult is a list of objects at one revision.
type ListResult[T Object] struct {
	// Items are in the order of their etcd keys: by namespace, then by name,
	// where the slash between them counts as a character. Items is never nil.
	Items []T
	// Revision is the revision of the list. A watch from the next revision
	// continues it without a gap.
	Revision int64
	// Continue is the [ListOptions].Continue of the next page. It is empty if
	// nothing is left. With selectors, the next page may be empty.
	Continue string
	// Remaining is the number of objects after this page. It is nil if there are
	// none, and with selectors, because etcd does not know what they select.
	Remaining *int64
}

// List reads the objects of one kind at one revision, by default the newest. The
// read is linearizable. All pages of a list have the revision of the first page.
// The caller may change the objects. For more objects than memory should hold,
// use [Stream].
//
// [apierrors.IsResourceExpired] is true for the error if the revision is
// compacted. A revision that etcd has not reached gives a Timeout with the cause
// [metav1.CauseTypeResourceVersionTooLarge]. Contradicting options give a
// BadRequest, and so does a Continue that no list of this kind and namespace has
// returned. If some values do not decode, List returns the other objects and an
// [UndecodableError] that names all of those values; Continue skips them.
func List[T Object](ctx context.Context, s *Store, o ListOptions) (ListResult[T], error) {
	k, err := s.kinds.ofType(reflect.TypeFor[T]())
	if err != nil {
		return ListResult[T]{Items: []T{}}, fmt.Errorf("list: %w", err)
	}
	return listKind[T](ctx, s, k, o)
}

// listKind lists the objects of a kind. T is the kind's type or [Object].
func listKind[T Object](ctx context.Context, s *Store, k *kindInfo, o ListOptions) (ListResult[T], error) {
	result := ListResult[T]{Items: []T{}}
	l, err := newListing(s, k, o)
	if err != nil {
		return result, fmt.Errorf("list: %w", err)
	}
	undecodable := &UndecodableError{}
	take := func(kv *mvccpb.KeyValue) bool {
		there, selected, err := l.read(kv)
		if err != nil {
			undecodable.add(string(kv.Key), kv.ModRevision, err)
		}
		if selected {
			result.Items = append(result.Items, there.obj.(T))
		}
		return selected
	}
	if o.Limit > 0 {
		result.Remaining, err = l.page(ctx, o.Limit, take)
		result.Continue = l.token
	} else {
		err = l.rest(ctx, take)
		if o.Descending {
			slices.Reverse(result.Items)
		}
	}
	result.Revision = l.revision
	if o.Continue != "" && apierrors.IsResourceExpired(err) {
		err = fmt.Errorf("the continue token has expired: list from the beginning: %w", err)
	}
	return result, errors.Join(err, undecodable.orNil())
}

func checkNamespace(k *kindInfo, namespace string) error {
	if k.clusterScoped {
		return fmt.Errorf("namespace %q: kind %s is cluster-scoped", namespace, k.gvk.Kind)
	}
	return checkSegment("namespace", namespace)
}

// decodeKV decodes the value of a key that starts with the kind's prefix.
func (k *kindInfo) decodeKV(prefix string, kv *mvccpb.KeyValue) (*stored, error) {
	key, ok := k.split(string(kv.Key[len(prefix):]))
	if !ok {
		return nil, fmt.Errorf("no object of kind %s can have this key", k.gvk.Kind)
	}
	d, err := k.decode(key, kv.Value, kv.ModRevision)
	if err != nil {
		return nil, err
	}
	return newStored(d, kv), nil
}
