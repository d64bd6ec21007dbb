package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"

	"go.etcd.io/etcd/api/v3/mvccpb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// ObjectStream is a list that is read while it is consumed; see [Stream].
type ObjectStream[T Object] struct {
	// Revision is the one that the list is read at. A watch from the next
	// revision on continues it without a gap.
	Revision int64

	all iter.Seq2[T, error]
}

// All yields the objects in the order of their keys. They are the caller's own.
// A value that cannot be decoded yields an [UndecodableError] and does not end
// the stream. Any other error is the last element; it is
// [apierrors.IsResourceExpired] when the revision is compacted before the end.
//
// Breaking off ends the reading. Ranging over All again reads again, at the same
// revision.
func (st *ObjectStream[T]) All() iter.Seq2[T, error] { return st.all }

// Stream is [List] for more objects than memory should hold: they are read from
// etcd as they are consumed, a few at a time, all at one revision. It fails
// where List would before it has read anything, and with a BadRequest when the
// options have a Limit, a Continue or an order, which are for pages.
//
// The stream ends with an error when ctx is done.
func Stream[T Object](ctx context.Context, s *Store, o ListOptions) (*ObjectStream[T], error) {
	if o.Limit != 0 || o.Continue != "" || o.Descending {
		return nil, fmt.Errorf("stream: %w", apierrors.NewBadRequest("a stream has no Limit, no Continue and no order"))
	}
	l, err := newListing(s, reflect.TypeFor[T](), o)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	if l.revision == 0 {
		if l.revision, err = etcd.CurrentRevision(ctx, s.client, l.within); err != nil {
			return nil, err
		}
	}
	return &ObjectStream[T]{Revision: l.revision, all: func(yield func(T, error) bool) {
		if err := streamTo(ctx, l, yield); err != nil && !errors.Is(err, errBrokenOff) {
			var none T
			yield(none, err)
		}
	}}, nil
}

// errBrokenOff ends a read whose consumer wants no more.
var errBrokenOff = errors.New("the consumer broke off")

func streamTo[T Object](ctx context.Context, l *listing, yield func(T, error) bool) error {
	_, err := etcd.List(ctx, l.store.client, l.within, l.revision, func(kvs []*mvccpb.KeyValue) error {
		for _, kv := range kvs {
			if !yieldTo(l, kv, yield) {
				return errBrokenOff
			}
		}
		return nil
	})
	return err
}

func yieldTo[T Object](l *listing, kv *mvccpb.KeyValue, yield func(T, error) bool) bool {
	obj, selected, err := l.read(kv)
	switch {
	case err != nil:
		undecodable := &UndecodableError{}
		undecodable.add(string(kv.Key), err)
		var none T
		return yield(none, undecodable)
	case !selected:
		return true
	}
	return yield(obj.(T), nil)
}
