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

// ListOptions select what [List] returns. The zero value selects all.
type ListOptions struct {
	// Namespace, when set, leaves out the objects of other namespaces.
	Namespace string
	// Selector, when set, leaves out the objects whose labels do not match.
	Selector labels.Selector
	// Fields, when set, leaves out the objects whose fields do not match. Every
	// kind has metadata.name and metadata.namespace; [Kind.Fields] adds more. A
	// field that the kind does not have is a BadRequest.
	Fields fields.Selector
	// Revision, when set, is the revision to list at, instead of the newest.
	Revision int64
	// Limit, when set, is how many objects to return at most. Where there may be
	// more, the result has a Continue. Defaults to no limit, which is the
	// fastest way to read all.
	Limit int64
	// Continue, when set, is that of an earlier result: the list goes on behind
	// it, at the same revision, which therefore must not be given as well. The
	// other options but Limit must be those of the earlier list.
	Continue string
	// Descending turns the order of the keys round. Together with Limit, every
	// page costs etcd as much as all that is left, since it reads forwards only
	// and sorts afterwards.
	Descending bool
}

// ListResult is a list of objects as they all were at one revision.
type ListResult[T Object] struct {
	// Items are in the order of their keys: by namespace, then by name, save
	// that a slash counts as a character. It is never nil.
	Items []T
	// Revision is the one that the list was read at. A watch from the next
	// revision on continues it without a gap.
	Revision int64
	// Continue is what [ListOptions] need for the next page. It is empty when
	// there is nothing left. Where selectors leave objects out, the next page may
	// turn out to be empty.
	Continue string
	// Remaining is how many objects there are behind this page. It is nil when
	// there are none, and where selectors leave objects out, since nobody has
	// counted what they would leave.
	Remaining *int64
}

// List reads the objects of one kind at one revision, by default the newest:
// the read is linearizable. All pages of a list are of the revision of the
// first. The objects are the caller's own. For more objects than memory should
// hold there is [Stream].
//
// The error is [apierrors.IsResourceExpired] when the revision asked for, or the
// one to continue at, is compacted; a Timeout with the cause
// [metav1.CauseTypeResourceVersionTooLarge] when it is yet to come; and a
// BadRequest when the options make no sense, among them a Continue that no list
// of this kind and namespace has returned. Values that cannot be decoded are
// reported all together in an [UndecodableError]; the result then holds the
// rest, and Continue goes on behind them.
func List[T Object](ctx context.Context, s *Store, o ListOptions) (ListResult[T], error) {
	result := ListResult[T]{Items: []T{}}
	l, err := newListing(s, reflect.TypeFor[T](), o)
	if err != nil {
		return result, fmt.Errorf("list: %w", err)
	}
	undecodable := &UndecodableError{}
	take := func(kv *mvccpb.KeyValue) bool {
		obj, selected, err := l.read(kv)
		if err != nil {
			undecodable.add(string(kv.Key), err)
		}
		if selected {
			result.Items = append(result.Items, obj.(T))
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

// decodeKV decodes what lies under a key that begins with the kind's prefix.
func (k *kindInfo) decodeKV(prefix string, kv *mvccpb.KeyValue) (Object, error) {
	key, ok := k.split(string(kv.Key[len(prefix):]))
	if !ok {
		return nil, fmt.Errorf("key is not one of an object of kind %s", k.gvk.Kind)
	}
	return k.decode(key, kv.Value, kv.ModRevision)
}
