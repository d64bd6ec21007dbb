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

// ObjectStream is a list that etcd sends while the caller consumes it; see
// [Stream].
type ObjectStream[T Object] struct {
	// Revision is the revision of the list. A watch from the next revision
	// continues it without a gap.
	Revision int64

	all iter.Seq2[T, error]
}

// All yields the objects in the order of their keys. The caller may change them.
// An undecodable value yields an [UndecodableError] and does not end the stream.
// Any other error is the last element. [apierrors.IsResourceExpired] is true for
// it if the revision was compacted before the end.
//
// Breaking out of the loop ends the read. Ranging over All again reads again at
// the same revision.
func (st *ObjectStream[T]) All() iter.Seq2[T, error] { return st.all }

// Stream is [List] for more objects than memory should hold. It reads them from
// etcd a few at a time, all at one revision, while the caller consumes them.
// Stream returns the errors of List that occur before the first read. It returns
// a BadRequest if the options have a Limit, a Continue or an order, which are
// for pages.
//
// The stream ends with an error when ctx is done.
func Stream[T Object](ctx context.Context, s *Store, o ListOptions) (*ObjectStream[T], error) {
	k, err := s.kinds.ofType(reflect.TypeFor[T]())
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	return streamKind[T](ctx, s, k, o)
}

// streamKind streams the objects of a kind. T is the kind's type or [Object].
func streamKind[T Object](ctx context.Context, s *Store, k *kindInfo, o ListOptions) (*ObjectStream[T], error) {
	l, err := newStreamed(ctx, s, k, o)
	if err != nil {
		return nil, err
	}
	return &ObjectStream[T]{Revision: l.revision, all: func(yield func(T, error) bool) {
		for there, err := range l.stream(ctx) {
			var obj T
			if err == nil {
				obj = there.obj.(T)
			}
			if !yield(obj, err) {
				return
			}
		}
	}}, nil
}

// newStreamed returns a listing whose revision is known.
func newStreamed(ctx context.Context, s *Store, k *kindInfo, o ListOptions) (*listing, error) {
	if o.Limit != 0 || o.Continue != "" || o.Descending {
		return nil, fmt.Errorf("stream: %w", apierrors.NewBadRequest("a stream has no Limit, no Continue and no order"))
	}
	l, err := newListing(s, k, o)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	if l.revision == 0 {
		if l.revision, err = etcd.CurrentRevision(ctx, s.client, l.within); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// errBrokenOff ends a read when the consumer stops.
var errBrokenOff = errors.New("the consumer stopped")

// stream yields what [ObjectStream.All] yields.
func (l *listing) stream(ctx context.Context) iter.Seq2[*stored, error] {
	return func(yield func(*stored, error) bool) {
		_, err := etcd.List(ctx, l.store.client, l.within, l.revision, func(kvs []*mvccpb.KeyValue) error {
			for _, kv := range kvs {
				if !l.yieldTo(yield, kv) {
					return errBrokenOff
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errBrokenOff) {
			yield(nil, err)
		}
	}
}

func (l *listing) yieldTo(yield func(*stored, error) bool, kv *mvccpb.KeyValue) bool {
	there, selected, err := l.read(kv)
	switch {
	case err != nil:
		undecodable := &UndecodableError{}
		undecodable.add(string(kv.Key), kv.ModRevision, err)
		return yield(nil, undecodable)
	case !selected:
		return true
	}
	return yield(there, nil)
}
