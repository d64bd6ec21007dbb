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
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// EventType says what an [Event] reports.
type EventType string

// The types of events, with the names that Kubernetes' watches use.
const (
	Added    EventType = "ADDED"
	Modified EventType = "MODIFIED"
	Deleted  EventType = "DELETED"
	// Bookmark is not a change. Its Revision says how far a watch has come; see
	// [WatchOptions].Bookmarks.
	Bookmark EventType = "BOOKMARK"
)

// Event is one change of one object. [Watch] yields events, and handlers of package
// informer receive them.
type Event[T Object] struct {
	// Type says what happened to the object.
	Type EventType
	// Object is the object after the change. For Deleted it is the state before
	// it; a watch sets its resourceVersion to the deletion's revision. If
	// OldUnknown is set, the object of a Deleted has only its namespace, name and
	// resourceVersion. For a Bookmark it is the zero value.
	Object T
	// Old is the object before a Modified. It is the zero value if OldUnknown is
	// set.
	Old T
	// OldUnknown says that the state before the change is not known, because it
	// was compacted or does not decode. Only a watch can set it, for Modified and
	// Deleted. If the watch has a selector, the object may not have matched it
	// before: a Modified can be the first event of an object, and a Deleted can be
	// of an object that never matched.
	OldUnknown bool
	// Revision is the etcd revision of the change. Events of one transaction
	// share a revision.
	Revision int64
	// MoreAtRevision says that further changes of the same revision follow, which may or
	// may not be among what is watched. A consumer that stores Revision to resume later
	// must not store that of such an event. Only a watch sets it.
	MoreAtRevision bool
	// Key is the full etcd key. It is empty for a Bookmark.
	Key string
	// Size is the size of the stored value in bytes. It is 0 for Deleted.
	Size int
	// Initial is true if the object already existed when a handler of package informer
	// was registered. Watch never sets it.
	Initial bool
}

// WatchOptions select what [Watch] yields.
type WatchOptions struct {
	// Namespace and Selector limit the watch to some objects. An object that
	// starts to match arrives as Added; one that stops matching, as Deleted.
	// They default to all objects.
	Namespace string
	Selector  labels.Selector
	// Fields limits the watch in the same way; see [ListOptions].Fields.
	Fields fields.Selector
	// Name limits the watch to one object. etcd then sends no changes of others. A
	// kind with namespaces needs Namespace too. Defaults to all.
	Name string
	// From is the first revision to watch. To continue a list, pass the list's
	// revision plus one. To continue a watch, pass the revision of its last bookmark
	// plus one, or that of its last event: plus one if that event did not have
	// MoreAtRevision set. Required.
	From int64
	// Bookmarks asks for a Bookmark whenever etcd reports progress. With it, a
	// consumer can resume a quiet range from a recent revision.
	Bookmarks bool
}

// Watch yields each change of the objects of one kind once, in the order of
// revisions, starting at o.From. After a lost connection Watch resumes where it
// was. It ends when the consumer breaks out of the loop. If ctx is done or the
// watch fails, the last element has an error and no event. The error names the
// last revision that was watched.
//
// If [apierrors.IsResourceExpired] is true for the error, the caller must list
// again. Either etcd has compacted the requested revisions: the error then wraps
// an [etcd.CompactedError], which has the oldest revision left. Or etcd was wiped
// or restored, and its revision is below the one to watch.
//
// An undecodable value yields an [UndecodableError] and does not end the watch.
// If the value before a change was compacted or does not decode, the event has
// OldUnknown set. This concerns the changes of the revision at which etcd was
// compacted, and the first good value after an undecodable one. Watch then yields
// a Deleted for an object that does not match, since it may have matched before.
//
// If the consumer is slower than the changes, etcd's client buffers them in
// memory without a bound. To keep a local copy of a kind, use package informer.
func Watch[T Object](ctx context.Context, s *Store, o WatchOptions) iter.Seq2[Event[T], error] {
	return func(yield func(Event[T], error) bool) {
		k, err := s.kinds.ofType(reflect.TypeFor[T]())
		if err != nil {
			yield(Event[T]{}, fmt.Errorf("watch: %w", err))
			return
		}
		watchKind[T](ctx, s, k, o)(yield)
	}
}

// watchKind watches the objects of a kind. T is the kind's type or [Object].
func watchKind[T Object](ctx context.Context, s *Store, k *kindInfo, o WatchOptions) iter.Seq2[Event[T], error] {
	return func(yield func(Event[T], error) bool) {
		w, err := newTypedWatch[T](s, k, o)
		if err != nil {
			yield(Event[T]{}, fmt.Errorf("watch: %w", err))
			return
		}
		w.run(ctx, yield)
	}
}

// reopenAfter is the pause before Watch reopens a watch that lost its leader or
// its connection.
const reopenAfter = 200 * time.Millisecond

type typedWatch[T Object] struct {
	store     *Store
	kind      *kindInfo
	prefix    string // of the kind
	within    etcd.Range
	selection selection
	opts      WatchOptions
	next      int64 // the first revision not yielded yet
}

func newTypedWatch[T Object](s *Store, k *kindInfo, o WatchOptions) (*typedWatch[T], error) {
	if o.From <= 0 {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("from revision %d: pass the revision of a list plus one", o.From))
	}
	selection, err := newSelection(k, ListOptions{Selector: o.Selector, Fields: o.Fields})
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	w := &typedWatch[T]{store: s, kind: k, prefix: s.layout.kindPrefix(k.resource), selection: selection, opts: o, next: o.From}
	if o.Name != "" {
		key, err := s.layout.key(k.storage(), Key{Namespace: o.Namespace, Name: o.Name})
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		w.within = etcd.KeyRange(key)
		return w, nil
	}
	if w.within, err = s.layout.rangeOf(k, o.Namespace); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return w, nil
}

func (w *typedWatch[T]) run(ctx context.Context, yield func(Event[T], error) bool) {
	for {
		err := w.open(ctx, yield)
		if err == nil {
			return // the consumer stopped
		}
		if ctx.Err() != nil || !etcd.Resumable(err) {
			yield(Event[T]{}, fmt.Errorf("watch %s, up to revision %d: %w", w.within.Start, w.next-1, cmp.Or(ctx.Err(), err)))
			return
		}
		w.store.log.V(1).Info("watch ended; reopening it", "range", w.within.Start, "revision", w.next, "cause", err.Error())
		select {
		case <-ctx.Done():
		case <-time.After(reopenAfter):
		}
	}
}

// open opens a watch and yields its events until it ends. It returns nil if the
// consumer stopped.
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

// checkRevision returns an error if etcd has not reached the revision to watch
// from. etcd would reach it later, with changes other than those the caller
// meant. A member that merely lags behind the others is no error.
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

// follow yields the events of a watch until it ends. It returns nil if the
// consumer stopped.
func (w *typedWatch[T]) follow(raw *etcd.Watch, yield func(Event[T], error) bool) error {
	for {
		resp, ok := <-raw.Responses
		if err := etcd.WatchError(resp, ok); err != nil {
			return err
		}
		for i, ev := range resp.Events {
			if ev.Kv.ModRevision < w.next {
				continue // yielded before the watch was resumed
			}
			more := i+1 < len(resp.Events) && resp.Events[i+1].Kv.ModRevision == ev.Kv.ModRevision
			if !w.yieldEvent(ev, func(e Event[T], err error) bool {
				e.MoreAtRevision = more && err == nil
				return yield(e, err)
			}) {
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
	is, err := w.selection.matches(object)
	if err != nil {
		return yield(Event[T]{}, undecodableValue(ev.Kv, err))
	}
	was := false
	if known {
		was, err = w.selection.matches(old)
		known = err == nil
	}
	switch {
	case is && was:
		e.Type, e.Old = Modified, old
	case is && (known || ev.IsCreate()):
		e.Type = Added
	case is:
		e.Type, e.OldUnknown = Modified, true
	case was:
		e = deletion(ev, old)
	case !known && !ev.IsCreate():
		return w.yieldUnknownDelete(ev, yield)
	default:
		return true
	}
	return yield(e, nil)
}

// previous returns the object before the change. It is not known if the value
// was compacted or does not decode.
func (w *typedWatch[T]) previous(ev *clientv3.Event) (old T, known bool) {
	if ev.PrevKv == nil {
		return old, false
	}
	old, err := w.decode(ev.PrevKv, ev.PrevKv.ModRevision)
	return old, err == nil
}

func (w *typedWatch[T]) yieldDelete(ev *clientv3.Event, yield func(Event[T], error) bool) bool {
	object, known := w.previous(ev)
	if !known {
		return w.yieldUnknownDelete(ev, yield)
	}
	was, err := w.selection.matches(object)
	switch {
	case err != nil:
		return w.yieldUnknownDelete(ev, yield)
	case !was:
		return true
	}
	return yield(deletion(ev, object), nil)
}

// yieldUnknownDelete yields an object with only its name, since its state before
// the change is not known.
func (w *typedWatch[T]) yieldUnknownDelete(ev *clientv3.Event, yield func(Event[T], error) bool) bool {
	key, ok := w.kind.split(string(ev.Kv.Key[len(w.prefix):]))
	if !ok {
		return true // the key is no object's
	}
	object := w.kind.newObject().(T)
	object.SetNamespace(key.Namespace)
	object.SetName(key.Name)
	e := deletion(ev, object)
	e.OldUnknown = true
	return yield(e, nil)
}

func deletion[T Object](ev *clientv3.Event, object T) Event[T] {
	object.SetResourceVersion(FormatRevision(ev.Kv.ModRevision))
	return Event[T]{Type: Deleted, Object: object, Revision: ev.Kv.ModRevision, Key: string(ev.Kv.Key)}
}

func undecodableValue(kv *mvccpb.KeyValue, err error) error {
	undecodable := &UndecodableError{}
	undecodable.add(string(kv.Key), kv.ModRevision, err)
	return undecodable
}

func (w *typedWatch[T]) decode(kv *mvccpb.KeyValue, rev int64) (T, error) {
	there, err := w.kind.decodeKV(w.prefix, kv)
	if err != nil {
		var none T
		return none, undecodableValue(kv, err)
	}
	there.obj.SetResourceVersion(FormatRevision(rev))
	return there.obj.(T), nil
}
