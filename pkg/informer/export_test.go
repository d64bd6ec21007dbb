package informer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Hasten makes a replica notice faults and retry sooner.
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

// BacklogLimit is the length of a backlog above which changes of one object are
// joined.
const BacklogLimit = backlogLimit

// PendingBytesMin is the smallest limit of the bytes of changes that wait to be
// applied.
const PendingBytesMin = pendingBytesMin

// Await makes a replica wait longer for etcd's answers than Hasten does.
func Await(r *Replica, answer time.Duration) { r.timing.answer = answer }

// Waiting returns the number of waits for a revision.
func Waiting(r *Replica) int {
	r.waiters.mu.Lock()
	defer r.waiters.mu.Unlock()
	return len(r.waiters.waiting)
}

// Running reports whether Run runs.
func Running(r *Replica) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running
}

// Enqueued returns the revision up to which all handlers' backlogs have the changes.
func Enqueued(r *Replica) int64 {
	if s := r.enqueued.Load(); s != nil {
		return s.revision
	}
	return 0
}

// Delivering reports whether a handler has changes from which it has not returned.
func Delivering(r *Replica) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if Enqueued(r) < r.Snapshot().revision {
		return true
	}
	for _, k := range r.kinds {
		for _, q := range k.handlers {
			if q.pending() > 0 || !q.returned() {
				return true
			}
		}
	}
	return false
}

func (q *handlerQueue) returned() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.synced && !q.delivering
}

// Uncheck switches off the periodic check of a replica.
func Uncheck(r *Replica) { r.timing.idle = time.Hour }

// SetProgram makes a replica take itself for that of another program.
func SetProgram(r *Replica, program string) { r.program = func() string { return program } }

// OfVersion returns a function that changes the version of a checkpoint.
func OfVersion(v int) func([]byte) []byte {
	return func(file []byte) []byte {
		_, rest, _ := bytes.Cut(file, []byte("\n"))
		return append(fmt.Appendf(nil, "%s%d\n", checkpointMagic, v), rest...)
	}
}

// SavedRevision returns the revision of a checkpoint, or 0 if there is no file.
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

// LogUndecodable logs what is due about undecodable values, and reports whether there
// are any.
func LogUndecodable(r *Replica) bool { return r.logUndecodable() }
