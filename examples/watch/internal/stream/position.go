package stream

import (
	"crypto/sha256"
	"encoding/hex"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Position is how far a stream has come.
type Position struct {
	// Revision is the one up to which all has been dealt with.
	Revision int64 `json:"revision"`
	// Witness is the last change that was seen, if any. It tells whether etcd
	// is still the one that was followed: revisions alone do not once they have
	// grown past it again.
	Witness *Witness `json:"witness,omitempty"`
}

// Witness is a change that etcd must remember.
type Witness struct {
	Key      []byte `json:"key"`
	Revision int64  `json:"revision"`
	Sum      string `json:"sum,omitempty"` // of the value; empty for a deletion
}

// after is the position after events, or after news that there are none up to
// a revision.
func (p Position) after(events []*clientv3.Event, revision int64) Position {
	if len(events) == 0 {
		p.Revision = max(p.Revision, revision)
		return p
	}
	last := events[len(events)-1]
	w := &Witness{Key: last.Kv.Key, Revision: last.Kv.ModRevision}
	if last.Type == mvccpb.PUT {
		w.Sum = sum(last.Kv)
	}
	return Position{Revision: last.Kv.ModRevision, Witness: w}
}

// contradicts reports whether what its key has now cannot follow from the
// change; nil is nothing.
func (w *Witness) contradicts(kv *mvccpb.KeyValue) bool {
	switch {
	case w == nil || kv == nil || kv.ModRevision > w.Revision:
		return false
	case kv.ModRevision == w.Revision:
		return w.Sum != sum(kv)
	}
	return true
}

func sum(kv *mvccpb.KeyValue) string {
	s := sha256.Sum256(kv.Value)
	return hex.EncodeToString(s[:8])
}
