// Package batch merges bursts of changes.
package batch

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/homeostat/homeostat/examples/watch/internal/change"
)

// maxWindows bounds how long a batch waits for a quiet window.
const maxWindows = 10

// Batch merges the changes of each key. It is due when no change has come for one
// window, or when its first change is ten windows old. It has no clock: callers
// pass the time. The zero value with a Window is ready for use.
type Batch struct {
	Window time.Duration

	changes     map[string]change.Change
	first, last time.Time
}

// Empty reports whether the batch has no changes.
func (b *Batch) Empty() bool { return len(b.changes) == 0 }

// Add adds a change that arrived at the time now.
func (b *Batch) Add(c change.Change, now time.Time) {
	if b.Empty() {
		b.changes, b.first = map[string]change.Change{}, now
	}
	b.last = now
	key := string(c.Event.Kv.Key)
	if before, ok := b.changes[key]; ok {
		c = before.Join(c)
	}
	b.changes[key] = c
}

// Due returns the time at which the batch is complete. The batch must not be empty.
func (b *Batch) Due() time.Time {
	quiet, latest := b.last.Add(b.Window), b.first.Add(maxWindows*min(b.Window, math.MaxInt64/maxWindows))
	if latest.Before(quiet) {
		return latest
	}
	return quiet
}

// Take empties the batch. It returns one change for each key, ordered by newest
// revision.
func (b *Batch) Take() []change.Change {
	changes := make([]change.Change, 0, len(b.changes))
	for _, c := range b.changes {
		changes = append(changes, c)
	}
	slices.SortFunc(changes, func(x, y change.Change) int {
		return cmp.Or(
			cmp.Compare(x.Event.Kv.ModRevision, y.Event.Kv.ModRevision),
			slices.Compare(x.Event.Kv.Key, y.Event.Kv.Key),
		)
	})
	b.changes = nil
	return changes
}
