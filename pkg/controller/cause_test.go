package controller

import (
	"testing"

	"github.com/go-logr/logr"

	"github.com/homeostat/homeostat/pkg/controller/internal/queue"
	"github.com/homeostat/homeostat/pkg/store"
)

func TestCausesOfOtherContexts(t *testing.T) {
	if causes, total := Causes(t.Context()); causes != nil || total != 0 {
		t.Errorf("got %v of %d", causes, total)
	}
}

func TestCausesAsText(t *testing.T) {
	r := newBareRun(logr.Discard(), nil)
	r.queue.Add(key("a", "1"), Cause{Type: CauseAdded, Kind: "Pod", Object: store.Key{Namespace: "town", Name: "web"}, Revision: 57}, queue.High)
	r.queue.Add(key("a", "1"), Cause{Type: CauseDeleted, Kind: "Node", Object: store.Key{Name: "n1"}, Revision: 58}, queue.High)
	r.queue.Add(key("a", "1"), Cause{Type: CauseOwnWrites, Revision: 60}, queue.Low)
	r.queue.Add(key("a", "1"), Cause{Type: CauseRequeueAfter}, queue.Low)
	expect := func(want string) {
		t.Helper()
		if got := causesText(r.queue.KeyState(key("a", "1")).Causes); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	want := "added Pod town/web at 57, deleted Node n1 at 58, own writes at 60, requeue after"
	expect(want)
	for range 7 {
		r.queue.Add(key("a", "1"), Cause{Type: CauseTimer}, queue.Low)
	}
	want += ", 3 more, timer, timer, timer, timer"
	expect(want)
}
