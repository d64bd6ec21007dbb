package queue

import (
	"fmt"
	"testing"
)

func TestCauses(t *testing.T) {
	for n, want := range map[int][]int{
		0:  nil,
		1:  {1},
		4:  {1, 2, 3, 4},
		5:  {1, 2, 3, 4, 5},
		8:  {1, 2, 3, 4, 5, 6, 7, 8},
		9:  {1, 2, 3, 4, 6, 7, 8, 9},
		12: {1, 2, 3, 4, 9, 10, 11, 12},
		99: {1, 2, 3, 4, 96, 97, 98, 99},
	} {
		causes := &Causes[int]{}
		for i := range n {
			causes.add(i+1, High, 0)
		}
		if got := causes.List(); fmt.Sprint(got) != fmt.Sprint(want) || causes.Total != n || causes.Omitted() != n-len(want) {
			t.Errorf("of %d: got %v of %d, want %v", n, got, causes.Total, want)
		}
	}
	if got := (*Causes[int])(nil).List(); got != nil {
		t.Errorf("no causes: got %v", got)
	}
}

func TestCausesAreAsUrgentAsTheMostUrgent(t *testing.T) {
	q := newTestQueue(newFakeClock())
	for _, step := range []struct{ add, want Priority }{{Low, Low}, {High, High}, {Low, High}} {
		q.Add("a/1", 0, step.add)
		if got := q.KeyState("a/1").Priority; got != step.want {
			t.Errorf("after %d: got priority %d, want %d", step.add, got, step.want)
		}
	}
	key, _ := q.next(t)
	q.Done(key)
	if q.Add("a/1", 0, Low); q.KeyState("a/1").Priority != Low {
		t.Errorf("the priority of causes stays after their reconcile")
	}
}

func TestTableGivesMemoryBack(t *testing.T) {
	var x table[int, int]
	const most = 8 * (tableKept + 8)
	for i := range most {
		x.set(i, i)
	}
	for i := range most - 7 {
		x.delete(i)
	}
	if x.most > tableKept || x.len() != 7 {
		t.Errorf("a table of %d entries keeps the memory of %d", x.len(), x.most)
	}
	for i := most - 7; i < most; i++ {
		if x.get(i) != i {
			t.Errorf("got %d for %d", x.get(i), i)
		}
	}
	if x.set(1, 1); x.len() != 8 || x.get(1) != 1 {
		t.Errorf("it does not go on")
	}
}
