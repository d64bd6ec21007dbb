package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// Options configure a [Store]. The zero value of each field is useful, but
// either Scheme or Kinds must name a type.
type Options struct {
	// Scheme names the Go types that the store holds. Defaults to one that
	// knows none, for a store whose types are all in Kinds. The store reads it
	// in New only, and never changes it.
	Scheme *runtime.Scheme

	// Kinds describes types that the scheme does not know, or whose storage or
	// rules differ from the defaults.
	Kinds []AnyKind

	// Prefix is put before every key. It ends in a slash. Defaults to
	// [DefaultPrefix].
	Prefix string

	// Codec is the form in which values are written. Defaults to [JSON].
	Codec Codec

	// Strict has stored JSON values refused as undecodable that have fields which
	// their type has not, or a field twice. Defaults to ignoring such fields: a
	// value may have been written by a later version of the program.
	Strict bool

	// EncryptionKeys, when there are any, have values encrypted, with the first
	// of them; the others are for reading. To rotate keys, put a new one first
	// and call [Rewrite] for each kind; then the old one can go. Names of
	// objects are not secret: they stand in the etcd keys.
	EncryptionKeys []EncryptionKey

	// Clock stamps creation and deletion. Defaults to the system's.
	Clock clock.PassiveClock

	// Log tells of what is odd but no error. Defaults to discarding.
	Log logr.Logger
}

// Store holds typed objects in etcd. It is safe for concurrent use. A Store
// starts no goroutine and needs no closing; it does not close the client.
type Store struct {
	client *clientv3.Client
	kinds  *kinds
	layout layout
	clock  clock.PassiveClock
	log    logr.Logger

	fences     []Fence
	findFences func(context.Context) ([]Fence, error) // nil without WithFencesFrom
	cache      Cache
}

// New returns a store on an etcd. It does not talk to etcd.
func New(client *clientv3.Client, o Options) (*Store, error) {
	if client == nil {
		return nil, errors.New("store: the etcd client is nil")
	}
	if o.Scheme == nil {
		o.Scheme = runtime.NewScheme()
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	layout, err := newLayout(o.Prefix)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	kinds, err := newKinds(o.Scheme, o.Kinds)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := kinds.setCodec(o, layout); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if len(kinds.byType) == 0 {
		return nil, errors.New("store: no kinds: set Options.Scheme or Options.Kinds")
	}
	return &Store{client: client, kinds: kinds, layout: layout, clock: o.Clock, log: o.Log}, nil
}

// Client returns the etcd client that the store was made with.
func (s *Store) Client() *clientv3.Client { return s.client }

// Prefix returns what all of the store's keys begin with.
func (s *Store) Prefix() string { return s.layout.prefix }

// Cache knows objects as they were at some revision, to spare a write the
// reading of what it replaces. What it says is verified by etcd within the
// write, so it may be arbitrarily stale, but it must never be wrong: an object
// must be exactly what its key held at the object's resourceVersion.
type Cache interface {
	// Cached returns the object under an etcd key, or false. The object is
	// shared and is not changed.
	Cached(etcdKey string) (Object, bool)
}

// WithCache returns a store that asks c before it reads from etcd what a write
// is about to replace. Reads do not use it.
func (s *Store) WithCache(c Cache) *Store {
	d := *s
	d.cache = c
	return &d
}

// Revision asks etcd for its current revision. It is linearizable: every write
// that returned before the call has at most that revision. It asks with a read
// of the key [Store.Prefix]; an etcd user who may read parts of what is below
// alone is better served by [etcd.CurrentRevision].
func (s *Store) Revision(ctx context.Context) (int64, error) {
	return etcd.CurrentRevision(ctx, s.client, etcd.Range{Start: s.layout.prefix})
}
