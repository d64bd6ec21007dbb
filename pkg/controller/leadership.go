package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/controller/internal/lease"
	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/store"
)

// leadershipPrefix begins the keys of leaderships. The store's own prefix follows, so
// that no replica's range contains them.
const leadershipPrefix = "/homeostat/leadership"

// Leadership lets a manager's controllers and runnables run in one process at
// a time: the leader, which holds a key of etcd. The leader creates the key with
// a lease. Etcd refuses every write of the controllers once that very key is gone.
// See the package's documentation for the guarantees.
//
// A leader gives up its term if its replica has been out of date for twice
// [ManagerOptions].MaxLag, 30 seconds by default, although it can still renew its lease:
// another process may be able to follow etcd. A process whose replica is that far behind
// does not campaign. The bound is at least 15 seconds. Replicas of other stores
// do not count.
//
// Use it when the work cannot be split by object, or one process is enough. Use
// [Sharding] to spread the work over all processes.
//
// The key is /homeostat/leadership, followed by the store's prefix and the name.
type Leadership struct {
	// Name is the name of the leadership. All processes that give the same name, on
	// stores with the same prefix, compete. Required; it must not contain a slash.
	Name string
	// Identity tells people which process leads. Any text will do, and it need not be
	// unique. Defaults to the host's name and a random suffix.
	Identity string
	// LeaseTime is how long the other processes wait for a leader that has crashed or
	// is cut off. It is rounded up to seconds, and at most a day. Etcd may grant more, and
	// at least about 2 seconds. Defaults to 10 seconds.
	LeaseTime time.Duration
}

func (o Leadership) withDefaults() (Leadership, error) {
	if o.Name == "" || strings.ContainsAny(o.Name, "/\x00") {
		return o, fmt.Errorf("leadership %q: the name must not be empty and must not contain a slash", o.Name)
	}
	if err := lease.CheckTime(o.LeaseTime); err != nil {
		return o, fmt.Errorf("leadership %q: %w", o.Name, err)
	}
	if o.LeaseTime == 0 {
		o.LeaseTime = 10 * time.Second
	}
	o.Identity = identityOr(o.Identity)
	return o, nil
}

func identityOr(given string) string {
	if given != "" {
		return given
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "-" + uuid.NewString()[:8]
}

// leadershipKey is unique to a prefix and a name: the prefix ends in a slash, and the
// name contains none.
func leadershipKey(s *store.Store, name string) string { return leadershipPrefix + s.Prefix() + name }

// Leader is the holder of a leadership; see [Leaders] and [LeadershipStatus]. The zero
// value means that nobody holds it.
type Leader struct {
	// Identity is the leader's [Leadership].Identity.
	Identity string
	// Since is when the leader's term began, by the leader's clock.
	Since time.Time
	// Revision is etcd's revision at which the term began. It is the token that fences
	// the leader's writes. Each term has a higher one, unless etcd was wiped or
	// restored.
	Revision int64
}

// LeadershipStatus is a manager's part in its leadership; see [Manager.Leadership].
type LeadershipStatus struct {
	// Name and Identity are those of [Leadership], with defaults applied.
	Name, Identity string
	// Leading reports whether the manager holds the leadership, as far as it knows. It
	// turns false as soon as the manager learns that it does not, even if reconciles
	// of the term are still running.
	Leading bool
	// Leader is the current leader, as far as the manager knows.
	Leader Leader
	// Terms counts the terms that the manager has won. Lost counts those that ended
	// while the manager wanted to go on.
	Terms, Lost int
	// LastLoss is why the last of the lost terms ended.
	LastLoss error
	// Err is why the manager can neither campaign nor learn which process leads. It is
	// nil while it can.
	Err error
}

// Leaders yields the current leader, and then the leader after each change, until ctx
// is done. name is that of a [Leadership] of managers on stores with the prefix of s.
// Use Leaders in programs that do not take part, such as one that finds the leader's
// address. A manager that takes part has [Manager.Leadership].
//
// While etcd does not answer, Leaders yields the last known leader with an error that
// says why, and goes on. It may miss leaders that came and went within such
// a disturbance.
func Leaders(ctx context.Context, s *store.Store, name string) iter.Seq2[Leader, error] {
	return func(yield func(Leader, error) bool) {
		key := leadershipKey(s, name)
		watch := lease.NewKeyWatch(s.Client(), clock.RealClock{}, etcd.KeyRange(key))
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { defer close(ended); watch.Run(ctx) }()
		defer func() { cancel(); <-ended }()
		var last Leader
		var lastErr error
		for first := true; ; {
			view, changed := watch.Latest()
			leader := leaderIn(view, key)
			known := view.Revision > 0 || view.Err != nil
			if known && (first || leader != last || !sameError(view.Err, lastErr)) {
				first, last, lastErr = false, leader, view.Err
				if !yield(leader, view.Err) {
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

func sameError(a, b error) bool {
	return errors.Is(a, b) || a != nil && b != nil && a.Error() == b.Error()
}

// leaderValue is the value of a leadership's key.
type leaderValue struct {
	Identity string    `json:"identity"`
	Since    time.Time `json:"since"`
}

func leaderIn(view lease.View, key string) Leader {
	kv := view.Keys[key]
	if kv == nil {
		return Leader{}
	}
	var v leaderValue
	if err := json.Unmarshal(kv.Value, &v); err != nil {
		v = leaderValue{Identity: string(kv.Value)} // somebody put it by hand
	}
	return Leader{Identity: v.Identity, Since: v.Since, Revision: kv.CreateRevision}
}
