package controller

import (
	"context"
	"errors"
	"sync"
)

// FromChannel has the keys reconciled that come through a channel, until it is
// closed. It is received from while the controller runs, and only then; what is
// sent meanwhile waits in the channel or with its sender. A key that was received
// is reconciled unless the controller stops before, or its keys are sharded and it
// is another process's.
//
// Two controllers that are given the same channel get different keys.
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

// inBackground starts a source that is a goroutine, which ends when ctx is done.
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
