package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/store/internal/group"
)

// commit plans each write for the state that its key is assumed to have. One etcd
// transaction verifies these assumptions and executes the plan. If an assumption is
// wrong, etcd's answer has the actual state. commit then plans again for that state:
// either a rule refuses the write, or the next attempt may succeed.
func (t *Txn) commit(ctx context.Context) (rev int64, err error) {
	if t.err != nil {
		return 0, t.err
	}
	if len(t.ops) == 0 && len(t.ranges) == 0 {
		return 0, nil
	}
	ctx, end := t.startSpan(ctx)
	defer func() { end(rev, err) }()
	fences, err := t.store.fencesFor(ctx)
	if err != nil {
		return 0, fmt.Errorf("%s: not sent: %w", t.what(), err)
	}
	t.fences = fences
	if err := t.checkCount(); err != nil {
		return 0, err
	}
	var others contention
	for {
		others.attempt()
		rev, done, err := t.attempt(ctx)
		if done || err != nil {
			return rev, err
		}
		if others.wait(ctx) {
			t.forget()
		}
	}
}

// attempt plans and sends the transaction once. done reports whether etcd executed it.
func (t *Txn) attempt(ctx context.Context) (rev int64, done bool, err error) {
	for again := true; again; {
		if err := t.readPriors(ctx); err != nil {
			return 0, false, err
		}
		if again, err = t.plan(); err != nil {
			return 0, false, err
		}
		if again {
			continue
		}
		if err := t.reviewAll(ctx); err != nil && !t.distrustCache() {
			return 0, false, err
		} else if err != nil {
			again = true
		}
	}
	if !t.dryRun {
		if err := t.grantLeases(ctx); err != nil {
			return 0, false, err
		}
	}
	return t.try(ctx)
}

// forget discards all priors, so that the next attempt reads them from etcd.
func (t *Txn) forget() {
	for _, o := range t.ops {
		o.known, o.fresh = false, true
	}
}

// plan applies the rules to every write. If a rule refuses a write because of an object
// from the cache, plan forgets that object and returns again: the caller must read it
// from etcd and plan once more.
func (t *Txn) plan() (again bool, err error) {
	for _, o := range t.ops {
		switch err := t.planOne(o); {
		case err == nil:
		case o.prior != nil && o.prior.cached:
			o.known, o.fresh, again = false, true, true
		default:
			return false, o.wrap(err)
		}
	}
	if again {
		return true, nil
	}
	if err := t.checkSize(); err == nil || !t.distrustCache() {
		return false, err
	}
	return true, nil // the stored objects may be smaller than the cached ones
}

// distrustCache discards the priors that came from the cache, so that they are read
// from etcd. It reports whether there were any.
func (t *Txn) distrustCache() (any bool) {
	for _, o := range t.ops {
		if o.needsObject() && o.prior != nil && o.prior.cached {
			o.known, o.fresh, any = false, true, true
		}
	}
	return any
}

func (t *Txn) planOne(o *op) (err error) {
	o.effect, err = o.verb.plan(t.store, o, o.prior)
	for err == nil && t.hasTwin(o) {
		o.etcdKey = "" // the verb then generates another name
		o.effect, err = o.verb.plan(t.store, o, o.prior)
	}
	if err == nil {
		err = o.convertResult()
	}
	return err
}

// hasTwin reports whether another object of the transaction has the name that was
// generated for o. etcd accepts each key only once in a transaction.
func (t *Txn) hasTwin(o *op) bool {
	if o.generated == 0 {
		return false
	}
	return slices.ContainsFunc(t.ops, func(other *op) bool { return other != o && other.etcdKey == o.etcdKey })
}

// readPriors gets the missing priors from the cache or from etcd.
func (t *Txn) readPriors(ctx context.Context) error {
	var unknown []*op
	var gets []clientv3.Op
	for _, o := range t.ops {
		if !o.known && !t.fromCache(o) {
			unknown, gets = append(unknown, o), append(gets, o.read())
		}
	}
	if len(gets) == 0 {
		return nil
	}
	resp, err := etcd.ReadTxn(ctx, t.store.client, gets)
	if err != nil {
		return fmt.Errorf("%s: read the current state: %w", t.what(), err)
	}
	t.seen = resp.Header.Revision
	for i, o := range unknown {
		if err := o.learnFrom(resp.Responses[i].GetResponseRange().Kvs); err != nil {
			return err
		}
	}
	return nil
}

// fromCache sets the prior to the store's cached object, and reports whether it did. It
// does so only once for each operation, and only if the cached revision is the one that
// the caller's object has, if it has one.
func (t *Txn) fromCache(o *op) bool {
	if t.store.cache == nil || o.fresh {
		return false
	}
	obj, ok := t.store.cache.Cached(o.etcdKey)
	if !ok {
		return false
	}
	rev, err := ParseRevision(obj.GetResourceVersion())
	if reflect.TypeOf(obj).Elem() != o.kind.goType {
		return false // another version
	}
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
	p := newStored(Decoded{}, kv)
	o.learn(p)
	if !o.needsObject() {
		return nil
	}
	d, err := o.kind.decode(o.name, kv.Value, kv.ModRevision)
	if err != nil && o.deletesValue(kv.ModRevision) {
		return nil
	}
	if err != nil {
		undecodable := &UndecodableError{}
		undecodable.add(o.etcdKey, kv.ModRevision, err)
		return o.wrap(undecodable)
	}
	p.obj, p.form = d.Object, d.Form
	return nil
}

// try sends the transaction. done reports whether etcd executed it. If etcd did not,
// and err is nil, the priors now have the state from etcd's answer.
func (t *Txn) try(ctx context.Context) (rev int64, done bool, err error) {
	request := t.request()
	answer, err := t.store.group.Commit(ctx, request)
	var notSent *group.NotSentError
	if errors.As(err, &notSent) {
		return 0, false, fmt.Errorf("%s: %w", t.what(), err)
	}
	if errors.Is(err, rpctypes.ErrLeaseNotFound) { // it expired, and nothing was written
		t.store.leases.Forget()
		t.forget()
		return 0, false, nil
	}
	if err != nil {
		if len(request.Then) == 0 || etcd.Refused(err) {
			return 0, false, fmt.Errorf("%s: %w", t.what(), etcd.ExplainError(err))
		}
		return t.resolve(ctx, err)
	}
	t.groupSize, t.seen = answer.Size, answer.Response.Header.Revision
	if answer.Response.Succeeded {
		return t.finish(t.seen, len(request.Then) > 0), true, nil
	}
	return 0, false, t.learn(answer.Response.Responses)
}

// learn sets the priors from etcd's answer to a transaction whose conditions did not
// all hold. The responses have the order of [Txn.request]. learn returns an error if
// no further attempt can succeed, such as for a fence that is gone.
func (t *Txn) learn(responses []*etcdserverpb.ResponseOp) error {
	kvs := make([][]*mvccpb.KeyValue, len(responses))
	for i, r := range responses {
		kvs[i] = r.GetResponseRange().Kvs
	}
	for i, f := range t.fences {
		if err := f.check(kvs[i]); err != nil {
			return fmt.Errorf("%s: %w", t.what(), err)
		}
	}
	kvs = kvs[len(t.fences):]
	for i, r := range t.ranges {
		if err := r.check(kvs[i]); err != nil {
			return fmt.Errorf("%s: %w", t.what(), err)
		}
	}
	kvs = kvs[len(t.ranges)+len(t.guards):] // the next attempt reads again what guards are about
	for i, o := range t.ops {
		if err := o.learnFrom(kvs[i]); err != nil {
			return err
		}
	}
	return nil
}

// request returns what the plan asks of etcd.
func (t *Txn) request() (r group.Txn) {
	for _, f := range t.fences {
		r.If = append(r.If, f.compares()...)
		r.Else = append(r.Else, f.get())
	}
	for _, in := range t.ranges {
		r.If = append(r.If, in.compare())
		r.Else = append(r.Else, in.explain())
	}
	for _, g := range t.guards {
		r.If = append(r.If, g.compare())
		r.Else = append(r.Else, clientv3.OpGet(g.etcdKey, clientv3.WithKeysOnly()))
	}
	for _, o := range t.ops {
		r.If = append(r.If, o.compare())
		r.Else = append(r.Else, o.read())
		if req, ok := o.request(); ok && !t.dryRun {
			r.Then = append(r.Then, req)
		}
	}
	return r
}

func (t *Txn) finish(revision int64, wrote bool) int64 {
	newest := int64(0)
	for _, o := range t.ops {
		o.finish(revision, wrote)
		newest = max(newest, o.priorRev())
	}
	if wrote {
		return revision
	}
	return newest
}

// what names the transaction in errors.
func (t *Txn) what() string {
	switch len(t.ops) {
	case 0:
		return "transaction of conditions alone"
	case 1:
		return t.ops[0].id()
	}
	return fmt.Sprintf("transaction of %d objects (%s, ...)", len(t.ops), t.ops[0].id())
}
