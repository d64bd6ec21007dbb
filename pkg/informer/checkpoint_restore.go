package informer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// restoreCheckpoint installs the checkpoint, if there is a usable one, and decides how to
// continue from it. It publishes nothing before a probe of etcd, since that may have
// other data. It returns only etcd's errors; an unusable checkpoint is none.
func (f *reflector) restoreCheckpoint(ctx context.Context) error {
	if f.replica.checkpoint.Path == "" || f.checkpointDone || f.replica.enqueued.Load() != nil {
		return nil
	}
	if f.saved == nil {
		saved, err := f.loadCheckpoint(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			f.checkpointDone = true
			f.rejectCheckpoint(err)
			return nil
		}
		f.saved = saved
	}
	p := f.saved.probe(f)
	p.run(ctx)
	if p.err != nil && p.reason == "" {
		return fmt.Errorf("compare the checkpoint with etcd: %w", p.err)
	}
	saved := f.saved
	f.checkpointDone, f.saved = true, nil
	if cluster := saved.header.Cluster; cluster != p.epoch.cluster {
		f.rejectCheckpoint(fmt.Errorf("it is of cluster %x, this is cluster %x", cluster, p.epoch.cluster))
		return nil
	}
	f.lastContact, f.blind = f.replica.clock.Now(), p.blind
	if p.reason == "" {
		f.ensureEpoch(ctx, p)
	}
	f.useCheckpoint(saved, p)
	return nil
}

// loadCheckpoint reads the checkpoint of the kinds that were added before now.
func (f *reflector) loadCheckpoint(ctx context.Context) (*savedState, error) {
	select {
	case <-f.replica.kindAdded:
	default:
	}
	f.replica.mu.Lock()
	kinds := f.replica.kinds[:len(f.replica.kinds):len(f.replica.kinds)]
	f.replica.mu.Unlock()
	saved, err := readCheckpointFile(ctx, f.replica.checkpoint.Path, kinds)
	if err != nil {
		return nil, err
	}
	if p := f.replica.store.Prefix(); saved.header.Prefix != p {
		return nil, fmt.Errorf("it is of the prefix %s, the store's is %s", saved.header.Prefix, p)
	}
	for _, form := range saved.header.Forms {
		if form.Form.EncryptionKey == "" && !f.replica.store.Reads(form.Form) {
			return nil, errors.New("it has values that were not encrypted in etcd, and the store refuses such values")
		}
	}
	if len(saved.kinds) == 0 {
		return nil, errors.New("it has none of the kinds")
	}
	return saved, nil
}

// rejectCheckpoint reports why the checkpoint is not used. If there is none, it logs
// this at level 1 only.
func (f *reflector) rejectCheckpoint(cause error) {
	start := "not used: " + cause.Error()
	log := f.replica.log
	if errors.Is(cause, fs.ErrNotExist) {
		start, log = "there was none", f.replica.log.V(1)
	}
	f.replica.status.checkpoint(func(st *CheckpointStatus) { st.Start = start })
	log.Info("checkpoint not used; listing", "path", f.replica.checkpoint.Path, "cause", cause.Error())
}

// probe returns a probe that shows whether etcd has the data of the checkpoint and has
// lost none of it.
func (s *savedState) probe(f *reflector) *probe {
	p := f.newProbe()
	p.at, p.knownEpoch = s.header.Revision, epochID{s.header.Cluster, s.header.Epoch}
	for _, w := range s.header.Sentinels {
		if f.replica.kindOf(w.Key) != nil {
			p.sentinels = append(p.sentinels, sentinel{w.Key, w.Revision, w.Sum})
		}
	}
	return p
}

// useCheckpoint makes the checkpoint the replica's state, delivers it to the handlers, and
// decides how to continue. If etcd has other data now, the snapshot has no revision, so
// that a wait for a revision of the new data does not end too early.
func (f *reflector) useCheckpoint(saved *savedState, p *probe) {
	revision := saved.header.Revision
	if startsEpoch(p.reason) {
		revision = 0
	}
	f.replica.program() // reads a file the first time, and so not under the lock
	f.replica.mu.Lock()
	changed := make([]*kind, len(saved.kinds))
	for i, s := range saved.kinds {
		k := s.kind
		changed[i] = k
		k.objects, k.totals = s.objects, s.totals
		k.objects.Scan(func(_ string, e *entry) bool {
			f.replica.mutations.add(k, e)
			return true
		})
		for _, x := range k.indexes {
			x.build(k.objects)
		}
	}
	f.replica.epochID = epochID{saved.header.Cluster, saved.header.Epoch}
	f.replica.catchingUp = true
	start, reason := f.resumption(saved, p, f.replica.unlisted(len(f.replica.kinds)))
	f.replica.status.checkpoint(func(st *CheckpointStatus) { st.Start = start })
	f.restoreUndecodable(saved)
	f.replica.publishChanges(revision, changed...) // from here on the state can be seen
	for _, k := range changed {
		k.deliverInitial()
	}
	f.replica.restoredCheckpoint = &pendingCheckpoint{snapshot: f.replica.Snapshot()}
	f.replica.mu.Unlock()
	f.markEnqueued()

	f.complete, f.budget, f.sentinel = revision, replayBudget{}, sentinel{}
	for _, w := range p.sentinels[:min(1, len(p.sentinels))] {
		f.sentinel = w
	}
	f.relistReason = reason
	log := f.replica.log.V(1)
	if startsEpoch(reason) {
		log = f.replica.log
	}
	log.Info("checkpoint: "+start, "path", f.replica.checkpoint.Path)
	f.replica.reached(revision)
	if f.relistReason == "" {
		f.adoptEpoch(p.epoch)
		f.replica.status.observed(p.asked, p.now, revision)
		f.replica.AfterRevision(p.now, f.replica.finishCatchUp)
	}
}

// restoreUndecodable reports the keys of a checkpoint that did not decode. If the store
// encrypts, it withholds errors that may have decrypted content.
func (f *reflector) restoreUndecodable(saved *savedState) {
	for _, u := range saved.header.Undecodable {
		if k := f.replica.kindOf(string(u.Key)); k != nil {
			reason := errors.New(u.Reason)
			if f.replica.store.Encrypts() && !saved.header.Withheld {
				reason = errors.New("it did not decode before the restart; the error " + withheld)
			}
			f.replica.undecodable(k, string(u.Key), u.Revision, reason)
		}
	}
}

// resumption returns how the replica starts from a checkpoint, and why it must list. The
// reason is empty if the watch can continue from the checkpoint's revision.
func (f *reflector) resumption(saved *savedState, p *probe, missing *kind) (start, reason string) {
	at := saved.header.Revision
	start = fmt.Sprintf("begun at revision %d", at)
	switch program := f.replica.program(); {
	case p.reason != "":
		start, reason = fmt.Sprintf("%s, compared by values: %v", start, p.err), p.reason
	case program == "" || saved.header.Program != program:
		start, reason = start+", compared by values: another program has written it", reasonProgram
	case slices.ContainsFunc(saved.header.Forms, func(form valueForm) bool { return !f.replica.store.Reads(form.Form) }):
		start, reason = start+", compared by values: another store has decoded it", reasonProgram
	case missing != nil:
		start, reason = start+", compared: it lacks the kind "+missing.info.GroupVersionKind.Kind, reasonNewKind
	case p.now-at > replayLimit:
		start, reason = fmt.Sprintf("%s, compared: etcd is at revision %d", start, p.now), reasonBehind
	}
	return start, reason
}

// caughtUp records that the replica has what etcd had when the replica started.
func (r *Replica) finishCatchUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.catchingUp {
		r.catchingUp = false
		r.listed.Notify()
	}
}

// programSum identifies this program by the checksum of its executable file. It is empty
// if the file cannot be read. Another program may decode the same values differently.
func programSum() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // it was only read
	sum := xxhash.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return ""
	}
	return strconv.FormatUint(sum.Sum64(), 16) + "-" + strconv.FormatInt(n, 10)
}
