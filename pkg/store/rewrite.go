package store

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Rewrite writes every object of a kind anew that is not stored as the store
// would write it: in another [Codec], encrypted with another key or not at all,
// or as another [Version]. It returns how many it wrote. Other writers may go
// on meanwhile; what they write is in the right form already.
//
// An object that cannot be read, or is no longer valid, stays as it is; the
// error names all of them, and the others are written all the same.
func Rewrite[T Object](ctx context.Context, s *Store) (int, error) {
	s = s.WithCache(nil) // a cache does not know how a value is stored
	list, err := List[T](ctx, s, ListOptions{})
	undecodable := &UndecodableError{}
	if err != nil && !errors.As(err, &undecodable) {
		return 0, fmt.Errorf("rewrite: %w", err)
	}
	problems := []error{undecodable.orNil()}
	written := 0
	for _, obj := range list.Items {
		before := obj.GetResourceVersion()
		t := s.Txn()
		t.Update(obj)
		_, err := t.Commit(ctx)
		switch {
		case ctx.Err() != nil:
			return written, fmt.Errorf("rewrite: %w", ctx.Err())
		case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		case err != nil:
			problems = append(problems, fmt.Errorf("rewrite: %w", err))
		case obj.GetResourceVersion() != before:
			written++
		}
	}
	return written, errors.Join(problems...)
}
