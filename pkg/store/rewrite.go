package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Rewrite migrates the stored values of a kind after a change of [Codec], encryption
// keys or stored version. It writes every object whose value differs from what the
// store would write now, and returns the number of objects that it wrote. T is the
// type that the kind is stored as.
//
// Other writers may continue meanwhile. Before you call Rewrite, make all of them
// write the new form: Rewrite may miss what they write in the old form while it runs.
//
// Rewrite changes the form of a value and nothing else: it neither sets defaults
// nor validates. A value with fields that T lacks keeps its version and its codec,
// and gets only the new encryption key.
//
// Rewrite skips a value that does not decode or cannot get the new form, and
// continues with the others. Its error names all of these. If the error says that
// Rewrite stopped early, it has not reached all objects.
func Rewrite[T Object](ctx context.Context, s *Store) (int, error) {
	s = s.WithCache(nil) // a cache does not know the stored form
	k, err := s.kinds.ofType(reflect.TypeFor[T]())
	if err != nil {
		return 0, fmt.Errorf("rewrite: %w", err)
	}
	if k.stored != nil {
		return 0, fmt.Errorf("rewrite: %s is stored as %s: rewrite that", k.gvk, k.stored.gvk)
	}
	stream, err := Stream[T](ctx, s, ListOptions{})
	if err != nil {
		return 0, fmt.Errorf("rewrite: %w", err)
	}
	written := 0
	var problems []error
	for obj, err := range stream.All() {
		var undecodable *UndecodableError
		switch {
		case errors.As(err, &undecodable):
			problems = append(problems, err)
			continue
		case err != nil:
			return written, errors.Join(append(problems, fmt.Errorf("rewrite: stopped early: %w", err))...)
		}
		switch wrote, err := rewriteOne(ctx, s, obj); {
		case ctx.Err() != nil:
			return written, errors.Join(append(problems, fmt.Errorf("rewrite: stopped early: %w", ctx.Err()))...)
		case err != nil:
			problems = append(problems, fmt.Errorf("rewrite: %w", err))
		case wrote:
			written++
		}
	}
	return written, errors.Join(problems...)
}

// rewriteOne rewrites one object. If another writer changes the object first,
// rewriteOne rewrites the new state, since that writer may use the old form.
func rewriteOne(ctx context.Context, s *Store, obj Object) (bool, error) {
	t := s.Txn()
	t.add(rewriteVerb{}, obj, op{})
	_, err := t.Commit(ctx)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	}
	o := t.ops[0]
	written := o.effect.action == put
	if form := o.prior.form; form.UnknownFields && !o.kind.writes(form) {
		return written, o.wrap(fmt.Errorf("the value has fields that %T lacks and therefore stays %s %s: "+
			"rewrite it with a program that knows them", obj, form.Version, form.Codec))
	}
	return written, nil
}

// rewriteVerb writes what is stored in the form in which the store writes.
type rewriteVerb struct{}

func (rewriteVerb) String() string { return "rewrite" }

func (rewriteVerb) prepare(o *op) error {
	o.rev = 0
	return nil
}

func (rewriteVerb) plan(_ *Store, o *op, prior *stored) (effect, error) {
	if err := o.current(prior); err != nil {
		return effect{}, err
	}
	etcdKey, keys := o.kind.etcdKey(o.name), o.kind.codec.keys
	plain, err := keys.Open(etcdKey, prior.value)
	if err != nil {
		return effect{}, err
	}
	if !prior.form.UnknownFields {
		written, err := o.kind.encodePlain(prior.obj)
		if err != nil {
			return effect{}, err
		}
		if bytes.Equal(written, plain) && keys.IsCurrent(prior.value) {
			return effect{action: keep}, nil
		}
		plain = written
	} else if keys.IsCurrent(prior.value) {
		return effect{action: keep}, nil
	}
	value, err := keys.Seal(etcdKey, plain)
	return effect{action: put, value: value}, err
}

// writes reports whether this kind is written in the version and the codec of a form.
func (k *kindInfo) writes(form Form) bool {
	codec := JSON
	if _, ok := k.newObject().(protoMessage); ok {
		codec = k.codec.form
	}
	return form.Version == k.gvk.Version && form.Codec == codec
}
