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
	"github.com/homeostat/homeostat/pkg/store"
)

// leadershipPrefix stands before the store's own prefix in the keys of
// leaderships, so that no replica's range has them.
const leadershipPrefix = "/homeostat/leadership"

// Leadership has a manager's controllers and runnables run in one process at a
// time: that which holds a key of etcd's. The key is created with a lease, in a
// transaction, and every write that the controllers make is refused by etcd once
// that very key is gone. See the package's documentation.
//
// The key is /homeostat/leadership, then the store's prefix, then the name.
type Leadership struct {
	// Name is that of the leadership. All processes that give the same, on
	// stores with the same prefix, compete.
	Name string
	// Identity says who leads, to people. It may be anything, and need not be
	// unlike that of others. Defaults to the host's name and a random suffix.
	Identity string
	// LeaseTime is how long the others wait for a leader that has crashed or is
	// cut off. It is rounded up to seconds; etcd may grant more, and has some 2
	// seconds as its least. Defaults to 10 seconds.
	LeaseTime time.Duration
}

func (o Leadership) withDefaults() (Leadership, error) {
	if o.Name == "" || strings.ContainsAny(o.Name, "/\x00") {
		return o, fmt.Errorf("leadership %q: a name is needed, without slashes", o.Name)
	}
	if o.LeaseTime < 0 {
		return o, fmt.Errorf("leadership %q: lease time %s: must not be negative", o.Name, o.LeaseTime)
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

func leadershipKey(s *store.Store, name string) string {
	return leadershipPrefix + "/" + strings.TrimPrefix(s.Prefix(), "/") + name
}

// Leader is who holds a leadership. The zero value is nobody.
type Leader struct {
	// Identity is what the leader calls itself.
	Identity string
	// Since is when its term began, by its own clock.
	Since time.Time
	// Revision is that of etcd at which its term began: the token that fences
	// its writes. Each term has a higher one, unless etcd itself went back.
	Revision int64
}

// LeadershipStatus is how a manager stands with regard to its leadership.
type LeadershipStatus struct {
	Name, Identity string
	// Leading says that the manager holds the leadership, as far as it knows. It
	// is false as soon as the manager knows better, even while its reconciles
	// still end.
	Leading bool
	// Leader is who does, as the manager last saw it.
	Leader Leader
	// Terms is how many times the manager has won, and Lost how many of them
	// ended otherwise than by its stop.
	Terms, Lost int
	// LastLoss is why the last of those was.
	LastLoss error
	// Err is why the manager can neither campaign nor see who leads. It is nil
	// while it can.
	Err error
}

// Leadership returns how the manager stands with regard to its leadership: the
// zero value when it has none.
func (m *Manager) Leadership() LeadershipStatus {
	if m.election == nil {
		return LeadershipStatus{}
	}
	m.election.mu.Lock()
	status := m.election.status
	status.Leading = m.election.term != nil && !m.election.term.lost()
	m.election.mu.Unlock()
	view, _ := m.election.watch.Latest()
	status.Leader = leaderIn(view, m.election.key)
	if status.Err == nil {
		status.Err = view.Err
	}
	return status
}

// FencingToken returns the revision of etcd that fences the writes of a context,
// which is that of a reconcile or a runnable under leadership, or comes from it:
// the one at which the term began under which it was begun. It is for what is
// written elsewhere than in etcd, to something that can refuse a lower token
// than it has seen. It is false for other contexts.
func (m *Manager) FencingToken(ctx context.Context) (int64, bool) {
	a, ok := ctx.Value(authorityKey{m}).(authority)
	if !ok || a.term == nil {
		return 0, false
	}
	return a.term.fence.CreateRevision, true
}

// FencedWrites returns how many writes of the manager's etcd has refused because
// they were late: the term under which they were made was over.
func (m *Manager) FencedWrites() uint64 { return m.fencedWrites.Load() }

// Leaders yields who holds the leadership of a name, on stores with the prefix
// of s, and then each change, until ctx is done; nobody is the zero Leader.
// Leaders that came and went within a disturbance may be missed. While etcd
// cannot be asked it yields the last that was known, with an error that says
// why, and goes on.
func Leaders(ctx context.Context, s *store.Store, name string) iter.Seq2[Leader, error] {
	return func(yield func(Leader, error) bool) {
		key := leadershipKey(s, name)
		watch := lease.NewKeyWatch(s.Client(), clock.RealClock{}, store.Range{Start: key, End: key + "\x00"})
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { defer close(ended); watch.Run(ctx) }()
		defer func() { cancel(); <-ended }()
		var told Leader
		var toldErr error
		for first := true; ; {
			view, changed := watch.Latest()
			now := leaderIn(view, key)
			known := view.Revision > 0 || view.Err != nil
			if known && (first || now != told || !sameError(view.Err, toldErr)) {
				first, told, toldErr = false, now, view.Err
				if !yield(now, view.Err) {
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
