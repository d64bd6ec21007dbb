package stream

import (
	"crypto/sha256"
	"encoding/hex"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Position is a point in a stream.
type Position struct {
	// Revision is the last revision that the stream has delivered.
	Revision int64 `json:"revision"`
	// Sentinel is the last change seen, if any. It shows whether etcd is still the
	// same one: the revision alone does not, once a restored etcd has passed it.
	Sentinel *Sentinel `json:"sentinel,omitempty"`
}

// Sentinel is a change that etcd must remember.
type Sentinel struct {
	Key      []byte `json:"key"`
	Revision int64  `json:"revision"`
	Sum      string `json:"sum,omitempty"` // hash of the value; empty for a deletion
}

// after returns the position after events or, without events, after a progress
// notification for a revision.
func (p Position) after(events []*clientv3.Event, revision int64) Position {
	if len(events) == 0 {
		p.Revision = max(p.Revision, revision)
		return p
	}
	last := events[len(events)-1]
	sentinel := &Sentinel{Key: last.Kv.Key, Revision: last.Kv.ModRevision}
	if last.Type == mvccpb.PUT {
		sentinel.Sum = sum(last.Kv)
	}
	return Position{Revision: last.Kv.ModRevision, Sentinel: sentinel}
}

// contradicts reports whether kv, the current state of the key, is impossible after
// the change. kv is nil if the key is gone.
func (s *Sentinel) contradicts(kv *mvccpb.KeyValue) bool {
	switch {
	case s == nil || kv == nil || kv.ModRevision > s.Revision:
		return false
	case kv.ModRevision == s.Revision:
		return s.Sum != sum(kv)
	}
	return true
}

func sum(kv *mvccpb.KeyValue) string {
	s := sha256.Sum256(kv.Value)
	return hex.EncodeToString(s[:8])
}
