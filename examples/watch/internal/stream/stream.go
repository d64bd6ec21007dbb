package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/homeostat/homeostat/pkg/store"
)

const (
	// answerTimeout is how long etcd may take to answer.
	answerTimeout = 5 * time.Second
	// checkInterval is how often an etcd is asked whether it is still the same,
	// and how far the watch has come.
	checkInterval = 2 * time.Second
)

// Stream says what to follow. It is used for one Run.
type Stream struct {
	Client *clientv3.Client
	Range  store.Range
	// Cluster is the id of the cluster that From belongs to.
	Cluster uint64
	// From is where to start: at the revision after it.
	From Position
	// Old asks etcd for the values that were replaced or deleted.
	Old bool
	// Report is told, in words, when the stream is interrupted and when it
	// goes on. It may be called by several goroutines.
	Report func(what string)
}

// run is what Run keeps between watches.
type run struct {
	*Stream
	queue *queue
	at    atomic.Pointer[Position] // what was handed on

	mu      sync.Mutex
	trouble bool // and the user knows
}

// Run follows the keys until ctx is done, and then returns nil, or until that
// has become impossible. It closes steps when it returns.
func (s *Stream) Run(ctx context.Context, steps Steps) error {
	defer close(steps)
	r := &run{Stream: s, queue: newQueue(steps)}
	r.at.Store(&s.From)
	pause := newPause()
	for {
		before := r.at.Load()
		err := r.watch(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case !retryable(err):
			return err
		case errors.Is(err, errBehind):
			continue // by now all is taken
		}
		if r.at.Load() != before {
			pause = newPause()
		}
		r.interrupted(err)
		sleep(ctx, pause.Step())
	}
}

func newPause() *wait.Backoff {
	return &wait.Backoff{Duration: 50 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 8, Cap: 2 * time.Second}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// watch hands on what one watch brings.
func (r *run) watch(ctx context.Context) error {
	lasting := ctx
	ctx, cancel := context.WithCancel(ctx)
	var checking sync.WaitGroup
	defer checking.Wait()
	defer cancel()
	if err := r.verify(ctx); err != nil {
		return err
	}
	w, err := r.open(ctx, cancel)
	if err != nil {
		return err
	}
	defer w.Close()
	if w.Created < r.at.Load().Revision {
		return fmt.Errorf("%w: it is at revision %d", errLags, w.Created)
	}
	r.resumed()
	found := make(chan error, 1)
	checking.Go(func() { found <- r.keepChecking(ctx, w) })
	for {
		select {
		case resp, ok := <-w.Responses:
			if err := store.WatchError(resp, ok); err != nil {
				return w.Explain(err)
			}
			if !r.hand(resp) {
				w.Close() // so that etcd's client stops collecting
				return r.queue.drained(lasting)
			}
		case err := <-found:
			return err
		}
	}
}

// open opens the watch that goes on where the last one ended.
func (r *run) open(ctx context.Context, cancel context.CancelFunc) (*store.RawWatch, error) {
	timeout := time.AfterFunc(answerTimeout, cancel)
	var opts []clientv3.OpOption
	if r.Old {
		opts = append(opts, clientv3.WithPrevKV())
	}
	w, err := store.OpenWatch(ctx, r.Client, r.Range, r.at.Load().Revision+1, opts...)
	if !timeout.Stop() {
		return nil, fmt.Errorf("%w within %v", errNoAnswer, answerTimeout)
	}
	return w, err
}

// hand hands a response on, and reports whether there was room for it.
func (r *run) hand(resp clientv3.WatchResponse) bool {
	at := *r.at.Load()
	events := resp.Events
	for len(events) > 0 && events[0].Kv.ModRevision <= at.Revision {
		events = events[1:] // etcd may repeat what came before
	}
	if len(events) == 0 && !resp.IsProgressNotify() {
		return true
	}
	next := at.after(events, resp.Header.GetRevision())
	if next.Revision == at.Revision {
		return true
	}
	if !r.queue.put(Step{Events: events, Position: next}) {
		return false
	}
	r.at.Store(&next)
	return true
}

// interrupted tells the user, once, that there is trouble.
func (r *run) interrupted(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.trouble {
		r.Report(fmt.Sprintf("interrupted after revision %d, trying again: %v", r.at.Load().Revision, cause))
	}
	r.trouble = true
}

// resumed tells the user that the trouble is over, if there was any.
func (r *run) resumed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.trouble {
		r.Report(fmt.Sprintf("going on after revision %d", r.at.Load().Revision))
	}
	r.trouble = false
}
