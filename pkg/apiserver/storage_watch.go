package apiserver

import (
	"context"
	"errors"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/homeostat/homeostat/pkg/store"
)

// Watch implements rest.Watcher. Without a resourceVersion, or with "0", the watch begins
// with the objects that exist; so it does if the client asks for initial events.
func (s *storage) Watch(ctx context.Context, o *metainternalversion.ListOptions) (watch.Interface, error) {
	asked, err := parseRevision(o.ResourceVersion)
	if err != nil {
		return nil, err
	}
	from := asked
	initial := o.SendInitialEvents != nil && *o.SendInitialEvents || o.SendInitialEvents == nil && from == 0
	l := store.ListOptions{Namespace: request.NamespaceValue(ctx), Selector: o.LabelSelector, Fields: o.FieldSelector}
	if initial && from > 0 {
		if err := s.reached(ctx, from); err != nil {
			return nil, err
		}
	}
	if from == 0 && !initial {
		if from, err = s.store.Revision(ctx); err != nil {
			return nil, statusOf(err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{storage: s, ctx: ctx, cancel: cancel, events: make(chan watch.Event, 64)}
	w.options = store.WatchOptions{Namespace: l.Namespace, Selector: l.Selector, Fields: l.Fields, From: from + 1, Bookmarks: o.AllowWatchBookmarks}
	if asked > 0 && !initial {
		w.options.From, w.resumed = asked, asked
	}
	if name, ok := oneName(o.FieldSelector); ok && (l.Namespace != "" || !s.kind.namespaced) {
		w.options.Name = name
	}
	go w.run(initial, l, o.SendInitialEvents != nil && *o.SendInitialEvents && o.AllowWatchBookmarks)
	return w, nil
}

// watcher is one watch of one client. Its goroutine ends when the watch is stopped or the
// request ends, and closes events.
type watcher struct {
	storage *storage
	ctx     context.Context // of the request; also done after Stop
	cancel  context.CancelFunc
	events  chan watch.Event
	options store.WatchOptions
	resumed int64 // the revision that the client has seen an event of, or 0
}

// Stop implements watch.Interface.
func (w *watcher) Stop() { w.cancel() }

// ResultChan implements watch.Interface.
func (w *watcher) ResultChan() <-chan watch.Event { return w.events }

func (w *watcher) run(initial bool, l store.ListOptions, mark bool) {
	defer close(w.events)
	if initial && !w.sendInitial(l, mark) {
		return
	}
	for e, err := range w.storage.kind.access.Watch(w.ctx, w.options) {
		if err != nil {
			var undecodable *store.UndecodableError
			if errors.As(err, &undecodable) {
				continue // clients keep the last good object, as replicas do
			}
			w.fail(err)
			return
		}
		if w.hasSeen(e) {
			continue
		}
		if !w.send(w.event(e)) {
			return
		}
	}
}

// hasSeen reports whether the client has certainly seen an event, since it resumes at its
// revision. If the revision has several events, the client may have been cut off between
// them. Then it gets all of them, some perhaps again.
func (w *watcher) hasSeen(e store.Event[store.Object]) bool {
	at := w.resumed
	w.resumed = 0
	return e.Revision == at && !e.MoreAtRevision
}

// sendInitial sends the objects that exist and, if the client asked for it, the bookmark
// that ends them.
func (w *watcher) sendInitial(l store.ListOptions, mark bool) bool {
	list, err := w.storage.kind.access.List(w.ctx, l)
	if err != nil {
		w.fail(err)
		return false
	}
	for _, obj := range list.Items {
		if !w.send(watch.Event{Type: watch.Added, Object: obj}) {
			return false
		}
	}
	w.options.From = list.Revision + 1
	if !mark {
		return true
	}
	end := w.bookmark(list.Revision)
	end.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	return w.send(watch.Event{Type: watch.Bookmark, Object: end})
}

func (w *watcher) event(e store.Event[store.Object]) watch.Event {
	if e.Type == store.Bookmark {
		return watch.Event{Type: watch.Bookmark, Object: w.bookmark(e.Revision)}
	}
	return watch.Event{Type: watch.EventType(e.Type), Object: e.Object}
}

func (w *watcher) bookmark(revision int64) store.Object {
	b := w.storage.kind.newObject()
	b.SetResourceVersion(store.FormatRevision(revision))
	return b
}

func (w *watcher) send(e watch.Event) bool {
	select {
	case w.events <- e:
		return true
	case <-w.ctx.Done():
		return false
	}
}

// fail tells the client why its watch ends.
func (w *watcher) fail(err error) {
	if w.ctx.Err() != nil {
		return
	}
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) {
		status = apierrors.NewInternalError(err)
	}
	s := status.Status()
	if s.Code == 0 {
		s.Code = http.StatusInternalServerError
	}
	w.send(watch.Event{Type: watch.Error, Object: &s})
}
