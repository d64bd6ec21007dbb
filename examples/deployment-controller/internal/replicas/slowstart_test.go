package replicas

import (
	"errors"
	"sync/atomic"
	"testing"
)

func TestSlowStart(t *testing.T) {
	errFull := errors.New("full")
	tests := []struct {
		name                 string
		count, initial, good int
		wantSuccesses        int
		wantErr              error
		wantCalls            int64
	}{
		{"all fail", 10, 1, 0, 0, errFull, 1},
		{"all succeed", 10, 1, 10, 10, nil, 10},
		{"fails in the third batch", 10, 1, 5, 5, errFull, 7},
		{"larger first batch", 10, 4, 2, 2, errFull, 4},
		{"last batch is cut to what remains", 4, 1, 4, 4, nil, 4},
		{"nothing to do", 0, 1, 0, 0, nil, 0},
		{"fewer than the first batch", 2, 5, 2, 2, nil, 2},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var calls, left atomic.Int64
			left.Store(int64(tc.good))
			got, err := SlowStart(tc.count, tc.initial, func() error {
				calls.Add(1)
				if left.Add(-1) < 0 {
					return errFull
				}
				return nil
			})
			if got != tc.wantSuccesses || !errors.Is(err, tc.wantErr) || calls.Load() != tc.wantCalls {
				t.Errorf("successes %d error %v calls %d, want %d %v %d",
					got, err, calls.Load(), tc.wantSuccesses, tc.wantErr, tc.wantCalls)
			}
		})
	}
}
