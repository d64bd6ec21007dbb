package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/internal/retry"
	"github.com/homeostat/homeostat/pkg/store"
)

// FromChannel reconciles the keys that it receives from a channel, until the channel
// is closed. Use it for keys from other parts of the program, such as an HTTP handler.
//
// It receives only while the controller runs; until then, keys wait in the channel or
// with their senders. A received key is reconciled unless the controller stops first.
// A controller under [Sharding] drops received keys of other processes. Two
// controllers with the same channel get different keys.
func FromChannel[R comparable](keys <-chan R) Source[R] {
	return Source[R]{bind: func(*binding[R]) (starter[R], error) {
		if keys == nil {
			return nil, errors.New("channel: it is nil")
		}
		return inBackground(func(ctx context.Context, enqueue func(R, Cause)) {
			for {
				select {
				case <-ctx.Done():
					return
				case key, ok := <-keys:
					if !ok {
						return
					}
					enqueue(key, Cause{Type: CauseChannel})
				}
			}
		}), nil
	}}
}

// Every calls keys when the controller starts, and again each time interval has passed
// since keys returned, and reconciles the keys that it returns. It adds up to a tenth
// to each interval, so that processes started together drift apart. Use it for systems
// outside etcd that do not report changes.
//
// keys may take long, but must return when ctx is done. If it panics, the panic is
// logged, and it is called again after interval. Keys that changed come before keys
// that Every names; see the package's documentation.
func Every[R comparable](interval time.Duration, keys func(ctx context.Context) []R) Source[R] {
	return Source[R]{bind: func(b *binding[R]) (starter[R], error) {
		switch {
		case interval <= 0:
			return nil, fmt.Errorf("every %s: the interval must be above 0", interval)
		case keys == nil:
			return nil, errors.New("every: the function that names keys is nil")
		}
		return inBackground(func(ctx context.Context, enqueue func(R, Cause)) {
			for ok := true; ok; ok = b.sleep(ctx, interval) {
				err := b.manager.guard("the function that names keys", func() error {
					for _, key := range keys(ctx) {
						enqueue(key, Cause{Type: CauseTimer})
					}
					return nil
				})
				if err != nil {
					logFailure(b.log, err, "timer names no keys")
				}
			}
		}), nil
	}}
}

// Resync reconciles all objects of kind T each time interval has passed. It adds up to
// a tenth to each interval. Use it if objects describe something outside etcd that can
// change without notice. It is not needed to see changes of objects.
func Resync[T store.Object](interval time.Duration) Source[Request] {
	return Source[Request]{bind: func(b *binding[Request]) (starter[Request], error) {
		if interval <= 0 {
			return nil, fmt.Errorf("resync every %s: the interval must be above 0", interval)
		}
		inf, err := informer.For[T](b.manager.Replica())
		if err != nil {
			return nil, err
		}
		return inBackground(func(ctx context.Context, enqueue func(Request, Cause)) {
			for b.sleep(ctx, interval) {
				for obj := range inf.List(b.manager.Replica().Snapshot(), informer.ListOptions{}) {
					enqueue(Request{store.KeyOf(obj)}, Cause{Type: CauseTimer})
				}
			}
		}), nil
	}}
}

// sleep waits for an interval and up to a tenth of it more. It returns false when ctx
// is done.
func (b *binding[R]) sleep(ctx context.Context, interval time.Duration) bool {
	return retry.Sleep(ctx, b.manager.settings().Clock, retry.Jitter(interval)) == nil
}

// inBackground returns a starter that calls run in a goroutine. Stopping the source
// cancels the context and waits until run returns.
func inBackground[R comparable](run func(ctx context.Context, enqueue func(R, Cause))) starter[R] {
	return func(enqueue func(R, Cause)) (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { run(ctx, enqueue) })
		return func() {
			cancel()
			running.Wait()
		}
	}
}
