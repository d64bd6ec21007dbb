// Package batch collects the changes of a time without rest.
package batch

import (
	"cmp"
	"slices"
	"time"

	"github.com/homeostat/homeostat/examples/watch/internal/change"
)

// patience is for how many windows a batch waits for a quiet one.
const patience = 10

// Batch joins changes by key until none has come for a window, or until it has
// waited for ten. It looks at no clock of its own. The zero value with a Window
// is ready for use.
type Batch struct {
	Window time.Duration

	changes     map[string]change.Change
	first, last time.Time
}

// Empty reports whether nothing was collected.
func (b *Batch) Empty() bool { return len(b.changes) == 0 }

// Add takes a change that came now.
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

// Due is when the batch is complete. It must not be empty.
func (b *Batch) Due() time.Time {
	quiet, latest := b.last.Add(b.Window), b.first.Add(patience*b.Window)
	if latest.Before(quiet) {
		return latest
	}
	return quiet
}

// Take returns one change for each key, in the order of their newest revisions,
// and empties the batch.
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
