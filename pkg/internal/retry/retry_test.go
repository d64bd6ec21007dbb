package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/internal/retry"
)

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if err := retry.Sleep(t.Context(), clock.RealClock{}, time.Minute); err != nil {
			t.Errorf("Sleep: %v", err)
		}
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("slept %s, want 1m", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := retry.Sleep(ctx, clock.RealClock{}, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("Sleep with a cancelled context: %v", err)
		}
		if took := time.Since(begun); took != time.Minute+time.Second {
			t.Errorf("a cancelled sleep ended after %s, want 1s", took-time.Minute)
		}
	})
}

func TestWithTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := retry.WithTimeout(t.Context(), clock.RealClock{}, time.Second)
		defer cancel()
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
			t.Errorf("cause: %v", cause)
		}
	})
}

func TestBackoff(t *testing.T) {
	b := retry.NewBackoff(clock.RealClock{}, 10*time.Millisecond, time.Second)
	for round := range 2 {
		least := 10 * time.Millisecond
		for step := range 20 {
			pause := b.Next()
			if pause < least || pause > least+least/2 {
				t.Fatalf("round %d, step %d: pause %s, want %s to %s", round, step, pause, least, least+least/2)
			}
			least = min(2*least, time.Second)
		}
		b.Reset()
	}
}

func TestBroadcast(t *testing.T) {
	var b retry.Broadcast
	b.Notify() // nobody waits
	first, also := b.Changed(), b.Changed()
	select {
	case <-first:
		t.Fatal("notified of a change made before the call of Changed")
	default:
	}
	b.Notify()
	<-first
	<-also
	select {
	case <-b.Changed():
		t.Fatal("notified twice of one change")
	default:
	}
}
