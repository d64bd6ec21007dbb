package main

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// watchBuffer is the number of decoded events that may wait for the reflector, as in
// Kubernetes' own watches.
const watchBuffer = 100

// etcdWatch adapts an etcd watch for client-go's reflector.
type etcdWatch struct {
	source *listerWatcher
	cancel context.CancelFunc
	events chan watch.Event
}

// WatchWithContext continues a list, or begins with the list if the reflector requests
// that.
func (l *listerWatcher) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	revision := int64(0)
	if o.ResourceVersion != "" {
		var err error
		if revision, err = strconv.ParseInt(o.ResourceVersion, 10, 64); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &etcdWatch{source: l, cancel: cancel, events: make(chan watch.Event, watchBuffer)}
	initial := o.SendInitialEvents != nil && *o.SendInitialEvents
	go func() {
		defer close(w.events)
		defer cancel()
		if err := w.run(ctx, revision, initial); err != nil && ctx.Err() == nil {
			w.send(ctx, watch.Event{Type: watch.Error, Object: statusOf(err)})
		}
	}()
	return w, nil
}

func (w *etcdWatch) Stop() { w.cancel() }

func (w *etcdWatch) ResultChan() <-chan watch.Event { return w.events }

func (w *etcdWatch) run(ctx context.Context, revision int64, initial bool) error {
	if initial {
		var err error
		if revision, err = w.sendInitial(ctx); err != nil {
			return err
		}
	}
	responses := w.source.client.Watch(clientv3.WithRequireLeader(ctx), deploymentPrefix, clientv3.WithPrefix(), clientv3.WithRev(revision+1))
	for resp := range responses {
		if resp.CompactRevision != 0 {
			return apierrors.NewResourceExpired("the revision was compacted")
		}
		if err := resp.Err(); err != nil {
			return err
		}
		for _, ev := range resp.Events {
			event, err := w.translate(ev)
			if err != nil {
				return err
			}
			if !w.send(ctx, event) {
				return nil
			}
		}
	}
	return nil
}

// sendInitial sends the existing objects and then a bookmark.
func (w *etcdWatch) sendInitial(ctx context.Context) (int64, error) {
	revision, err := w.source.streamAll(ctx, func(_, _ int64, kvs []*mvccpb.KeyValue) error {
		for _, kv := range kvs {
			obj := &appsv1.Deployment{}
			if err := w.source.decode(kv, obj); err != nil {
				return err
			}
			if !w.send(ctx, watch.Event{Type: watch.Added, Object: obj}) {
				return ctx.Err()
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	w.send(ctx, watch.Event{Type: watch.Bookmark, Object: &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: strconv.FormatInt(revision, 10),
		Annotations:     map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}}})
	return revision, nil
}

// translate converts an event of etcd. A deleted object has only its name, which is
// enough for the cache.
func (w *etcdWatch) translate(ev *clientv3.Event) (watch.Event, error) {
	obj := &appsv1.Deployment{}
	if ev.Type == mvccpb.DELETE {
		namespace, name, _ := strings.Cut(strings.TrimPrefix(string(ev.Kv.Key), deploymentPrefix), "/")
		obj.Namespace, obj.Name, obj.ResourceVersion = namespace, name, strconv.FormatInt(ev.Kv.ModRevision, 10)
		return watch.Event{Type: watch.Deleted, Object: obj}, nil
	}
	if err := w.source.decode(ev.Kv, obj); err != nil {
		return watch.Event{}, err
	}
	if ev.IsCreate() {
		return watch.Event{Type: watch.Added, Object: obj}, nil
	}
	return watch.Event{Type: watch.Modified, Object: obj}, nil
}

func (w *etcdWatch) send(ctx context.Context, e watch.Event) bool {
	select {
	case w.events <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

func statusOf(err error) runtime.Object {
	if s, ok := err.(apierrors.APIStatus); ok {
		status := s.Status()
		return &status
	}
	return &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError, Message: err.Error()}
}
