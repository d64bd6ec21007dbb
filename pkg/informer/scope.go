package informer

import (
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/homeostat/homeostat/pkg/store"
)

// Scope says which part of a kind a replica keeps, to save memory. The zero value
// keeps everything. The functions must be pure, must not block, and are called from
// several goroutines.
type Scope[T store.Object] struct {
	// Keep reports whether to keep the object with a key. Other objects are not
	// decoded and appear not to exist; [KindStatus] counts them. The result for
	// a key must never change. Defaults to all objects.
	Keep func(key store.Key) bool

	// MetadataOnly keeps, and decodes, only the metadata; all other fields are
	// empty. T must embed metav1.ObjectMeta.
	MetadataOnly bool

	// Transform returns the object to keep in place of obj. It may change and
	// return obj itself. It must not change namespace, name, uid and
	// resourceVersion. If it panics, the object counts as one that cannot be
	// decoded. Defaults to keeping obj.
	Transform func(obj T) T

	// StatusComplete says that Transform leaves the status and the annotations as
	// they are, so that [store.Store.UpdateStatus] accepts objects of the replica. It
	// has no effect with MetadataOnly. Defaults to false.
	StatusComplete bool
}

// Restrict is [For] for a kind of which the replica keeps only a part. It returns an
// error if the kind is registered, since others may rely on all of it. So the code
// that decides what a program keeps must call it first.
//
// A write of a stripped object would delete from etcd what the object lacks. So
// objects of a kind with MetadataOnly or Transform have a mark in their selfLink,
// which copies keep. The store refuses marked objects in Create, in Update, and in
// UpdateStatus unless StatusComplete is set; see [store.MarkPartial]. To change such
// an object, use [store.Mutate], which reads the whole object. Deletions and
// conditions accept marked objects. [Replica.Cached] does not return them.
func Restrict[T store.Object](r *Replica, s Scope[T]) (*Informer[T], error) {
	info, err := store.KindOf[T](r.store)
	if err != nil {
		return nil, fmt.Errorf("informer: %w", err)
	}
	k, err := r.addKind(info, s.erased())
	if err != nil {
		return nil, fmt.Errorf("informer: %w", err)
	}
	return &Informer[T]{replica: r, kind: k}, nil
}

// Keeps reports whether an object with this key, if there is one, is in the replica. It
// returns the result of [Scope].Keep, and true for a kind without one.
func (i *Informer[T]) Keeps(key store.Key) bool {
	kept, _ := i.kind.keeps(string(appendKey(nil, key)))
	return kept
}

// scope is a [Scope] without its type parameter.
type scope struct {
	keep           func(store.Key) bool
	metadataOnly   bool
	transform      func(store.Object) store.Object
	statusComplete bool
}

func (s Scope[T]) erased() *scope {
	e := &scope{keep: s.Keep, metadataOnly: s.MetadataOnly, statusComplete: s.StatusComplete && !s.MetadataOnly}
	if s.Transform != nil {
		e.transform = func(obj store.Object) store.Object {
			var none T
			if t := s.Transform(obj.(T)); any(t) != any(none) {
				return t
			}
			return nil
		}
	}
	return e
}

// partial reports whether kept objects lack something.
func (s *scope) partial() bool { return s.metadataOnly || s.transform != nil }

// whole reports whether the replica keeps everything of the kind.
func (s *scope) whole() bool { return s.keep == nil && !s.partial() }

// keeps reports whether the object with a key, in the form of entry.key, is kept. If
// Keep panics, it returns true and an error.
func (k *kind) keeps(key string) (kept bool, err error) {
	if k.scope.keep == nil {
		return true, nil
	}
	defer func() {
		if p := recover(); p != nil {
			kept, err = true, fmt.Errorf("the scope's Keep panicked: %v", p)
		}
	}()
	namespace, name, namespaced := strings.Cut(key, "/")
	if !namespaced {
		namespace, name = "", key
	}
	return k.scope.keep(store.Key{Namespace: namespace, Name: name}), nil
}

var errNotKept = errors.New("the object is not kept")

// decodeKept decodes the kept part of a value. It returns a panic as an error: the
// functions are the user's, and one bad value must not end the process.
func (k *kind) decodeKept(etcdKey string, kv *mvccpb.KeyValue) (obj store.Object, form store.Form, err error) {
	if kept, err := k.keeps(etcdKey[len(k.prefix):]); err != nil {
		return nil, form, err
	} else if !kept {
		return nil, form, errNotKept
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the scope's Transform panicked: %v", k.replica.panicText(p))
		}
	}()
	decoded, err := k.decode(etcdKey, kv.Value, kv.ModRevision)
	obj, form = decoded.Object, decoded.Form
	if err != nil || !k.scope.partial() {
		return obj, form, err
	}
	if k.scope.transform != nil {
		if obj, err = k.transformed(obj); err != nil {
			return nil, form, err
		}
	}
	store.MarkPartial(obj, store.PartialOptions{StatusComplete: k.scope.statusComplete})
	return obj, form, nil
}

func (k *kind) transformed(obj store.Object) (store.Object, error) {
	key, uid, resourceVersion := store.KeyOf(obj), obj.GetUID(), obj.GetResourceVersion()
	obj = k.scope.transform(obj)
	switch {
	case obj == nil:
		return nil, errors.New("the scope's Transform returned nil")
	case store.KeyOf(obj) != key || obj.GetUID() != uid || obj.GetResourceVersion() != resourceVersion:
		return nil, errors.New("the scope's Transform returned another object: it must keep the name, the uid and the resourceVersion")
	}
	return obj, nil
}
