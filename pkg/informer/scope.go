package informer

import (
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/homeostat/homeostat/pkg/store"
)

// Scope says how much of a kind a replica keeps, so that memory follows need. The
// zero value is all. The functions must be pure, must not block, and are called
// from several goroutines.
type Scope[T store.Object] struct {
	// Keep, when set, says which objects are kept, by their keys. The others are
	// as if they did not exist, and are not decoded; [KindStatus] counts them. It
	// must always say the same of a key.
	Keep func(key store.Key) bool

	// MetadataOnly leaves out everything but the metadata, which is all that is
	// decoded, and the Go type's empty fields. T must embed metav1.ObjectMeta.
	MetadataOnly bool

	// Transform, when set, returns what is to be kept in place of an object,
	// which may be the object itself, changed. It must leave namespace, name, uid
	// and resourceVersion alone. An object for which it panics is treated as one
	// that cannot be decoded.
	Transform func(obj T) T

	// StatusWhole says that Transform leaves the status and the annotations as
	// they are, so that objects of the replica may be given to UpdateStatus.
	StatusWhole bool
}

// Restrict is [For], but has the replica keep only a part of the kind. It fails
// when the replica has the kind already, since others may rely on all of it; so
// whoever decides what a program keeps calls it first.
//
// What is stripped must not get lost by being written back. Objects of a kind that
// is kept with MetadataOnly or Transform have a mark in their selfLink, which
// their copies keep and by which the store refuses them in Create, in Update, and
// in UpdateStatus unless the status is whole; see [store.MarkPartial]. To change
// such an object use [store.Mutate], which reads the whole. Deletions and
// conditions take it. [Replica.Cached] does not know it.
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

// Keeps reports whether the replica keeps the object that has a key, if there is
// one; see [Scope].
func (i *Informer[T]) Keeps(key store.Key) bool {
	kept, _ := i.kind.keeps(string(appendKey(nil, key)))
	return kept
}

// scope is a [Scope] without its type parameter.
type scope struct {
	keep         func(store.Key) bool
	metadataOnly bool
	transform    func(store.Object) store.Object
	statusWhole  bool
}

func (s Scope[T]) erased() *scope {
	e := &scope{keep: s.Keep, metadataOnly: s.MetadataOnly, statusWhole: s.StatusWhole && !s.MetadataOnly}
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

// partial reports whether the objects that are kept lack something.
func (s *scope) partial() bool { return s.metadataOnly || s.transform != nil }

// whole reports whether everything of the kind is kept.
func (s *scope) whole() bool { return s.keep == nil && !s.partial() }

// keeps reports whether the object with a key, in the form of entry.key, is kept.
// Where that cannot be known it is.
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

// read decodes what is to be kept of a value. It takes a panic for an error: it is
// the user's types and functions that are at work, and one bad value must not
// end the process.
func (k *kind) decodeKept(etcdKey string, kv *mvccpb.KeyValue) (obj store.Object, err error) {
	if kept, err := k.keeps(etcdKey[len(k.prefix):]); err != nil {
		return nil, err
	} else if !kept {
		return nil, errNotKept
	}
	doing := "decoding"
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s panicked: %v", doing, p)
		}
	}()
	if obj, _, err = k.decode(etcdKey, kv.Value, kv.ModRevision); err != nil || !k.scope.partial() {
		return obj, err
	}
	if k.scope.transform != nil {
		doing = "the scope's Transform"
		if obj, err = k.transformed(obj); err != nil {
			return nil, err
		}
	}
	store.MarkPartial(obj, k.scope.statusWhole)
	return obj, nil
}

func (k *kind) transformed(obj store.Object) (store.Object, error) {
	key, uid, resourceVersion := store.KeyOf(obj), obj.GetUID(), obj.GetResourceVersion()
	obj = k.scope.transform(obj)
	switch {
	case obj == nil:
		return nil, errors.New("the scope's Transform returned nil")
	case store.KeyOf(obj) != key || obj.GetUID() != uid || obj.GetResourceVersion() != resourceVersion:
		return nil, fmt.Errorf("the scope's Transform returned another object: %s", store.KeyOf(obj))
	}
	return obj, nil
}
