package controller

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Every has the keys reconciled that a function names, when the controller starts
// and then again and again: interval after the function has returned, and up to a
// tenth more, so that processes that started together do not stay in step. The
// function may take its time, but must return when ctx is done. When it panics,
// that is logged, and the round names no keys.
//
// Keys that come by time give way to those of changes.
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
				b.round(ctx, keys, enqueue)
			}
		}), nil
	}}
}

// Resync has all objects of the kind T reconciled again and again: after interval
// and up to a tenth more. What is missed without it is only what changes outside
// of etcd without telling anybody.
func Resync[T store.Object](interval time.Duration) Source[Request] {
	return Source[Request]{bind: func(b *binding[Request]) (starter[Request], error) {
		if interval <= 0 {
			return nil, fmt.Errorf("resync every %s: the interval must be above 0", interval)
		}
		inf, err := informer.For[T](b.manager.replica)
		if err != nil {
			return nil, err
		}
		return inBackground(func(ctx context.Context, enqueue func(Request, Cause)) {
			for b.sleep(ctx, interval) {
				for obj := range inf.List(b.manager.replica.Snapshot(), informer.ListOptions{}) {
					enqueue(Request{store.KeyOf(obj)}, Cause{Type: CauseTimer})
				}
			}
		}), nil
	}}
}

func (b *binding[R]) round(ctx context.Context, keys func(context.Context) []R, enqueue func(R, Cause)) {
	err := guard("the function that names keys", func() error {
		for _, key := range keys(ctx) {
			enqueue(key, Cause{Type: CauseTimer})
		}
		return nil
	})
	if err != nil {
		logFailure(b.log, err, "timer round failed")
	}
}

// sleep lets an interval and up to a tenth more pass. It returns false when ctx
// is done.
func (b *binding[R]) sleep(ctx context.Context, interval time.Duration) bool {
	timer := b.manager.clock.NewTimer(interval + rand.N(interval/10+1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}
