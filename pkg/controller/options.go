package controller

import "time"

// Options configure a controller. The zero value is useful.
type Options struct {
	// Workers is how many keys are reconciled at once. Defaults to 1.
	Workers int
	// Timeout bounds one reconcile: its context has a deadline, by the system's
	// clock as all contexts' deadlines. Defaults to none.
	Timeout time.Duration
	// EveryProcess has the controller run whoever leads, and reconcile all keys,
	// where the manager has a [Leadership] or a [Sharding]. Its writes carry no
	// fence.
	EveryProcess bool
	// BackoffBase is the pause after a key's first failure; it doubles with
	// each further one up to BackoffMax. They default to 5 ms and 5 minutes.
	BackoffBase, BackoffMax time.Duration
}

func (o Options) withDefaults() Options {
	if o.Workers <= 0 {
		o.Workers = 1
	}
	if o.BackoffBase <= 0 {
		o.BackoffBase = 5 * time.Millisecond
	}
	if o.BackoffMax <= 0 {
		o.BackoffMax = 5 * time.Minute
	}
	return o
}
