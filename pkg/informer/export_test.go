package informer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Hasten has a replica notice faults and try again sooner than it would.
func Hasten(r *Replica) *Replica {
	r.timing = timing{
		retry: 5 * time.Millisecond, retryMax: 100 * time.Millisecond,
		answer: time.Second, stall: 2 * time.Second, idle: 100 * time.Millisecond,
		progress: 2 * time.Millisecond, progressMax: 50 * time.Millisecond,
		mutation: time.Second, checkpointPoll: 5 * time.Millisecond,
	}
	r.smallList = 0
	return r
}

// ReplayLimit is how far a replica may be behind before it lists.
const ReplayLimit = replayLimit

// BacklogLimit is where changes of one object begin to be joined.
const BacklogLimit = backlogLimit

// PendingBytesMin is how many bytes of changes may wait to be applied, at least.
const PendingBytesMin = pendingBytesMin

// Await has a replica wait longer for etcd's answers than Hasten does.
func Await(r *Replica, answer time.Duration) { r.timing.answer = answer }

// Waiting is how many wait for a revision.
func Waiting(r *Replica) int {
	r.waiters.mu.Lock()
	defer r.waiters.mu.Unlock()
	return len(r.waiters.waiting)
}

// Running reports whether Run has begun.
func Running(r *Replica) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running
}

// Uncheck keeps a replica from asking etcd, now and then, whether all is well.
func Uncheck(r *Replica) { r.timing.idle = time.Hour }

// SetProgram has a replica take itself for another program.
func SetProgram(r *Replica, program string) { r.program = func() string { return program } }

// OfVersion returns what makes a checkpoint one of another version.
func OfVersion(v int) func([]byte) []byte {
	return func(file []byte) []byte {
		_, rest, _ := bytes.Cut(file, []byte("\n"))
		return append(fmt.Appendf(nil, "%s%d\n", checkpointMagic, v), rest...)
	}
}

// SavedRevision is the revision of a checkpoint; 0 when there is no file.
func SavedRevision(path string) (int64, error) {
	s, err := readCheckpointFile(context.Background(), path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return s.header.Revision, nil
}
