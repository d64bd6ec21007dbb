package controller

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

	"github.com/homeostat/homeostat/pkg/store"
)

const (
	// keyCheck is how often a watch of keys looks whether it tells all that it
	// should: one on an etcd that was wiped tells nothing, and no error either.
	keyCheck = 5 * time.Second
	// firstPause is the pause after a first failure; it doubles up to lastPause.
	firstPause, lastPause = 50 * time.Millisecond, 5 * time.Second
)

var errWentBack = errors.New("etcd's revision went back: its data were wiped or restored")

// keyWatch follows the few keys of a range that are no objects: those of one
// leadership. Everything about them is read anew after any disturbance, since
// that is one request.
type keyWatch struct {
	client *clientv3.Client
	clock  clock.WithTickerAndDelayedExecution
	keys   store.Range

	mu      sync.Mutex
	view    keyView
	changed chan struct{} // closed with the next view
}

// keyView is what the keys were at a revision, 0 before they were first read.
type keyView struct {
	revision int64
	keys     map[string]*mvccpb.KeyValue // shared: not to be changed
	err      error                       // why it may be out of date
}

func newKeyWatch(client *clientv3.Client, c clock.WithTickerAndDelayedExecution, keys store.Range) *keyWatch {
	return &keyWatch{client: client, clock: c, keys: keys, changed: make(chan struct{})}
}

// latest returns the newest view, and a channel that is closed with the next.
func (w *keyWatch) latest() (keyView, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view, w.changed
}

func (w *keyWatch) publish(v keyView) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.view = v
	close(w.changed)
	w.changed = make(chan struct{})
}

// run follows the keys until ctx is done.
func (w *keyWatch) run(ctx context.Context) {
	pause := newPause(w.clock)
	for ctx.Err() == nil {
		begun := w.clock.Now()
		err := w.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		view, _ := w.latest()
		view.err = err
		w.publish(view)
		if w.clock.Since(begun) > lastPause {
			pause.reset()
		}
		pause.wait(ctx)
	}
}

// follow reads the keys and what becomes of them, until it can do so no more.
func (w *keyWatch) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	view, err := w.list(ctx)
	if err != nil {
		return err
	}
	w.publish(view)
	raw, err := w.open(ctx, cancel, view.revision)
	if err != nil {
		return err
	}
	defer raw.Close()
	ticker := w.clock.NewTicker(keyCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case resp, ok := <-raw.Responses:
			if err := store.WatchError(resp, ok); err != nil {
				return fmt.Errorf("watch %s: %w", w.keys.Start, raw.Explain(err))
			}
			if next, any := view.after(resp.Events); any {
				view = next
				w.publish(view)
			}
		case <-ticker.C():
			before := view.revision
			if view, err = w.list(ctx); err != nil {
				return err
			}
			w.publish(view)
			if view.revision < before {
				return errWentBack
			}
		}
	}
}

func (w *keyWatch) list(ctx context.Context) (keyView, error) {
	ctx, cancel := withTimeout(ctx, w.clock, askTimeout)
	defer cancel()
	resp, err := w.client.Get(ctx, w.keys.Start, clientv3.WithRange(w.keys.End))
	if err != nil {
		return keyView{}, fmt.Errorf("read %s: %w", w.keys.Start, err)
	}
	view := keyView{revision: resp.Header.Revision, keys: make(map[string]*mvccpb.KeyValue, len(resp.Kvs))}
	for _, kv := range resp.Kvs {
		view.keys[string(kv.Key)] = kv
	}
	return view, nil
}

// open opens the watch that continues a list. It is bounded: on a connection
// that has died in silence, etcd's client would try for ever.
func (w *keyWatch) open(ctx context.Context, cancel context.CancelFunc, listed int64) (*store.RawWatch, error) {
	timeout := w.clock.AfterFunc(askTimeout, cancel)
	defer timeout.Stop()
	raw, err := store.OpenWatch(ctx, w.client, w.keys, listed+1)
	if err == nil && raw.Created < listed {
		raw.Close()
		err = errWentBack
	}
	return raw, err
}

// after returns the view that events lead to; false when it has them already.
func (v keyView) after(events []*clientv3.Event) (next keyView, any bool) {
	next = keyView{revision: v.revision, keys: maps.Clone(v.keys)}
	for _, ev := range events {
		if ev.Kv.ModRevision <= v.revision {
			continue
		}
		next.revision, any = ev.Kv.ModRevision, true
		if ev.Type == clientv3.EventTypeDelete {
			delete(next.keys, string(ev.Kv.Key))
		} else {
			next.keys[string(ev.Kv.Key)] = ev.Kv
		}
	}
	return next, any
}
