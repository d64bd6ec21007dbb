package store

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// awaitConnection waits until the client is connected, as a request itself
// would. But a write that is cut short here was certainly not sent; of one that
// waited within gRPC nobody could tell.
func (s *Store) awaitConnection(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	conn := s.client.ActiveConnection()
	if conn == nil {
		return nil // not a client with a connection of its own
	}
	for {
		state := conn.GetState()
		switch state {
		case connectivity.Ready:
			return nil
		case connectivity.Shutdown:
			return errors.New("the etcd client is closed")
		}
		conn.Connect()
		if !conn.WaitForStateChange(ctx, state) {
			return fmt.Errorf("no connection to etcd: %w", ctx.Err())
		}
	}
}

// refused reports whether a request that failed was certainly not executed,
// because etcd refused it by name. Whatever kept an answer from arriving says
// nothing.
func refused(err error) bool {
	// etcd measures its space once more when it executes a transaction, and
	// gives this answer for one that it has just executed.
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return false
	}
	// gRPC itself, and proxies, use some of these codes for what befell a
	// connection after etcd had the request.
	var named rpctypes.EtcdError
	if !errors.As(err, &named) {
		return false
	}
	switch etcd.ErrorCode(err) {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented, codes.ResourceExhausted:
		return true
	}
	return false
}

// resolve finds out what became of a transaction whose answer did not arrive,
// or does not say. It is done when the transaction has happened. When it
// certainly has not, and never will, it is to be tried again. One object speaks
// for all: a created one by its uid, a changed one by what came after the
// revision that it was to replace.
func (t *Txn) resolve(ctx context.Context, cause error) (rev int64, done bool, err error) {
	unknown := fmt.Errorf("%s: %w", t.what(), &UnknownOutcomeError{Err: etcd.ExplainError(cause)})
	answered := errors.Is(cause, rpctypes.ErrNoSpace)
	for _, o := range t.ops {
		if o.out.action == keep {
			continue
		}
		resp, err := t.store.client.Get(ctx, o.etcdKey)
		if err != nil {
			return 0, false, unknown
		}
		_, create := o.verb.(createVerb)
		if answered && o.unchanged(resp.Kvs) {
			return 0, false, fmt.Errorf("%s: %w", t.what(), etcd.ExplainError(cause))
		}
		if create {
			if o.wrote(resp.Kvs) {
				return t.finish(resp.Kvs[0].CreateRevision, true), true, nil
			}
			return 0, false, unknown
		}
		successor := o.successor(ctx, t.store.client, resp.Kvs)
		switch {
		case successor == nil:
			continue // another object may tell
		case o.out.action == remove || string(successor.Value) != o.out.value:
			t.forget() // another writer was first: etcd will refuse ours
			return 0, false, nil
		case o.kind.codec.keys != nil: // nobody else can have encrypted it to this
			return t.finish(successor.ModRevision, true), true, nil
		}
	}
	return 0, false, unknown
}

// maxHistory bounds how many later values of a key are looked at to find the one
// that replaced the one that was planned on.
const maxHistory = 32

// successor returns the value that replaced the one that the plan was made on.
// It is this transaction's, if that has happened. It returns nil when there is
// none, since the value is still there or the object was deleted, and when
// history does not reach back that far.
func (o *op) successor(ctx context.Context, client *clientv3.Client, kvs []*mvccpb.KeyValue) *mvccpb.KeyValue {
	for range maxHistory {
		if len(kvs) == 0 || o.unchanged(kvs) {
			return nil
		}
		before, err := client.Get(ctx, o.etcdKey, clientv3.WithRev(kvs[0].ModRevision-1))
		if err != nil || len(before.Kvs) == 0 {
			return nil
		}
		if o.unchanged(before.Kvs) {
			return kvs[0]
		}
		kvs = before.Kvs
	}
	return nil
}

// wrote reports whether a key holds the object that this creation made.
func (o *op) wrote(kvs []*mvccpb.KeyValue) bool {
	if len(kvs) == 0 {
		return false
	}
	there, err := o.kind.decode(o.name, kvs[0].Value, kvs[0].ModRevision)
	return err == nil && there.GetUID() == o.out.result.GetUID()
}

// unchanged reports whether a key is as it was when the plan was made.
func (o *op) unchanged(kvs []*mvccpb.KeyValue) bool {
	if len(kvs) == 0 {
		return o.prior == nil
	}
	return kvs[0].ModRevision == o.priorRev()
}
