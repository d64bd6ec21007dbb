package lease

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

const ttl = 9 * time.Second

// keepWith runs keepAlive in a bubble, and returns how long it ran.
func keepWith(ctx context.Context, renew func(context.Context) (time.Duration, error)) (lasted time.Duration, err error) {
	begun := time.Now()
	err = keepAlive(ctx, clock.RealClock{}, begun, ttl, renew)
	return time.Since(begun), err
}

func TestSeconds(t *testing.T) {
	for n, want := range map[int64]time.Duration{0: 0, 9: ttl, 9_223_372_036: 9_223_372_036 * time.Second, math.MaxInt64: 9_223_372_036 * time.Second} {
		if got := seconds(n); got != want {
			t.Errorf("%d seconds are %v, want %v", n, got, want)
		}
	}
}

func TestALeaseIsRenewedEveryThirdOfItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*ttl+time.Second)
		defer cancel()
		renewals := 0
		if _, err := keepWith(ctx, func(context.Context) (time.Duration, error) { renewals++; return ttl, nil }); err != nil {
			t.Fatal(err)
		}
		if renewals != 30 {
			t.Errorf("%d renewals, want 30", renewals)
		}
	})
}

func TestALeaseThatIsGoneIsLostAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lasted, err := keepWith(t.Context(), func(context.Context) (time.Duration, error) { return 0, errGone })
		if !errors.Is(err, errGone) || lasted != ttl/3 {
			t.Errorf("lost after %s: %v", lasted, err)
		}
	})
}

// TestALeaseIsLostWhenItMayHaveExpired lets etcd answer, fail or stay silent at
// random. The lease must be lost exactly when its TTL has passed since the last
// successful renewal was sent.
func TestALeaseIsLostWhenItMayHaveExpired(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			renewed := time.Now()
			refused := errors.New("etcd has no leader")
			_, err := keepWith(t.Context(), func(ctx context.Context) (time.Duration, error) {
				sent := time.Now()
				if sent.Sub(renewed) >= ttl {
					t.Errorf("seed %d: renewed %s after the last", seed, sent.Sub(renewed))
				}
				switch random.IntN(6) {
				case 0:
					<-ctx.Done() // no answer
					return 0, ctx.Err()
				case 1, 2, 3:
					return 0, refused
				default:
					slow := time.NewTimer(time.Duration(random.Int64N(int64(ttl / 2))))
					defer slow.Stop()
					select {
					case <-slow.C:
						renewed = sent
						return ttl, nil
					case <-ctx.Done():
						return 0, ctx.Err()
					}
				}
			})
			if err == nil {
				t.Fatalf("seed %d: ended without a cause", seed)
			}
			if held := time.Since(renewed); held != ttl {
				t.Errorf("seed %d: held for %s after the last renewal, want %s: %v", seed, held, ttl, err)
			}
		})
	}
}

// suspended is a clock that stands still for a process that does not run: the first timer
// after a moment fires late.
type suspended struct {
	clock.RealClock
	at    time.Time
	lasts time.Duration
}

func (s *suspended) NewTimer(d time.Duration) clock.Timer {
	if !time.Now().Before(s.at) {
		d, s.at = d+s.lasts, s.at.Add(24*time.Hour)
	}
	return s.RealClock.NewTimer(d)
}

func TestASuspensionIsNotBlamedOnAnOldFailure(t *testing.T) {
	refused := errors.New("etcd has no leader")
	for name, c := range map[string]struct {
		fails     func(since time.Duration) bool
		suspended time.Duration // after which the process is suspended
		want      error
	}{
		"no failure":                      {func(time.Duration) bool { return false }, 0, errSuspended},
		"a failure, and then a success":   {func(since time.Duration) bool { return since < ttl/3+time.Second }, 2 * ttl, errSuspended},
		"a failure just before":           {func(since time.Duration) bool { return since < ttl/3+time.Second }, ttl / 3, errSuspended},
		"nothing but failures, and awake": {func(time.Duration) bool { return true }, 24 * time.Hour, refused},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				err := keepAlive(t.Context(), &suspended{at: begun.Add(c.suspended), lasts: time.Hour}, begun, ttl, func(context.Context) (time.Duration, error) {
					if c.fails(time.Since(begun)) {
						return 0, refused
					}
					return ttl, nil
				})
				if !errors.Is(err, c.want) {
					t.Errorf("lost: %v, want %v", err, c.want)
				}
			})
		})
	}
}

func TestALeaseIsKeptNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), ttl/3+time.Second)
		defer cancel()
		lasted, err := keepWith(ctx, func(ctx context.Context) (time.Duration, error) { <-ctx.Done(); return 0, ctx.Err() })
		if err != nil || lasted != ttl/3+time.Second {
			t.Errorf("ended after %s: %v", lasted, err)
		}
	})
}
