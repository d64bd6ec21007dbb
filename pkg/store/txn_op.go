package store

import (
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// A verb is one kind of write. Its rules are a pure function from what the key
// holds to what it will hold.
type verb interface {
	fmt.Stringer
	// prepare checks the caller's object before anything is sent to etcd.
	prepare(o *op) error
	// plan applies the rules to what the key holds. prior is nil if it holds
	// nothing. plan must change neither prior nor the caller's object.
	plan(s *Store, o *op, prior *stored) (effect, error)
}

// stored is an object as its key holds it.
type stored struct {
	obj    Object // shared if it comes from a cache
	form   Form   // unknown if it comes from a cache
	value  []byte // nil if it comes from a cache
	rev    int64
	lease  clientv3.LeaseID // unknown if it comes from a cache, which has only objects without one
	cached bool             // it may not be the newest
}

func newStored(d Decoded, kv *mvccpb.KeyValue) *stored {
	return &stored{obj: d.Object, form: d.Form, value: kv.Value, rev: kv.ModRevision, lease: clientv3.LeaseID(kv.Lease)}
}

// effect is what a write does to a key.
type effect struct {
	action action
	value  string // for put
	result Object // the caller's object after the write; nil leaves it unchanged
	review *review
}

type action int

const (
	keep action = iota
	put
	renew // writes the value as it is, to change its lease
	remove
)

// op is one object's part in a transaction.
type op struct {
	verb    verb
	kind    *kindInfo
	name    Key
	etcdKey string
	obj     Object // the caller's, converted to the stored version
	main    Object // updates: source of everything but the status; may be nil
	status  Object // updates: source of the status; may be nil
	rev     int64  // the revision that the caller's object has; 0 is any
	must    int64  // the revision that a precondition demands; 0 is any
	del     DeleteOptions
	ttl     *time.Duration   // creations and updates: nil leaves it as it is, 0 is without end
	lease   clientv3.LeaseID // for ttl; set by Commit
	targets []target         // the caller's objects, which finish fills in

	generated int // number of names generated so far

	known  bool // prior is set
	fresh  bool // prior must not come from a cache
	prior  *stored
	effect effect
}

// target is an object of the caller's. Its version may differ from the stored
// one.
type target struct {
	obj    Object
	kind   *kindInfo
	main   bool   // it is the source of everything but the status
	status bool   // it is the source of the status
	result Object // its state after the write, if its version is another
}

func (s *Store) newOp(v verb, given Object, part op) (*op, error) {
	asked, err := s.kinds.of(given)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v, err)
	}
	k := asked.storage()
	o := &part
	o.verb, o.kind, o.name, o.obj, o.targets = v, k, KeyOf(given), given, []target{{obj: given, kind: asked, main: part.status == nil && part.ttl == nil, status: part.status != nil}}
	obj, err := o.asStored(given, asked)
	if err != nil {
		return nil, o.wrap(apierrors.NewBadRequest(err.Error()))
	}
	o.obj = obj
	if o.main != nil {
		o.main = obj
	}
	if o.status != nil {
		o.status = obj
	}
	if o.rev, err = ParseRevision(obj.GetResourceVersion()); err != nil {
		return nil, o.wrap(apierrors.NewBadRequest(err.Error()))
	}
	if err := v.prepare(o); err != nil {
		return nil, o.wrap(err)
	}
	if o.name.Name == "" && obj.GetGenerateName() != "" {
		return o, nil // the create verb generates the name
	}
	if o.etcdKey, err = s.layout.key(k, o.name); err != nil {
		return nil, o.wrap(apierrors.NewBadRequest(err.Error()))
	}
	return o, nil
}

// asStored converts the caller's object to the stored version. For deletions and
// conditions it converts only the metadata, since the object may have no more.
func (o *op) asStored(given Object, asked *kindInfo) (Object, error) {
	switch o.verb.(type) {
	case createVerb, updateVerb:
		return convert(given, asked, o.kind)
	}
	if asked == o.kind {
		return given, nil
	}
	obj := o.kind.newObject()
	metaOf(obj).Set(metaOf(given.DeepCopyObject().(Object)))
	return obj, nil
}

// id names the write in errors.
func (o *op) id() string {
	if o.etcdKey != "" {
		return fmt.Sprintf("%s %s", o.verb, o.etcdKey)
	}
	return fmt.Sprintf("%s %s %s", o.verb, o.kind.resource, KeyOf(o.obj))
}

func (o *op) wrap(err error) error { return fmt.Errorf("%s: %w", o.id(), err) }

func (o *op) notFound() error { return apierrors.NewNotFound(o.kind.resource, o.name.Name) }

func (o *op) conflict(format string, args ...any) error {
	return apierrors.NewConflict(o.kind.resource, o.name.Name, fmt.Errorf(format, args...))
}

// current returns a NotFound or a Conflict if the key does not hold the revision
// that the caller expects.
func (o *op) current(prior *stored) error {
	switch {
	case prior == nil:
		return o.notFound()
	case o.rev != 0 && o.rev != prior.rev:
		return o.conflict("the object has changed: it is at revision %d, not at %d: read it again", prior.rev, o.rev)
	case o.must != 0 && o.must != prior.rev:
		return o.conflict("the object has changed: it is at revision %d, not at %d: read it again", prior.rev, o.must)
	}
	return nil
}

// compare returns the condition under which the effect is valid.
func (o *op) compare() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(o.etcdKey), "=", o.priorRev())
}

// read returns the etcd operation that reads what the rules need.
func (o *op) read() clientv3.Op {
	if o.needsObject() {
		return clientv3.OpGet(o.etcdKey)
	}
	return clientv3.OpGet(o.etcdKey, clientv3.WithKeysOnly())
}

// request returns the etcd operation of the effect, and false if there is none.
func (o *op) request() (clientv3.Op, bool) {
	switch o.effect.action {
	case put:
		return clientv3.OpPut(o.etcdKey, o.effect.value, o.leaseOption()...), true
	case renew:
		return clientv3.OpPut(o.etcdKey, "", append(o.leaseOption(), clientv3.WithIgnoreValue())...), true
	case remove:
		return clientv3.OpDelete(o.etcdKey), true
	}
	return clientv3.Op{}, false
}

// finish fills in the caller's objects after the transaction has happened. wrote is
// false if it wrote nothing.
func (o *op) finish(revision int64, wrote bool) {
	if o.effect.result == nil {
		return
	}
	version := FormatRevision(revision)
	switch {
	case o.prior == nil && !wrote:
		version = ""
	case o.effect.action == keep || !wrote:
		version = FormatRevision(o.prior.rev)
	}
	o.effect.result.SetResourceVersion(version)
	for i, t := range o.targets {
		switch {
		case t.result != nil:
			t.result.SetResourceVersion(version)
			assign(t.obj, t.result)
		case i == 0:
			assign(t.obj, o.effect.result)
		case t.obj != o.targets[0].obj:
			assign(t.obj, o.effect.result.DeepCopyObject().(Object))
		}
	}
}

// convertResult converts the result for the caller's objects of other versions.
// It runs before the write, so that a failing conversion prevents the write.
func (o *op) convertResult() error {
	if o.effect.result == nil {
		return nil
	}
	for i, t := range o.targets {
		if t.kind == o.kind {
			continue
		}
		result, err := convert(o.effect.result, o.kind, t.kind)
		if err != nil {
			return err
		}
		o.targets[i].result = result
	}
	return nil
}

// priorRev returns the prior's ModRevision, or 0 if the key holds nothing.
func (o *op) priorRev() int64 {
	if o.prior == nil {
		return 0
	}
	return o.prior.rev
}

// learn sets the prior.
func (o *op) learn(p *stored) { o.prior, o.known = p, true }

// needsObject reports whether the rules need the stored object, and not only
// whether there is one.
func (o *op) needsObject() bool {
	switch o.verb.(type) {
	case updateVerb, deleteVerb, rewriteVerb:
		return true
	}
	return false
}
