package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Rewrite writes every object of a kind anew that is not stored as the store
// would write it: in another [Codec], encrypted with another key or not at all,
// or as another [Version]. It returns how many it wrote. Other writers may go
// on meanwhile, but those that begin after it must write the new form. T is the
// type that the kind is stored as.
//
// An object that cannot be read, or is no longer valid, stays as it is; the
// error names all of them, and the others are written all the same. When the
// error says that it was broken off, some of the others were not.
func Rewrite[T Object](ctx context.Context, s *Store) (int, error) {
	s = s.WithCache(nil) // a cache does not know how a value is stored
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
			return written, errors.Join(append(problems, fmt.Errorf("rewrite: broken off: %w", err))...)
		}
		switch wrote, err := rewriteOne(ctx, s, obj); {
		case ctx.Err() != nil:
			return written, errors.Join(append(problems, fmt.Errorf("rewrite: broken off: %w", ctx.Err()))...)
		case err != nil:
			problems = append(problems, fmt.Errorf("rewrite: %w", err))
		case wrote:
			written++
		}
	}
	return written, errors.Join(problems...)
}

// rewriteOne writes one object as it is. Another writer's new version of it is
// written too: that writer may be one of the old form.
func rewriteOne[T Object](ctx context.Context, s *Store, obj T) (bool, error) {
	for {
		before := obj.GetResourceVersion()
		_, err := s.Update(ctx, obj)
		if apierrors.IsConflict(err) {
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
