package informer

// lag tells when a watch is so far behind that a list gets the replica up to
// date sooner.
type lag struct {
	limit int64 // 0 after a list, until the first watch
}

// resume is told that the next watch does not follow a list at once.
func (l *lag) resume() {
	if l.limit == 0 {
		l.limit = replayLimit
	}
}

// tooFar is told how many revisions a watch is behind. Right after a list it
// never is too far: etcd went on while the list was read, and would while it was
// read again. It must then come nearer, or at least not fall back to twice as
// much.
func (l *lag) tooFar(behind int64) bool {
	if l.limit == 0 {
		l.limit = max(replayLimit, 2*behind)
	}
	if behind <= replayLimit {
		l.limit = replayLimit
	}
	return behind > l.limit
}
