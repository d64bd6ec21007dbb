package controller

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/homeostat/homeostat/pkg/controller/internal/lease"
	"github.com/homeostat/homeostat/pkg/store"
)

// shardingPrefix begins the keys of shardings. The store's own prefix follows, so that
// no replica's range contains them.
const shardingPrefix = "/homeostat/sharding"

// Sharding spreads the keys of a manager's controllers over all live processes that
// run the manager. See the package's documentation for the guarantees.
//
// A process whose replica has been out of date for twice [ManagerOptions].MaxLag gives up
// its buckets, as a leader gives up its term; see [Leadership].
//
// Use it when one process is too slow for all objects, or its loss should stop only
// a part of the work. Use [Leadership] where the work cannot be split by object.
//
// The keys that coordinate the processes begin with /homeostat/sharding, followed by
// the store's prefix and the name.
type Sharding struct {
	// Name is the name of the program. All processes that give the same name, on
	// stores with the same prefix, share the keys. Required; it must not contain
	// a slash.
	Name string
	// Identity tells people which process it is. Any text will do, and it need not be
	// unique. Defaults to the host's name and a random suffix.
	Identity string
	// Buckets is the number of parts that the keys are divided into. Each bucket
	// belongs to one process at a time. All processes must give the same number;
	// a process waits while others have another number. More buckets spread the keys
	// more evenly, and each costs a small key in etcd. Defaults to 512; at most 65536.
	Buckets int
	// LeaseTime is how long the keys of a process that has crashed or is cut off wait
	// for another process. It is rounded up to seconds, and at most a day. Etcd
	// may grant more, and at least about 2 seconds. Defaults to 10 seconds.
	LeaseTime time.Duration
}

func (o Sharding) withDefaults() (Sharding, error) {
	switch {
	case o.Name == "" || strings.ContainsAny(o.Name, "/\x00"):
		return o, fmt.Errorf("sharding %q: the name must not be empty and must not contain a slash", o.Name)
	case lease.CheckTime(o.LeaseTime) != nil:
		return o, fmt.Errorf("sharding %q: %w", o.Name, lease.CheckTime(o.LeaseTime))
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

// shardKeys names the keys of a sharding.
type shardKeys struct{ prefix string }

// newShardKeys returns keys that are unique to a prefix and a name: the prefix ends in
// a slash, and the name contains none.
func newShardKeys(s *store.Store, name string) shardKeys {
	return shardKeys{shardingPrefix + s.Prefix() + name + "/"}
}

// count is the key that holds the number of buckets.
func (k shardKeys) count() string           { return k.prefix + "count" }
func (k shardKeys) members() string         { return k.prefix + "members/" }
func (k shardKeys) member(id string) string { return k.members() + id }
func (k shardKeys) buckets() string         { return k.prefix + "buckets/" }
func (k shardKeys) bucket(n int) string     { return fmt.Sprintf("%s%05d", k.buckets(), n) }

// bucketIn returns the number in a bucket's key.
func (k shardKeys) bucketIn(key string) (int, bool) {
	rest, ok := strings.CutPrefix(key, k.buckets())
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(rest)
	return n, err == nil && k.bucket(n) == key
}

// ShardingStatus is a manager's part in its sharding; see [Manager.Sharding].
type ShardingStatus struct {
	// Name and Identity are those of [Sharding], with defaults applied.
	Name, Identity string
	// Buckets is the number of buckets.
	Buckets int
	// Members are the identities of the live processes, as the manager last saw them,
	// its own included. They are sorted.
	Members []string
	// Owned is how many buckets this process owns. Of these, Waiting counts buckets
	// that are not reconciled yet, because the replica has not reached what their
	// previous owners wrote. Draining counts buckets that the process hands over as
	// soon as their running reconciles have ended.
	Owned, Waiting, Draining int
	// Ownerless lists the buckets that no process has owned for longer than the lease
	// time. Their keys are not reconciled. It should be empty.
	Ownerless []int
	// Gained, Released and Lost count the buckets that this process has taken, handed
	// over, and lost otherwise.
	Gained, Released, Lost int
	// LastLoss is why the last of the lost buckets was lost.
	LastLoss error
	// Err is why the manager can neither take part nor learn which processes do. It is
	// nil while it can.
	Err error
}

// problem returns why the sharding is not healthy, or nil.
func (s ShardingStatus) problem() error {
	if s.Err != nil {
		return s.Err
	}
	if n := len(s.Ownerless); n > 0 {
		return fmt.Errorf("%d of %d buckets have no owner, the first is %d: their keys are not reconciled", n, s.Buckets, s.Ownerless[0])
	}
	return nil
}

func (s *sharder) report() ShardingStatus {
	view, _ := s.watch.Latest()
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.status
	for key, kv := range view.Keys {
		if id, ok := strings.CutPrefix(key, s.keys.members()); ok && isMember(id, kv) {
			status.Members = append(status.Members, string(kv.Value))
		}
	}
	slices.Sort(status.Members)
	for _, b := range s.owned {
		switch {
		case b.releasedAt != 0 || b.term.over():
			continue
		case b.draining:
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
