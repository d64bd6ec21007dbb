package lease

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// CheckInterval is how often a [KeyWatch] lists its keys to check that the watch is
// complete: a watch on an etcd that was wiped brings neither events nor an error.
const CheckInterval = 5 * time.Second

// ErrWentBack means that etcd's revision is lower than one that was seen before.
var ErrWentBack = errors.New("etcd's revision went back: its data were wiped or restored")

// KeyWatch follows a range of a few keys that are no objects, such as those of one
// leadership. It lists all of them after any disturbance, since that is one request.
// Its methods are safe for concurrent use; Run is called once.
type KeyWatch struct {
	client *clientv3.Client
	clock  clock.WithTickerAndDelayedExecution
	keys   etcd.Range

	changed retry.Broadcast // after each change of view

	mu   sync.Mutex
	view View // the latest
}

// View is the state of the keys at one revision of etcd. It is read-only.
type View struct {
	// Revision is etcd's. It is 0 until the keys were first read.
	Revision int64
	// Keys holds the keys that exist, by their full names.
	Keys map[string]*mvccpb.KeyValue
	// Err says why the view may be out of date. It is nil while the keys are watched.
	Err error
}

// NewKeyWatch returns a KeyWatch of a range. It does nothing until Run.
func NewKeyWatch(client *clientv3.Client, c clock.WithTickerAndDelayedExecution, keys etcd.Range) *KeyWatch {
	return &KeyWatch{client: client, clock: c, keys: keys}
}

// Latest returns the latest view, and a channel that is closed when the next one is
// published.
func (w *KeyWatch) Latest() (View, <-chan struct{}) {
	changed := w.changed.Changed() // before the view, so that no change is missed
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view, changed
}

func (w *KeyWatch) publish(v View) {
	w.mu.Lock()
	w.view = v
	w.mu.Unlock()
	w.changed.Notify()
}

// Run follows the keys until ctx is done.
func (w *KeyWatch) Run(ctx context.Context) {
	backoff := NewBackoff(w.clock)
	for ctx.Err() == nil {
		begun := w.clock.Now()
		err := w.listAndWatch(ctx)
		if ctx.Err() != nil {
			return
		}
		view, _ := w.Latest()
		view.Err = err
		w.publish(view)
		if w.clock.Since(begun) > maxPause {
			backoff.Reset()
		}
		_ = backoff.Wait(ctx) // the loop ends with ctx
	}
}

// listAndWatch publishes the keys and their changes until ctx is done or the watch
// breaks.
func (w *KeyWatch) listAndWatch(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	view, err := w.List(ctx)
	if err != nil {
		return err
	}
	w.publish(view)
	raw, err := w.open(ctx, cancel, view.Revision)
	if err != nil {
		return err
	}
	defer raw.Close()
	ticker := w.clock.NewTicker(CheckInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case resp, ok := <-raw.Responses:
			if err := etcd.WatchError(resp, ok); err != nil {
				return fmt.Errorf("watch %s: %w", w.keys.Start, raw.Explain(err))
			}
			if next, changed := view.after(resp.Events); changed {
				view = next
				w.publish(view)
			}
		case <-ticker.C():
			before := view.Revision
			if view, err = w.List(ctx); err != nil {
				return err
			}
			w.publish(view)
			if view.Revision < before {
				return ErrWentBack
			}
		}
	}
}

// List reads the keys from etcd. It does not publish what it has read.
func (w *KeyWatch) List(ctx context.Context) (View, error) {
	ctx, cancel := retry.WithTimeout(ctx, w.clock, RequestTimeout)
	defer cancel()
	resp, err := etcd.GetRange(ctx, w.client, w.keys.Start, clientv3.WithRange(w.keys.End))
	if err != nil {
		return View{}, fmt.Errorf("read %s: %w", w.keys.Start, err)
	}
	view := View{Revision: resp.Header.Revision, Keys: make(map[string]*mvccpb.KeyValue, len(resp.Kvs))}
	for _, kv := range resp.Kvs {
		view.Keys[string(kv.Key)] = kv
	}
	return view, nil
}

// open opens the watch that continues a list. It cancels the watch's context if that
// takes longer than RequestTimeout.
func (w *KeyWatch) open(ctx context.Context, cancel context.CancelCauseFunc, listed int64) (*etcd.Watch, error) {
	timeout := w.clock.AfterFunc(RequestTimeout, func() { cancel(context.DeadlineExceeded) })
	defer timeout.Stop()
	raw, err := etcd.OpenWatch(ctx, w.client, w.keys, listed+1, etcd.WatchOptions{})
	switch {
	case err != nil && context.Cause(ctx) == context.DeadlineExceeded:
		return nil, fmt.Errorf("watch %s: no answer from etcd within %s: %w", w.keys.Start, RequestTimeout, context.DeadlineExceeded)
	case err == nil && raw.Created < listed:
		raw.Close()
		return nil, ErrWentBack
	}
	return raw, err
}

// after returns the view after events. changed is false if the view has them all.
func (v View) after(events []*clientv3.Event) (next View, changed bool) {
	next = View{Revision: v.Revision, Keys: maps.Clone(v.Keys)}
	for _, ev := range events {
		if ev.Kv.ModRevision <= v.Revision {
			continue
		}
		next.Revision, changed = ev.Kv.ModRevision, true
		if ev.Type == clientv3.EventTypeDelete {
			delete(next.Keys, string(ev.Kv.Key))
		} else {
			next.Keys[string(ev.Kv.Key)] = ev.Kv
		}
	}
	return next, changed
}
