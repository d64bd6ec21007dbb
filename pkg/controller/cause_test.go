package controller

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/homeostat/homeostat/pkg/store"
)

func TestCauses(t *testing.T) {
	for n, want := range map[int][]int64{
		0:  nil,
		1:  {1},
		4:  {1, 2, 3, 4},
		5:  {1, 2, 3, 4, 5},
		8:  {1, 2, 3, 4, 5, 6, 7, 8},
		9:  {1, 2, 3, 4, 6, 7, 8, 9},
		12: {1, 2, 3, 4, 9, 10, 11, 12},
		99: {1, 2, 3, 4, 96, 97, 98, 99},
	} {
		why := &reasons{}
		for i := range n {
			why.add(Cause{Type: CauseModified, Revision: int64(i + 1)}, prompt)
		}
		causes, total := Causes(context.WithValue(t.Context(), causesKey{}, why))
		var got []int64
		for _, c := range causes {
			got = append(got, c.Revision)
		}
		if total != n || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("of %d: got %v of %d, want %v", n, got, total, want)
		}
	}
	if causes, total := Causes(t.Context()); causes != nil || total != 0 {
		t.Errorf("outside of a reconcile: got %v of %d", causes, total)
	}
}

func TestCausesAreAsUrgentAsTheMostUrgent(t *testing.T) {
	n := notes[string]{now: time.Now}
	for _, step := range []struct{ add, want class }{{later, later}, {prompt, prompt}, {later, prompt}} {
		n.add("a", Cause{}, step.add)
		if got := n.class("a"); got != step.want {
			t.Errorf("after %d: got class %d, want %d", step.add, got, step.want)
		}
	}
	n.take("a")
	if n.add("a", Cause{}, later); n.class("a") != later {
		t.Errorf("the class of causes that were taken stays")
	}
}

func TestCausesAsText(t *testing.T) {
	why := &reasons{}
	why.add(Cause{Type: CauseAdded, Kind: "Pod", Object: store.Key{Namespace: "town", Name: "web"}, Revision: 57}, prompt)
	why.add(Cause{Type: CauseDeleted, Kind: "Node", Object: store.Key{Name: "n1"}, Revision: 58}, prompt)
	why.add(Cause{Type: CauseOwnWrites, Revision: 60}, later)
	why.add(Cause{Type: CauseRequeueAfter}, later)
	want := "added Pod town/web at 57, deleted Node n1 at 58, own writes at 60, requeue after"
	if got := why.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for range 7 {
		why.add(Cause{Type: CauseTimer}, later)
	}
	want += ", 3 more, timer, timer, timer, timer"
	if got := why.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
