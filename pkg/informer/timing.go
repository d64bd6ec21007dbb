package informer

import "time"

// replayLimit is how many revisions behind etcd a replica may be and still
// replay them. A watch that is behind gets at most a thousand revisions per
// pass of the server, and each pass scans the whole backlog under a lock that
// writers need; a list costs the same whatever the backlog.
const replayLimit = 1000

// timing is how long a replica waits for what.
type timing struct {
	// retry is the pause after a first failure; it doubles up to retryMax.
	retry, retryMax time.Duration

	// answer bounds the opening of a watch and the reading of a revision. On a
	// connection that has died in silence, etcd's client would try for ever.
	answer time.Duration

	// stall is how long a list may bring nothing.
	stall time.Duration

	// idle is the time between two looks whether the watch tells all that it
	// should. A watch on a store that was wiped, or behind a connection that
	// died in silence, tells nothing by itself.
	idle time.Duration

	// progress is how long somebody who waits for a revision waits for an event
	// to bring it before etcd is asked how far the watch has come. It doubles,
	// up to progressMax, while the answers do not suffice.
	progress, progressMax time.Duration

	// mutation is the time between two looks for changes of shared objects.
	mutation time.Duration
	// candidate is how often it is looked whether the handlers were told what a
	// checkpoint is to have: by so much, at most, one lags behind them.
	candidate time.Duration
}

func defaultTiming() timing {
	return timing{
		retry: 20 * time.Millisecond, retryMax: 10 * time.Second,
		answer: 5 * time.Second, stall: 30 * time.Second, idle: 5 * time.Second,
		progress: 10 * time.Millisecond, progressMax: time.Second,
		mutation: time.Second, candidate: time.Second,
	}
}
