package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/store"
)

func TestWriteHealth(t *testing.T) {
	c := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	asked := 0
	h := &writeHealth{clock: c, asked: func() { asked++ }}
	refused := func(cause error) store.Write { return store.Write{Err: fmt.Errorf("create a: %w", cause)} }
	written := store.Write{Revision: 7, Replaced: []int64{0}}
	for _, step := range []struct {
		what    string
		after   time.Duration
		write   store.Write
		problem string // part of it; "" for none
		asked   int    // so far
	}{
		{"a write", 0, written, "", 0},
		{"a conflict", 0, refused(errors.New("conflict")), "", 0},
		{"no space", 0, refused(rpctypes.ErrNoSpace), "since 2026-01-02T03:04:05Z, 1 in number: create a: etcdserver: mvcc: database space", 1},
		{"a write that was not necessary", time.Second, store.Write{Revision: 7}, "1 in number", 1},
		{"another conflict", time.Second, refused(errors.New("conflict")), "1 in number", 1},
		{"no space again", time.Second, refused(rpctypes.ErrNoSpace), "since 2026-01-02T03:04:05Z, 2 in number", 1},
		{"no attempt for long", writeMemory, store.Write{Revision: 7}, "2 in number", 1},
		{"no attempt for longer", time.Second, store.Write{Revision: 7}, "", 1},
		{"another attempt", 0, refused(rpctypes.ErrNoSpace), "3 in number", 1},
		{"a write at last", 0, written, "", 2},
		{"no permission", 0, refused(rpctypes.ErrPermissionDenied), "1 in number", 3},
		{"no token", 0, refused(rpctypes.ErrInvalidAuthToken), "2 in number: create a: etcdserver: invalid auth token", 3},
	} {
		c.Step(step.after)
		h.observe(step.write)
		err := h.problem()
		if (err != nil) != (step.problem != "") || err != nil && !strings.Contains(err.Error(), step.problem) || asked != step.asked {
			t.Errorf("%s: %v, asked %d times", step.what, err, asked)
		}
	}
}
