package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/homeostat/homeostat/pkg/store"
)

// shardingPrefix stands before the store's own prefix in the keys of shardings,
// so that no replica's range has them.
const shardingPrefix = "/homeostat/sharding"

// Sharding has the keys of a manager's controllers spread over all live processes
// that run it. See the package's documentation.
//
// Its keys of etcd's begin with /homeostat/sharding, then the store's prefix, then
// the name.
type Sharding struct {
	// Name is that of the program. All processes that give the same, on stores
	// with the same prefix, share the keys.
	Name string
	// Identity says which process it is, to people. It may be anything, and need
	// not be unlike that of others. Defaults to the host's name and a random
	// suffix.
	Identity string
	// Buckets is into how many parts the keys are divided, each of which is one
	// process's at a time. It must be the same in all processes; while others
	// have another number, a process waits. More are shared out more evenly, and
	// cost a small key of etcd's each. Defaults to 512.
	Buckets int
	// LeaseTime is how long the keys of a process that has crashed or is cut off
	// wait for another. It is rounded up to seconds; etcd may grant more, and has
	// some 2 seconds as its least. Defaults to 10 seconds.
	LeaseTime time.Duration
}

func (o Sharding) withDefaults() (Sharding, error) {
	switch {
	case o.Name == "" || strings.ContainsAny(o.Name, "/\x00"):
		return o, fmt.Errorf("sharding %q: a name is needed, without slashes", o.Name)
	case o.LeaseTime < 0:
		return o, fmt.Errorf("sharding %q: lease time %s: must not be negative", o.Name, o.LeaseTime)
	case o.Buckets < 0 || o.Buckets > 1<<16:
		return o, fmt.Errorf("sharding %q: %d buckets: must be between 1 and %d", o.Name, o.Buckets, 1<<16)
	}
	if o.LeaseTime == 0 {
		o.LeaseTime = 10 * time.Second
	}
	if o.Buckets == 0 {
		o.Buckets = 512
	}
	o.Identity = identityOr(o.Identity)
	return o, nil
}

// shardKeys are the keys of a sharding.
type shardKeys struct{ prefix string }

func newShardKeys(s *store.Store, name string) shardKeys {
	return shardKeys{shardingPrefix + "/" + strings.TrimPrefix(s.Prefix(), "/") + name + "/"}
}

// count has the number of buckets.
func (k shardKeys) count() string           { return k.prefix + "count" }
func (k shardKeys) members() string         { return k.prefix + "members/" }
func (k shardKeys) member(id string) string { return k.members() + id }
func (k shardKeys) buckets() string         { return k.prefix + "buckets/" }
func (k shardKeys) bucket(n int) string     { return fmt.Sprintf("%s%05d", k.buckets(), n) }

// ShardingStatus is how a manager stands with regard to its sharding.
type ShardingStatus struct {
	Name, Identity string
	// Buckets is how many there are.
	Buckets int
	// Members are the identities of the live processes, as the manager last saw
	// them, itself included.
	Members []string
	// Owned is how many buckets are this process's. Those of them whose keys it
	// does not reconcile yet, since its replica has yet to reach what was written
	// before, are Waiting; those that it is handing over, when the reconciles
	// that are under way have ended, are Draining.
	Owned, Waiting, Draining int
	// Ownerless are the buckets that have been nobody's for longer than the lease
	// time: their keys are not reconciled. That should never last.
	Ownerless []int
	// Gained, Released and Lost count how many times buckets were taken, handed
	// over, and lost otherwise.
	Gained, Released, Lost int
	// LastLoss is why the last of those was.
	LastLoss error
	// Err is why the manager can neither take part nor see who does. It is nil
	// while it can.
	Err error
}

// Sharding returns how the manager stands with regard to its sharding: the zero
// value when it has none.
func (m *Manager) Sharding() ShardingStatus {
	if m.shards == nil {
		return ShardingStatus{}
	}
	return m.shards.report()
}

func (s *shards) report() ShardingStatus {
	view, _ := s.watch.Latest()
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.status
	for key, kv := range view.Keys {
		if strings.HasPrefix(key, s.keys.members()) {
			status.Members = append(status.Members, string(kv.Value))
		}
	}
	slices.Sort(status.Members)
	for _, b := range s.owned {
		switch {
		case b.gone != 0 || b.term.lost():
			continue
		case b.leaving:
			status.Draining++
		case !b.ready:
			status.Waiting++
		}
		status.Owned++
	}
	for n, since := range s.ownerless {
		if s.clock.Since(since) > s.options.LeaseTime {
			status.Ownerless = append(status.Ownerless, n)
		}
	}
	slices.Sort(status.Ownerless)
	if status.Err == nil {
		status.Err = view.Err
	}
	return status
}
