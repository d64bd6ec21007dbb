package informer

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// ticks counts how often a progress timer fires while etcd does not answer. It
// handles each firing as the reflector does.
func ticks(p *progress, d time.Duration, poke func() bool) int {
	n := 0
	for end := time.After(d); ; {
		select {
		case <-p.timer.C():
			n++
			p.tick()
		case <-end:
			return n
		case <-time.After(time.Millisecond):
			if poke() {
				p.onWaiter()
			}
		}
	}
}

func newTestProgress(t *testing.T) (*Replica, *progress) {
	r, _ := offline(t)
	r.clock = clock.RealClock{}
	f := &reflector{replica: r}
	p := f.newProgress(nil, &sync.WaitGroup{})
	p.requested = true // a request that is never answered
	return r, p
}

func TestProgressIsRequestedLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newTestProgress(t)
		defer p.timer.Stop()
		r.AfterRevision(1<<60, func() {})
		// 10, 20, 40 ... 1000 ms, then each second.
		if n := ticks(p, 10*time.Second, func() bool { return false }); n < 10 || n > 20 {
			t.Errorf("asked %d times in 10 s", n)
		}
	})
}

func TestProgressIsRequestedSoonForANewWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newTestProgress(t)
		defer p.timer.Stop()
		r.AfterRevision(1<<60, func() {})
		ticks(p, 10*time.Second, func() bool { return false })
		p.onWaiter()
		if n := ticks(p, r.timing.progress+time.Millisecond, func() bool { return false }); n != 1 {
			t.Errorf("asked %d times for the newcomer", n)
		}
		// However many come, the timer is not put off.
		if n := ticks(p, time.Second, func() bool { return true }); n < 50 || n > 100 {
			t.Errorf("asked %d times in 1 s of a crowd", n)
		}
	})
}

func TestProgressIsNotRequestedWithoutWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := newTestProgress(t)
		defer p.timer.Stop()
		if n := ticks(p, 2*time.Second, func() bool { return false }); n != 1 {
			t.Errorf("fired %d times, and once is for those who came before the watch", n)
		}
	})
}

func TestBackoffGrowsToItsCap(t *testing.T) {
	timing := defaultTiming()
	b := retry.NewBackoff(clock.RealClock{}, timing.retry, timing.retryMax)
	if first := b.Next(); first < timing.retry || first > 2*timing.retry {
		t.Errorf("first pause is %v", first)
	}
	for range 1000 {
		b.Next()
	}
	if last := b.Next(); last < timing.retryMax || last > 2*timing.retryMax {
		t.Errorf("last pause is %v", last)
	}
}

// A watch that is alive but does not make progress is given up.
func TestSilenceIsNoticed(t *testing.T) {
	r, _ := offline(t) // at revision 1
	f := &reflector{replica: r}
	p := f.newProgress(nil, &sync.WaitGroup{})
	defer p.timer.Stop()
	p.requested = true
	c := f.newChecks(p)
	defer c.timer.Stop()
	judge := func(now int64, wantErr bool) {
		t.Helper()
		if err := c.checkProgress(now); (err != nil) != wantErr {
			t.Errorf("at %d: %v", now, err)
		}
	}
	judge(1, false) // nothing happened
	judge(5, false) // asked to reach 5
	c.heard = true
	judge(5, false) // something came: it lives
	judge(5, false) // asked again
	f.replica.publish(5)
	judge(9, false) // it came to 5; asked to reach 9
	judge(9, true)
}
