package retry_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

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

func TestJitter(t *testing.T) {
	for _, d := range []time.Duration{-1, 0, 1, time.Second, math.MaxInt64 / 11 * 10, math.MaxInt64 - 5, math.MaxInt64} {
		for range 1000 {
			if j := retry.Jitter(d); j < d || j-d > max(d, 0)/10 {
				t.Fatalf("%d became %d", d, j)
			}
		}
	}
}

func TestWithTimeout(t *testing.T) {
	type key struct{}
	parent := errors.New("the parent's cause")
	fake := clocktesting.NewFakeClock(time.Unix(0, 0))
	for _, c := range []clock.WithDelayedExecution{clock.RealClock{}, fake} {
		for name, end := range map[string]struct {
			by         func(cancelParent context.CancelCauseFunc, cancel context.CancelFunc)
			err, cause error
		}{
			"the timer":  {func(context.CancelCauseFunc, context.CancelFunc) { fake.Step(time.Second) }, context.DeadlineExceeded, context.DeadlineExceeded},
			"its cancel": {func(_ context.CancelCauseFunc, cancel context.CancelFunc) { cancel() }, context.Canceled, context.Canceled},
			"its parent": {func(cancelParent context.CancelCauseFunc, _ context.CancelFunc) { cancelParent(parent) }, context.Canceled, parent},
		} {
			t.Run(fmt.Sprintf("%T ended by %s", c, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					outer, cancelParent := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
					defer cancelParent(nil)
					ctx, cancel := retry.WithTimeout(outer, c, time.Second)
					defer cancel()
					derived, cancelDerived := context.WithCancel(ctx)
					defer cancelDerived()
					valued := context.WithValue(derived, key{}, "another")
					if ctx.Err() != nil || valued.Err() != nil || ctx.Value(key{}) != "value" {
						t.Fatalf("before the end: %v, %v, value %v", ctx.Err(), valued.Err(), ctx.Value(key{}))
					}
					end.by(cancelParent, cancel)
					for which, ctx := range map[string]context.Context{"the context": ctx, "a derived one": derived, "a derived one's": valued} {
						<-ctx.Done()
						if err, cause := ctx.Err(), context.Cause(ctx); err != end.err || cause != end.cause {
							t.Errorf("%s: Err is %v, cause %v; want %v, %v", which, err, cause, end.err, end.cause)
						}
					}
					late, cancelLate := context.WithCancel(ctx)
					defer cancelLate()
					if late.Err() != end.err {
						t.Errorf("derived after the end: Err is %v", late.Err())
					}
					fake.Step(time.Hour) // its timer was stopped
					cancel()
					if ctx.Err() != end.err {
						t.Errorf("afterwards: Err is %v", ctx.Err())
					}
				})
			})
		}
	}
}

func TestWithTimeoutOfAParentThatIsDone(t *testing.T) {
	outer, cancelOuter := context.WithCancel(t.Context())
	cancelOuter()
	ctx, cancel := retry.WithTimeout(outer, clocktesting.NewFakeClock(time.Unix(0, 0)), time.Second)
	defer cancel()
	if ctx.Err() != context.Canceled {
		t.Errorf("Err is %v", ctx.Err())
	}
}

func TestWithTimeoutOfAParentThatTimedOut(t *testing.T) {
	fake := clocktesting.NewFakeClock(time.Unix(0, 0))
	cause := errors.New("the outer took too long")
	outer, cancelOuter := retry.WithTimeoutCause(t.Context(), fake, time.Second, cause)
	defer cancelOuter()
	inner, cancel := retry.WithTimeout(outer, fake, time.Minute)
	defer cancel()
	fake.Step(time.Second)
	<-inner.Done()
	if inner.Err() != context.DeadlineExceeded || context.Cause(inner) != cause {
		t.Errorf("Err is %v, cause %v", inner.Err(), context.Cause(inner))
	}
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
