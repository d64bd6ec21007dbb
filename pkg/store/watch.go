package store

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"reflect"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// EventType is a kind of change.
type EventType string

// The kinds of change.
const (
	Added    EventType = "ADDED"
	Modified EventType = "MODIFIED"
	Deleted  EventType = "DELETED"
	// Bookmark is no change: it tells how far a watch has come.
	Bookmark EventType = "BOOKMARK"
)

// Event is one change of one object.
type Event[T Object] struct {
	Type EventType
	// Object is the object after the change; for Deleted, the last that was
	// known of it, with the deletion's resourceVersion where the source is a
	// watch. It is the zero value for a Bookmark.
	Object T
	// Old is the object before a Modified, where it is known.
	Old T
	// Revision is etcd's at the change. Several events can share one: they
	// happened together.
	Revision int64
	// Key is the whole etcd key; empty for a Bookmark.
	Key string
	// Size is how many bytes the object's value has in etcd; 0 for Deleted.
	Size int
	// Initial says that the event tells of an object that was there already
	// when the listener came.
	Initial bool
}

// WatchOptions select what [Watch] yields.
type WatchOptions struct {
	// Namespace and Selector leave out other objects. An object whose labels
	// begin to match is Added, one whose labels cease to is Deleted.
	Namespace string
	Selector  labels.Selector
	// From is the first revision whose changes are wanted: one more than a
	// list's continues that list. It must be set.
	From int64
	// Bookmarks asks for a Bookmark whenever etcd says how far the watch has
	// come, so that a range where nothing happens can be resumed from a recent
	// revision.
	Bookmarks bool
}

// Watch yields the changes of the objects of one kind, from a revision on, in
// the order of their revisions, each once, until ctx is done, the consumer
// breaks off, or the watch fails. The last element then has an error and no
// event; it says how far the watch came. Lost connections are not the caller's
// concern: the watch continues where it was.
//
// The error is [apierrors.IsResourceExpired], with a [etcd.CompactedError] that
// tells the oldest revision left, when changes asked for are gone, and without
// one when etcd, as it is when the watch is opened or opened again, has not come
// as far yet, since it was wiped or restored: list again.
// A value that cannot be decoded yields an [UndecodableError] and does not end
// the watch. Of an object whose last value is unknown, because it cannot be
// decoded or has been compacted, a deletion tells the name alone, and is
// reported whether or not a selector matched.
//
// A consumer that is slower than the changes makes the client buffer them in
// memory. For a local copy of a kind use the informer package.
func Watch[T Object](ctx context.Context, s *Store, o WatchOptions) iter.Seq2[Event[T], error] {
	return func(yield func(Event[T], error) bool) {
		w, err := newTypedWatch[T](s, o)
		if err != nil {
			yield(Event[T]{}, fmt.Errorf("watch: %w", err))
			return
		}
		w.run(ctx, yield)
	}
}

// reopenAfter is the pause before a watch that ended, for lack of a leader or of
// a connection, is opened again.
const reopenAfter = 200 * time.Millisecond

type typedWatch[T Object] struct {
	store  *Store
	kind   *kindInfo
	prefix string // of the kind
	within etcd.Range
	opts   WatchOptions
	next   int64 // the first revision that was not yielded yet
}

func newTypedWatch[T Object](s *Store, o WatchOptions) (*typedWatch[T], error) {
	k, err := s.kinds.ofType(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	w := &typedWatch[T]{store: s, kind: k, prefix: s.layout.kindPrefix(k.resource), opts: o, next: o.From}
	within := w.prefix
	if o.Namespace != "" {
		if err := checkNamespace(k, o.Namespace); err != nil {
			return nil, err
		}
		within += o.Namespace + "/"
	}
	w.within = etcd.PrefixRange(within)
	return w, nil
}

func (w *typedWatch[T]) run(ctx context.Context, yield func(Event[T], error) bool) {
	for {
		err := w.open(ctx, yield)
		if err == nil {
			return // the consumer broke off
		}
		if ctx.Err() != nil || !etcd.Resumable(err) {
			yield(Event[T]{}, fmt.Errorf("watch %s, up to revision %d: %w", w.within.Start, w.next-1, cmp.Or(ctx.Err(), err)))
			return
		}
		w.store.log.V(1).Info("the watch ended and is opened again", "range", w.within.Start, "revision", w.next, "cause", err.Error())
		select {
		case <-ctx.Done():
		case <-time.After(reopenAfter):
		}
	}
}

// open opens a watch and yields what it brings until it ends; nil says that the
// consumer wants no more.
func (w *typedWatch[T]) open(ctx context.Context, yield func(Event[T], error) bool) error {
	raw, err := etcd.OpenWatch(ctx, w.store.client, w.within, w.next, etcd.WatchOptions{PreviousValues: true})
	if err != nil {
		return err
	}
	defer raw.Close()
	if err := w.checkRevision(ctx, raw); err != nil {
		return err
	}
	return raw.Explain(w.follow(raw, yield))
}

// checkRevision refuses to wait for a revision that etcd has not reached: it
// would come one day, with other changes than those that were meant. A member
// that only lags behind the others is waited for.
func (w *typedWatch[T]) checkRevision(ctx context.Context, raw *etcd.Watch) error {
	if raw.Created >= w.next-1 {
		return nil
	}
	now, err := etcd.CurrentRevision(ctx, w.store.client, w.within)
	if err != nil || now >= w.next-1 {
		return err
	}
	return fmt.Errorf("%w: etcd is at revision %d: it was wiped or restored, or the revision is another etcd's",
		apierrors.NewResourceExpired("too large resource version"), now)
}

// follow yields what a watch brings until it ends; nil says that the consumer
// wants no more.
func (w *typedWatch[T]) follow(raw *etcd.Watch, yield func(Event[T], error) bool) error {
	for {
		resp, ok := <-raw.Responses
		if err := etcd.WatchError(resp, ok); err != nil {
			return err
		}
		for _, ev := range resp.Events {
			if ev.Kv.ModRevision < w.next {
				continue // already yielded before the watch was resumed
			}
			if !w.yieldEvent(ev, yield) {
				return nil
			}
		}
		switch {
		case len(resp.Events) > 0:
			w.next = resp.Events[len(resp.Events)-1].Kv.ModRevision + 1
		case resp.IsProgressNotify():
			w.next = max(w.next, resp.Header.Revision+1)
			if w.opts.Bookmarks && !yield(Event[T]{Type: Bookmark, Revision: resp.Header.Revision}, nil) {
				return nil
			}
		}
	}
}

func (w *typedWatch[T]) yieldEvent(ev *clientv3.Event, yield func(Event[T], error) bool) bool {
	if ev.Type == mvccpb.DELETE {
		return w.yieldDelete(ev, yield)
	}
	object, err := w.decode(ev.Kv, ev.Kv.ModRevision)
	if err != nil {
		return yield(Event[T]{}, err)
	}
	e := Event[T]{Object: object, Revision: ev.Kv.ModRevision, Key: string(ev.Kv.Key), Size: len(ev.Kv.Value)}
	old, known := w.previous(ev)
	is, was := w.selects(object), known && w.selects(old)
	switch {
	case is && was:
		e.Type, e.Old = Modified, old
	case is && (known || ev.IsCreate()):
		e.Type = Added
	case is: // it may have been selected, or not
		e.Type = Modified
	case was:
		e.Type, e.Object, e.Size = Deleted, old, 0
		e.Object.SetResourceVersion(FormatRevision(e.Revision))
	case !known && !ev.IsCreate(): // it may have been selected
		e.Type, e.Size = Deleted, 0
	default:
		return true
	}
	return yield(e, nil)
}

// previous returns what the key held before, if that can be known: compaction
// may have taken it, or it may not be an object.
func (w *typedWatch[T]) previous(ev *clientv3.Event) (old T, known bool) {
	if ev.PrevKv == nil {
		return old, false
	}
	old, err := w.decode(ev.PrevKv, ev.PrevKv.ModRevision)
	return old, err == nil
}

// yieldDelete yields the last object known. Where there is none left, only its
// name is, and the deletion is told whether or not a selector matched.
func (w *typedWatch[T]) yieldDelete(ev *clientv3.Event, yield func(Event[T], error) bool) bool {
	object, known := w.previous(ev)
	if known && !w.selects(object) {
		return true
	}
	if !known {
		key, ok := w.kind.split(string(ev.Kv.Key[len(w.prefix):]))
		if !ok {
			return true // never was an object
		}
		object = w.kind.newObject().(T)
		object.SetNamespace(key.Namespace)
		object.SetName(key.Name)
	}
	object.SetResourceVersion(FormatRevision(ev.Kv.ModRevision))
	return yield(Event[T]{Type: Deleted, Object: object, Revision: ev.Kv.ModRevision, Key: string(ev.Kv.Key)}, nil)
}

func (w *typedWatch[T]) selects(obj T) bool {
	return w.opts.Selector == nil || w.opts.Selector.Matches(labels.Set(obj.GetLabels()))
}

func (w *typedWatch[T]) decode(kv *mvccpb.KeyValue, rev int64) (T, error) {
	obj, err := w.kind.decodeKV(w.prefix, kv)
	if err != nil {
		undecodable := &UndecodableError{}
		undecodable.add(string(kv.Key), err)
		var none T
		return none, undecodable
	}
	obj.SetResourceVersion(FormatRevision(rev))
	return obj.(T), nil
}
