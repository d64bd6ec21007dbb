package controller

import (
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

// due notes down which keys were handed over, and when.
type due struct {
	mu    sync.Mutex
	begin time.Time
	keys  []dueKey
}

type dueKey struct {
	key string
	at  time.Duration
}

func (d *due) enqueue(key string, _ Cause, _ class) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys = append(d.keys, dueKey{key, time.Since(d.begin)})
}

func TestDelays(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(*delays[string])
		want []dueKey
	}{
		"hand keys over when they are due": {func(d *delays[string]) {
			d.set("b", 2*time.Second, Cause{}, prompt)
			d.set("a", time.Second, Cause{}, prompt)
		}, []dueKey{{"a", time.Second}, {"b", 2 * time.Second}}},
		"put a later one in the place of an earlier": {func(d *delays[string]) {
			d.set("a", time.Second, Cause{}, prompt)
			d.set("a", time.Hour, Cause{}, prompt)
		}, []dueKey{{"a", time.Hour}}},
		"put an earlier one in the place of a later": {func(d *delays[string]) {
			d.set("a", time.Hour, Cause{}, prompt)
			d.set("a", time.Second, Cause{}, prompt)
		}, []dueKey{{"a", time.Second}}},
		"forget a time that was set": {func(d *delays[string]) {
			d.set("a", time.Second, Cause{}, prompt)
			d.clear("a")
		}, nil},
		"take a key again that was handed over": {func(d *delays[string]) {
			d.set("a", time.Second, Cause{}, prompt)
			time.Sleep(2 * time.Second)
			d.set("a", time.Second, Cause{}, prompt)
		}, []dueKey{{"a", time.Second}, {"a", 3 * time.Second}}},
		"hand over nothing once stopped": {func(d *delays[string]) {
			d.set("a", time.Second, Cause{}, prompt)
			d.stop()
			d.set("b", time.Second, Cause{}, prompt)
			d.stop()
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := &due{begin: time.Now()}
				d := newDelays(clock.RealClock{}, told.enqueue)
				test.do(d)
				time.Sleep(2 * time.Hour) // of the bubble's clock
				d.stop()
				if !reflect.DeepEqual(told.keys, test.want) {
					t.Errorf("got %v, want %v", told.keys, test.want)
				}
				if len(d.pending) > 0 {
					t.Errorf("left over: %v", d.pending)
				}
			})
		})
	}
}

// Keys that are set again just as they are due, by several at once, while the
// delays are being stopped: each one ends, and stop waits for it.
func TestDelaysRace(t *testing.T) {
	var told due
	d := newDelays(clock.RealClock{}, told.enqueue)
	var setters sync.WaitGroup
	for _, key := range []string{"a", "b", "c", "d"} {
		setters.Go(func() {
			for i := range 2000 {
				d.set(key, time.Duration(i%3)*time.Microsecond, Cause{}, prompt)
			}
		})
	}
	setters.Go(d.stop)
	setters.Wait()
	d.stop()
	n := len(told.keys)
	if d.stop(); len(told.keys) != n || len(d.pending) > 0 {
		t.Errorf("something went on after the stop")
	}
}
