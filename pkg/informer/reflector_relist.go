package informer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"
)

// list reads all kinds side by side at one revision, replaces the replica's
// state by what it read, and tells the handlers the difference.
func (f *reflector) relist(ctx context.Context, reason string) error {
	select { // whatever was added before now is part of this list
	case <-f.replica.kindAdded:
	default:
	}
	f.blind = false
	look := f.newProbe()
	look.run(ctx)
	switch {
	case startsEpoch(reason) && look.reason != "": // as was found before
	case look.reason != "": // then this list sets it right
		reason = look.reason
	case look.err != nil:
		return fmt.Errorf("list: %w", look.err)
	}
	f.lastContact, f.blind = f.replica.clock.Now(), look.blind
	f.ensureEpoch(ctx, look)
	lists, err := f.readKinds(ctx, reason, look.now)
	if errors.Is(err, errNewEpoch) {
		f.relistReason = reasonReplaced
	}
	if err != nil {
		return err
	}
	f.replica.status.listed(reason)
	f.logList(reason, look)
	f.install(lists, look.now, look.epoch, startsEpoch(reason))
	f.replica.status.caughtUp(look.asked, look.now)
	return nil
}

// isAnew reports whether a list for this reason is one of other data than the
// replica has: nothing that was known of revisions holds there.
func startsEpoch(reason string) bool { return reason == reasonRegressed || reason == reasonReplaced }

func (f *reflector) readKinds(ctx context.Context, reason string, revision int64) ([]*kindList, error) {
	lists := f.replica.kindLists()
	group, groupCtx := errgroup.WithContext(ctx)
	for _, l := range lists {
		l.compareValues = startsEpoch(reason) || reason == reasonProgram
		l.decodeAll = reason == reasonProgram
		group.Go(func() error { return l.read(groupCtx, revision) })
	}
	err := group.Wait()
	for _, l := range lists {
		f.replica.status.kindListed(l.partial, l.bytesRead.Load())
	}
	return lists, err
}

func (f *reflector) logList(reason string, l *probe) {
	switch {
	case startsEpoch(reason):
		f.replica.log.Info("etcd was wiped or restored; listed anew", "reason", reason, "from", l.at, "to", l.now)
	case l.at != 0:
		f.replica.log.V(1).Info("listed again", "reason", reason, "from", l.at, "to", l.now)
	}
}

func (r *Replica) kindLists() []*kindList {
	r.mu.Lock()
	defer r.mu.Unlock()
	lists := make([]*kindList, len(r.kinds))
	for i, k := range r.kinds {
		lists[i] = newKindList(k)
	}
	return lists
}

// replace makes the lists the replica's state. When etcd has started anew, so do
// the waits: the revisions that they wait for may never come.
func (f *reflector) install(lists []*kindList, revision int64, of epochID, anew bool) {
	f.complete, f.budget, f.sentinel = revision, replayBudget{}, sentinel{}
	f.replica.mu.Lock()
	f.replica.epochID, f.replica.catchingUp = of, false
	if anew {
		f.replica.epoch++
	}
	changed := make([]*kind, len(lists))
	var changes []change
	for i, l := range lists {
		changed[i] = l.kind
		changes = append(changes, l.install(revision, &f.sentinel)...)
	}
	f.replica.publish(revision, changed...)
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.revision, b.revision) })
	for _, c := range changes {
		c.kind.changeCount++
	}
	for _, k := range changed {
		k.deliverInitial()
	}
	listeners := handlersOf(changed)
	f.replica.listed.Notify()
	f.replica.mu.Unlock()
	enqueueAll(listeners, changes, revision)
	f.markEnqueued()
	if anew {
		revision = math.MaxInt64
	}
	f.replica.waiters.reached(revision)
}
