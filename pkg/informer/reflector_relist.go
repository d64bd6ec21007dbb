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

// relist reads all kinds concurrently at one revision, installs the result, and
// delivers the difference to the handlers.
func (f *reflector) relist(ctx context.Context, reason string) error {
	select { // kinds added before now are part of this list
	case <-f.replica.kindAdded:
	default:
	}
	f.blind = false
	p := f.newProbe()
	p.run(ctx)
	switch {
	case startsEpoch(reason) && p.reason != "": // found before
	case p.reason != "": // this list repairs it
		reason = p.reason
	case p.err != nil:
		return fmt.Errorf("list: %w", p.err)
	}
	f.lastContact, f.blind = f.replica.clock.Now(), p.blind
	f.ensureEpoch(ctx, p)
	lists, err := f.readKinds(ctx, reason, p.now)
	if errors.Is(err, errNewEpoch) {
		f.relistReason = reasonNewData
	}
	if err != nil {
		return err
	}
	f.replica.status.listed(reason)
	f.logList(reason, p)
	f.install(lists, p.now, p.epoch, startsEpoch(reason))
	f.replica.status.caughtUp(p.asked, p.now)
	return nil
}

// startsEpoch reports whether a list for this reason reads other data than the
// replica has. Revisions known before mean nothing there.
func startsEpoch(reason string) bool { return reason == reasonRegressed || reason == reasonNewData }

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
		f.replica.log.Info("etcd was wiped or restored; listed", "reason", reason, "from", l.at, "to", l.now)
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

// install makes the lists the replica's state. In a new epoch it ends all waits,
// since the revisions that they wait for may never come.
func (f *reflector) install(lists []*kindList, revision int64, of epochID, newEpoch bool) {
	f.complete, f.budget, f.sentinel = revision, replayBudget{}, sentinel{}
	f.replica.mu.Lock()
	f.replica.epochID, f.replica.catchingUp = of, false
	if newEpoch {
		f.replica.epoch++
	}
	changed := make([]*kind, len(lists))
	var changes []change
	for i, l := range lists {
		changed[i] = l.kind
		changes = append(changes, l.install(revision, &f.sentinel)...)
	}
	f.replica.publishChanges(revision, changed...)
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.revision, b.revision) })
	for _, c := range changes {
		c.kind.changeCount++
	}
	for _, k := range changed {
		k.deliverInitial()
	}
	handlers := handlersOf(changed)
	f.replica.listed.Notify()
	f.replica.mu.Unlock()
	enqueueAll(handlers, changes, revision)
	f.markEnqueued()
	if newEpoch {
		revision = math.MaxInt64
	}
	f.replica.reached(revision)
}
