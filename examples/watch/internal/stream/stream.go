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

	"github.com/homeostat/homeostat/pkg/etcd"
)

const (
	// answerTimeout is how long etcd may take to answer.
	answerTimeout = 5 * time.Second
	// checkInterval is the time between two checks that etcd is still the same. Each
	// also asks for the watch's progress.
	checkInterval = 2 * time.Second
)

// Stream configures one Run.
type Stream struct {
	Client *clientv3.Client
	Range  etcd.Range
	// Cluster is the id of the cluster that From belongs to.
	Cluster uint64
	// From is the position to start after.
	From Position
	// Old requests the previous value of each key.
	Old bool
	// Report receives a message when the stream is interrupted and when it continues.
	// It must be safe for concurrent use.
	Report func(message string)
}

// run is the state of Run across watches.
type run struct {
	stream *Stream
	queue  *queue
	at     atomic.Pointer[Position] // the end of the last delivered step

	mu sync.Mutex // guards the following
	// troubled says that the stream is interrupted and that this was reported.
	troubled bool
}

// Run delivers the changes to steps, which it closes before it returns. It returns
// nil when ctx is done, and an error when it cannot continue without a gap.
func (s *Stream) Run(ctx context.Context, steps Steps) error {
	defer close(steps)
	r := &run{stream: s, queue: newQueue(steps)}
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
			continue // the reader has caught up
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

// watch delivers the changes of one watch.
func (r *run) watch(ctx context.Context) error {
	parent := ctx
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
			if err := etcd.WatchError(resp, ok); err != nil {
				return w.Explain(err)
			}
			if !r.deliver(resp) {
				w.Close() // stops etcd's client from buffering
				return r.queue.drain(parent)
			}
		case err := <-found:
			return err
		}
	}
}

// open opens a watch that starts after the last delivered step.
func (r *run) open(ctx context.Context, cancel context.CancelFunc) (*etcd.Watch, error) {
	timeout := time.AfterFunc(answerTimeout, cancel)
	w, err := etcd.OpenWatch(ctx, r.stream.Client, r.stream.Range, r.at.Load().Revision+1,
		etcd.WatchOptions{PreviousValues: r.stream.Old})
	if !timeout.Stop() {
		return nil, fmt.Errorf("%w within %v", errNoAnswer, answerTimeout)
	}
	return w, err
}

// deliver puts a response into the queue. It returns false if the queue is full.
func (r *run) deliver(resp clientv3.WatchResponse) bool {
	at := *r.at.Load()
	events := resp.Events
	for len(events) > 0 && events[0].Kv.ModRevision <= at.Revision {
		events = events[1:] // etcd may repeat earlier events
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

// interrupted reports the first of several failures in a row.
func (r *run) interrupted(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.troubled {
		r.stream.Report(fmt.Sprintf("interrupted after revision %d, trying again: %v", r.at.Load().Revision, cause))
	}
	r.troubled = true
}

// resumed reports that the stream continues, if it was interrupted.
func (r *run) resumed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.troubled {
		r.stream.Report(fmt.Sprintf("continuing after revision %d", r.at.Load().Revision))
	}
	r.troubled = false
}
