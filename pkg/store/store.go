package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/internal/sharedlease"
	"github.com/homeostat/homeostat/pkg/store/internal/group"
)

// Options configure a [Store]. The zero value of each field is useful, but
// either Scheme or Kinds must name a type.
type Options struct {
	// Scheme names the Go types that the store holds. Defaults to an empty
	// scheme, for a store whose types are all in Kinds. Only New reads it, and
	// nothing changes it.
	Scheme *runtime.Scheme

	// Kinds describes types that the scheme does not know, or whose storage or
	// rules differ from the defaults.
	Kinds []AnyKind

	// Prefix is the start of every key. It must end in a slash. Defaults to
	// [DefaultPrefix].
	Prefix string

	// Codec is the encoding of written values. Defaults to [JSON].
	Codec Codec

	// Strict makes a stored JSON value undecodable if it has a field that its
	// type lacks, or a field twice. Defaults to decoding the value without such
	// fields and keeping them in etcd, since a later version of the program may
	// have written them.
	Strict bool

	// EncryptionKeys encrypt values: the store writes with the first key and
	// reads with all of them. To rotate keys, put a new key first, call
	// [Rewrite] for each kind, and then remove the old key. Defaults to no
	// encryption.
	//
	// If the first key is the zero EncryptionKey, the store writes plaintext and
	// reads with the others. Programs in this state can run beside some that do
	// not encrypt yet and some that do already.
	//
	// Encryption hides the content of objects from those who can read etcd, its
	// backups or its traffic. It does not hide etcd keys, which have the names of
	// objects, nor sizes, versions and the times of changes. It does not stop
	// somebody who can write to etcd: they can delete a value, put an older value
	// of the same key back, and, without RefusePlaintext, put a value that is not
	// encrypted in its place.
	//
	// Errors of a store with keys have nothing of the content of a value. They
	// name the etcd key, the revision, the kind of fault and, where it can be
	// found, the path of the field, with [*] in place of a map's key. Errors of
	// validation omit the values of fields; the rest of their text comes from
	// your rules. Replicas and controllers withhold the values of panics. They
	// show the errors of reconcilers as they are, so put no content into those.
	EncryptionKeys []EncryptionKey

	// RefusePlaintext makes a stored value that is not encrypted undecodable.
	// [Rewrite] then reports such a value and does not encrypt it. It requires
	// EncryptionKeys.
	//
	// Set it when a migration to encryption is over: all programs have the keys,
	// Rewrite has encrypted every kind, and no value has a [Form] with an empty
	// EncryptionKey. A replica of package informer counts the forms, in
	// informer.KindStatus.Forms and in the metric objects_by_form. Defaults to
	// reading such values.
	RefusePlaintext bool

	// Ungrouped sends every transaction to etcd at once, in a request of its own.
	// By default, transactions that are committed while requests of the store are under
	// way wait for one of these, and then go in one request, in which each still succeeds
	// or fails by itself. Such a group has one revision, for all of its transactions.
	Ungrouped bool

	// Clock provides the creation and deletion timestamps. Defaults to the
	// system's clock.
	Clock clock.PassiveClock

	// Log receives what is unusual but not an error. Defaults to discarding it.
	Log logr.Logger
}

// Store holds typed objects in etcd. It is safe for concurrent use. It has goroutines
// only while writes wait for etcd, needs no closing, and does not close the client.
type Store struct {
	client *clientv3.Client
	kinds  *kinds
	layout layout
	clock  clock.PassiveClock
	log    logr.Logger

	fences     []Fence
	findFences func(context.Context) ([]Fence, error) // nil without WithFencesFrom
	cache      Cache
	leases     *sharedlease.Leases
	group      *group.Committer // that of the stores made from this one too
}

// New returns a store that uses client. It sends nothing to etcd. It returns an
// error if the options are wrong; the error names the option or the kind.
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
	return &Store{
		client: client, kinds: kinds, layout: layout, clock: o.Clock, log: o.Log,
		leases: sharedlease.New(client, o.Clock),
		group:  group.New(client, group.Options{Off: o.Ungrouped, Log: o.Log}),
	}, nil
}

// Client returns the etcd client that was passed to [New].
func (s *Store) Client() *clientv3.Client { return s.client }

// Collector returns metrics of the store's writes for a Prometheus registry. Stores that
// were made from one another, as by [Store.WithFences], have them in common. A manager of
// package controller registers those of its store.
//
//   - homeostat_store_commit_group_size: transactions in one request to etcd.
//   - homeostat_store_commit_wait_seconds: time that transactions waited for earlier requests.
//   - homeostat_store_commits_waiting: transactions that wait now.
func (s *Store) Collector() prometheus.Collector { return s.group }

// Prefix returns the prefix of all of the store's keys. It ends in a slash.
func (s *Store) Prefix() string { return s.layout.prefix }

// Cache returns objects from memory, so that a write need not read the object that
// it replaces; see [Store.WithCache]. A replica of package informer is a Cache.
//
// A cache may be stale, because etcd verifies the object's revision within the write.
// It must never be wrong: an object must be exactly what its key held at the object's
// resourceVersion. It must not have
// objects whose [Form] has UnknownFields, or whose keys have a lease: a write through it would
// delete those fields, or detach the lease.
type Cache interface {
	// Cached returns the object at an etcd key, or false. The store does not
	// change the object. Cached may be called concurrently.
	Cached(etcdKey string) (Object, bool)
}

// WithCache returns a store whose writes look up the object to replace in c
// before they read it from etcd. Reads do not use the cache. A nil cache is
// none.
func (s *Store) WithCache(c Cache) *Store {
	d := *s
	d.cache = c
	return &d
}

// Revision returns etcd's current revision. It is linearizable: the revision of
// every write that returned before the call is at most the result. It reads the
// key [Store.Prefix]. If the etcd user may read only some ranges below the
// prefix, use [etcd.CurrentRevision] with one of those.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	return etcd.CurrentRevision(ctx, s.client, etcd.Range{Start: s.layout.prefix})
}
