package store

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// commit plans every write on what its key is believed to hold and has etcd
// verify that belief and execute the plan in one transaction. When the belief
// was wrong, etcd's answer carries the truth, and the plan is made anew: either
// a rule now says no, or the next attempt may succeed.
func (t *Txn) commit(ctx context.Context) (int64, error) {
	if t.err != nil {
		return 0, t.err
	}
	if len(t.ops) == 0 {
		return 0, nil
	}
	for {
		if err := t.readPriors(ctx); err != nil {
			return 0, err
		}
		again, err := t.plan()
		if err != nil {
			return 0, err
		}
		if again {
			continue
		}
		rev, done, err := t.try(ctx)
		if done || err != nil {
			return rev, err
		}
	}
}

// plan applies the rules to every write. It asks for another round of reading
// where a rule said no on the word of a cache.
func (t *Txn) plan() (again bool, err error) {
	for _, o := range t.ops {
		o.out, err = o.verb.plan(t.store, o, o.prior)
		switch {
		case err == nil:
		case o.prior != nil && o.prior.cached:
			o.known, o.fresh, again = false, true, true
		default:
			return false, o.wrap(err)
		}
	}
	return again, t.checkLimits()
}

// readPriors finds out what the keys hold about which nothing is known yet.
func (t *Txn) readPriors(ctx context.Context) error {
	var unknown []*op
	var gets []clientv3.Op
	for _, o := range t.ops {
		if !o.known && !t.fromCache(o) {
			unknown, gets = append(unknown, o), append(gets, clientv3.OpGet(o.etcdKey))
		}
	}
	if len(gets) == 0 {
		return nil
	}
	if len(gets) > MaxTxnOps {
		return t.tooMany(len(gets))
	}
	resp, err := t.store.client.Txn(ctx).Then(gets...).Commit()
	if err != nil {
		return fmt.Errorf("%s: read what is there: %w", t.what(), explain(err))
	}
	t.seen = resp.Header.Revision
	for i, o := range unknown {
		if err := o.learnFrom(resp.Responses[i].GetResponseRange().Kvs); err != nil {
			return err
		}
	}
	return nil
}

// fromCache takes what a key holds from the store's cache, the first time and
// where the cache has the very revision that the caller saw.
func (t *Txn) fromCache(o *op) bool {
	if t.store.cache == nil || o.fresh {
		return false
	}
	obj, ok := t.store.cache.Cached(o.etcdKey)
	if !ok {
		return false
	}
	rev, err := ParseRevision(obj.GetResourceVersion())
	if err != nil || rev == 0 || (o.rev != 0 && o.rev != rev) {
		return false
	}
	o.learn(&stored{obj: obj, rev: rev, cached: true})
	return true
}

func (o *op) learnFrom(kvs []*mvccpb.KeyValue) error {
	if len(kvs) == 0 {
		o.learn(nil)
		return nil
	}
	kv := kvs[0]
	p := &stored{value: kv.Value, rev: kv.ModRevision}
	o.learn(p)
	if !o.needsObject() {
		return nil
	}
	obj, err := o.kind.decode(o.name, kv.Value, kv.ModRevision)
	if err != nil {
		undecodable := &UndecodableError{}
		undecodable.add(o.etcdKey, err)
		return o.wrap(undecodable)
	}
	p.obj = obj
	return nil
}

// try sends the transaction. It is done when etcd has executed it; otherwise
// the priors are now what etcd says they are.
func (t *Txn) try(ctx context.Context) (rev int64, done bool, err error) {
	conds, then, orElse := t.requests()
	resp, err := t.store.client.Txn(ctx).If(conds...).Then(then...).Else(orElse...).Commit()
	if err != nil {
		if len(then) == 0 || !ambiguous(err) {
			return 0, false, fmt.Errorf("%s: %w", t.what(), explain(err))
		}
		return t.resolve(ctx, err)
	}
	t.seen = resp.Header.Revision
	if resp.Succeeded {
		return t.finish(resp.Header.Revision, len(then) > 0), true, nil
	}
	for i, f := range t.store.fences {
		if err := f.check(resp.Responses[i].GetResponseRange().Kvs); err != nil {
			return 0, false, fmt.Errorf("%s: %w", t.what(), err)
		}
	}
	for i, o := range t.ops {
		if err := o.learnFrom(resp.Responses[len(t.store.fences)+i].GetResponseRange().Kvs); err != nil {
			return 0, false, err
		}
	}
	return 0, false, ctx.Err()
}

func (t *Txn) requests() (conds []clientv3.Cmp, then, orElse []clientv3.Op) {
	for _, f := range t.store.fences {
		conds = append(conds, f.compare())
		orElse = append(orElse, clientv3.OpGet(f.Key, clientv3.WithKeysOnly()))
	}
	for _, o := range t.ops {
		conds = append(conds, o.compare())
		orElse = append(orElse, clientv3.OpGet(o.etcdKey))
		if req, ok := o.request(); ok {
			then = append(then, req)
		}
	}
	return conds, then, orElse
}

func (f Fence) check(kvs []*mvccpb.KeyValue) error {
	if len(kvs) == 0 {
		return &FencedError{Fence: f}
	}
	if found := kvs[0].CreateRevision; found != f.CreateRevision {
		return &FencedError{Fence: f, Found: found}
	}
	return nil
}

func (t *Txn) finish(revision int64, wrote bool) int64 {
	newest := int64(0)
	for _, o := range t.ops {
		o.finish(revision)
		if o.prior != nil {
			newest = max(newest, o.prior.rev)
		}
	}
	if wrote {
		return revision
	}
	return newest
}

func (t *Txn) checkLimits() error {
	if n := len(t.ops) + len(t.store.fences); n > MaxTxnOps {
		return t.tooMany(n)
	}
	size := 0
	for _, o := range t.ops {
		const overhead = 64 // of the messages around a key and its value
		size += 2*len(o.etcdKey) + len(o.out.value) + overhead
	}
	if size > MaxRequestBytes {
		err := apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"%d bytes encoded, etcd takes %d in one request: make the object smaller, or the transaction", size, MaxRequestBytes))
		return fmt.Errorf("%s: %w", t.what(), err)
	}
	return nil
}

func (t *Txn) tooMany(n int) error {
	err := apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
		"%d objects and fences, etcd takes %d in one transaction: split it", n, MaxTxnOps))
	return fmt.Errorf("%s: %w", t.what(), err)
}

// what names the transaction in errors.
func (t *Txn) what() string {
	first := t.ops[0]
	if len(t.ops) == 1 {
		return fmt.Sprintf("%s %s", first.verb, first.etcdKey)
	}
	return fmt.Sprintf("transaction of %d objects (%s %s, ...)", len(t.ops), first.verb, first.etcdKey)
}

// ambiguous reports whether etcd may have executed a request that failed. What
// etcd refuses by name it has not executed; whatever kept an answer from
// arriving says nothing.
func ambiguous(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	code := codes.Unknown
	var coded interface{ Code() codes.Code }
	if errors.As(err, &coded) {
		code = coded.Code()
	} else if s, ok := status.FromError(err); ok {
		code = s.Code()
	}
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented, codes.ResourceExhausted:
		return false
	}
	return true
}

// resolve finds out what became of a transaction whose answer did not arrive. A
// created object is known by its uid, which nobody else can have written, and
// one such object speaks for the whole transaction. Anything else may also be
// another writer's doing, so that it stays unknown.
func (t *Txn) resolve(ctx context.Context, cause error) (rev int64, done bool, err error) {
	unknown := fmt.Errorf("%s: %w", t.what(), &UnknownOutcomeError{Err: cause})
	for _, o := range t.ops {
		if _, create := o.verb.(createVerb); !create {
			continue
		}
		resp, err := t.store.client.Get(ctx, o.etcdKey)
		if err != nil || len(resp.Kvs) == 0 {
			return 0, false, unknown
		}
		there, err := o.kind.decode(o.name, resp.Kvs[0].Value, resp.Kvs[0].ModRevision)
		if err == nil && there.GetUID() == o.out.result.GetUID() {
			return t.finish(resp.Kvs[0].CreateRevision, true), true, nil
		}
		return 0, false, unknown
	}
	return 0, false, unknown
}
