package store

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
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
	code := status.Code(err)
	var coded interface{ Code() codes.Code }
	if errors.As(err, &coded) {
		code = coded.Code()
	}
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented, codes.ResourceExhausted:
		return true
	}
	return false
}

// resolve finds out what became of a transaction whose answer did not arrive,
// or does not say. One object speaks for all. A created object is known by its
// uid, which nobody else can have written. One that is as it was tells that
// nothing was written, but only if etcd has answered: otherwise the request may
// still be on its way. Anything else may also be another writer's doing, so that
// it stays unknown.
func (t *Txn) resolve(ctx context.Context, cause error) (int64, error) {
	unknown := fmt.Errorf("%s: %w", t.what(), &UnknownOutcomeError{Err: explain(cause)})
	answered := errors.Is(cause, rpctypes.ErrNoSpace)
	for _, o := range t.ops {
		_, create := o.verb.(createVerb)
		if o.out.action == keep || !create && !answered {
			continue
		}
		resp, err := t.store.client.Get(ctx, o.etcdKey)
		switch {
		case err != nil:
			return 0, unknown
		case create && o.wrote(resp.Kvs):
			return t.finish(resp.Kvs[0].CreateRevision, true), nil
		case answered && o.unchanged(resp.Kvs):
			return 0, fmt.Errorf("%s: %w", t.what(), explain(cause))
		}
		return 0, unknown
	}
	return 0, unknown
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
