package store

import (
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
// Rewrite skips an object that does not decode or is no longer valid, and
// continues with the others. Its error names all skipped objects. If the error
// says that Rewrite stopped early, it has not reached all objects.
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
func rewriteOne[T Object](ctx context.Context, s *Store, obj T) (bool, error) {
	var others contention
	for {
		others.attempt()
		before := obj.GetResourceVersion()
		_, err := s.Update(ctx, obj)
		if apierrors.IsConflict(err) {
			others.wait(ctx)
			if obj, err = Get[T](ctx, s, KeyOf(obj)); err == nil {
				continue
			}
		}
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil && obj.GetResourceVersion() != before, err
	}
}
