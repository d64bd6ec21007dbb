package store

import (
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// A verb is one kind of write. Its rules are pure: from what the key holds to
// what it shall hold.
type verb interface {
	fmt.Stringer
	// prepare checks the caller's object before etcd is asked anything.
	prepare(o *op) error
	// plan applies the rules to what the key holds; prior is nil when it holds
	// nothing. It must not change prior, nor the caller's object.
	plan(s *Store, o *op, prior *stored) (outcome, error)
}

// stored is an object as its key holds it.
type stored struct {
	obj    Object // shared, unless it was just read
	value  []byte // nil when the object comes from a cache
	rev    int64
	cached bool
}

// outcome is what shall become of a key.
type outcome struct {
	action action
	value  string // for put
	result Object // what the caller's object becomes; nil leaves it alone
}

type action int

const (
	keep action = iota
	put
	remove
)

// op is one object's part in a transaction.
type op struct {
	verb    verb
	kind    *kindInfo
	name    Key
	etcdKey string
	obj     Object // the caller's, as its kind is stored
	main    Object // updates: the caller's to take all but the status from; may be nil
	status  Object // the caller's to take the status from; may be nil
	rev     int64  // the revision that the caller saw; 0 is any
	must    int64  // the one that it must be at all the same; 0 is any
	del     DeleteOptions
	targets []target // the caller's objects, to be filled in

	generated int // how many names were made up

	known bool // prior is what the key holds, as far as is known
	fresh bool // it must not come from a cache any more
	prior *stored
	out   outcome
}

// target is an object of the caller's, which may be of another version than the
// one that is stored.
type target struct {
	obj    Object
	kind   *kindInfo
	main   bool   // what is written is taken from it
	status bool   // the status is taken from it
	result Object // what it becomes, where the version is another
}

func (s *Store) newOp(v verb, given Object, part op) (*op, error) {
	asked, err := s.kinds.of(given)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v, err)
	}
	k := asked.storage()
	o := &part
	o.verb, o.kind, o.name, o.obj, o.targets = v, k, KeyOf(given), given, []target{{obj: given, kind: asked, main: part.status == nil, status: part.status != nil}}
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
		return o, nil // a creation generates the name when its rules are applied
	}
	if o.etcdKey, err = s.layout.key(k, o.name); err != nil {
		return nil, o.wrap(apierrors.NewBadRequest(err.Error()))
	}
	return o, nil
}

// asStored returns the caller's object as it is stored. Of what is deleted or
// checked only the metadata matter: there may be nothing else to convert.
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

// current checks the revision that the caller saw against what is there.
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

// compare is the condition under which the outcome is right.
func (o *op) compare() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(o.etcdKey), "=", o.priorRev())
}

// read is the etcd operation that tells what the rules need to know of the key.
func (o *op) read() clientv3.Op {
	if o.needsObject() {
		return clientv3.OpGet(o.etcdKey)
	}
	return clientv3.OpGet(o.etcdKey, clientv3.WithKeysOnly())
}

// request returns the etcd operation that makes the outcome true; false when
// there is nothing to do.
func (o *op) request() (clientv3.Op, bool) {
	switch o.out.action {
	case put:
		return clientv3.OpPut(o.etcdKey, o.out.value), true
	case remove:
		return clientv3.OpDelete(o.etcdKey), true
	}
	return clientv3.Op{}, false
}

// finish fills in the caller's objects, once the transaction has happened.
func (o *op) finish(revision int64) {
	if o.out.result == nil {
		return
	}
	rev := revision
	if o.out.action == keep {
		rev = o.prior.rev
	}
	o.out.result.SetResourceVersion(FormatRevision(rev))
	for i, t := range o.targets {
		switch {
		case t.result != nil:
			t.result.SetResourceVersion(FormatRevision(rev))
			assign(t.obj, t.result)
		case i == 0:
			assign(t.obj, o.out.result)
		case t.obj != o.targets[0].obj:
			assign(t.obj, o.out.result.DeepCopyObject().(Object))
		}
	}
}

// convertResult makes what the caller's objects of other versions become, so
// that a conversion that fails is known before anything is written.
func (o *op) convertResult() error {
	if o.out.result == nil {
		return nil
	}
	for i, t := range o.targets {
		if t.kind == o.kind {
			continue
		}
		result, err := convert(o.out.result, o.kind, t.kind)
		if err != nil {
			return err
		}
		o.targets[i].result = result
	}
	return nil
}

// priorRev is the ModRevision under which the plan was made: 0 for a key that
// holds nothing.
func (o *op) priorRev() int64 {
	if o.prior == nil {
		return 0
	}
	return o.prior.rev
}

// learn takes in what etcd says the key holds.
func (o *op) learn(p *stored) { o.prior, o.known = p, true }

// needsObject reports whether the rules look at the object that is there, or
// only at whether there is one.
func (o *op) needsObject() bool {
	switch o.verb.(type) {
	case updateVerb, deleteVerb:
		return true
	}
	return false
}
