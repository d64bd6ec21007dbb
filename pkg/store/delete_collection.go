package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"

	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// deleteBatch is how many objects of a collection are deleted at once.
const deleteBatch = 100

// DeleteCollection deletes the objects of one kind that a list would return. It deletes
// each by the rules of [Store.Delete], in transactions of many objects. Objects that are
// created meanwhile stay. If an object is changed meanwhile, DeleteCollection reads it
// again, and leaves it if the list no longer selects it.
//
// It returns how many objects it deleted or marked as being deleted, without those that
// were marked before, and the newest revision of its writes. If there was nothing to
// write, it returns the revision of the list.
//
// DeleteCollection skips objects that must not be deleted or do not decode, and deletes
// the others; the error names all skipped objects. Any other error stops the deletion;
// objects deleted so far stay deleted. If [apierrors.IsResourceExpired] is true for the
// error, the list was compacted before its end: call again. DeleteCollection returns a
// BadRequest if the options have a Limit, a Continue, an order, a Revision or a
// ResourceVersion.
func DeleteCollection[T Object](ctx context.Context, s *Store, o ListOptions, d DeleteOptions) (deleted int, revision int64, err error) {
	if o.Revision != 0 || d.ResourceVersion != "" {
		return 0, 0, fmt.Errorf("delete collection: %w", apierrors.NewBadRequest("a collection is deleted in its present state: leave the revision empty"))
	}
	k, err := s.kinds.ofType(reflect.TypeFor[T]())
	if err != nil {
		return 0, 0, fmt.Errorf("delete collection: %w", err)
	}
	list, err := newStreamed(ctx, s, k, o)
	if err != nil {
		return 0, 0, fmt.Errorf("delete collection: %w", err)
	}
	c := &collection{store: s, list: list, options: d, undecodable: &UndecodableError{}}
	if err = c.deleteAll(ctx, c.batches(ctx)); err != nil {
		err = fmt.Errorf("delete collection: %w", err)
	}
	if c.revision == 0 {
		c.revision = list.revision
	}
	return c.deleted, c.revision, errors.Join(err, errors.Join(c.refused...), c.undecodable.orNil())
}

// collection is the state of one DeleteCollection.
type collection struct {
	store   *Store
	list    *listing
	options DeleteOptions

	deleted     int
	revision    int64
	refused     []error
	undecodable *UndecodableError
}

// batchSize leaves room for the fences.
func (c *collection) batchSize() int {
	return max(1, min(deleteBatch, MaxTxnOps-len(c.store.fences)))
}

// batches yields the listed objects in groups.
func (c *collection) batches(ctx context.Context) iter.Seq2[[]*stored, error] {
	return func(yield func([]*stored, error) bool) {
		var batch []*stored
		for there, err := range c.list.stream(ctx) {
			if err != nil {
				if !yield(nil, err) {
					return
				}
				continue
			}
			if batch = append(batch, there); len(batch) == c.batchSize() {
				if !yield(batch, nil) {
					return
				}
				batch = nil
			}
		}
		if len(batch) > 0 {
			yield(batch, nil)
		}
	}
}

func (c *collection) deleteAll(ctx context.Context, batches iter.Seq2[[]*stored, error]) error {
	for batch, err := range batches {
		var undecodable *UndecodableError
		switch {
		case errors.As(err, &undecodable):
			c.undecodable.merge(undecodable)
		case err != nil:
			return err
		default:
			if err := c.delete(ctx, batch); err != nil {
				return err
			}
		}
	}
	return nil
}

// delete deletes objects in one transaction. If some of them make it fail, it halves the
// group until it has found them.
func (c *collection) delete(ctx context.Context, batch []*stored) error {
	var others contention
	for len(batch) > 0 {
		others.attempt()
		err := c.try(ctx, batch)
		switch {
		case err == nil:
			return nil
		case !ofObject(err):
			return err
		case len(batch) > 1 && !outdated(err):
			return c.halve(ctx, batch)
		case !outdated(err):
			c.refused = append(c.refused, err)
			return nil
		}
		others.wait(ctx)
		if batch, err = c.reread(ctx, batch); err != nil {
			return err
		}
		if others.failed > 1 && len(batch) > 1 {
			return c.halve(ctx, batch) // others write too much of it to get all at once
		}
	}
	return nil
}

func (c *collection) halve(ctx context.Context, batch []*stored) error {
	if err := c.delete(ctx, batch[:len(batch)/2]); err != nil {
		return err
	}
	return c.delete(ctx, batch[len(batch)/2:])
}

// outdated reports whether an object has changed since it was read.
func outdated(err error) bool { return apierrors.IsConflict(err) || apierrors.IsNotFound(err) }

// ofObject reports whether a transaction failed because of one of its objects, or because
// it has too many.
func ofObject(err error) bool {
	var undecodable *UndecodableError
	return outdated(err) || apierrors.IsInvalid(err) || apierrors.IsRequestEntityTooLargeError(err) || errors.As(err, &undecodable)
}

// try deletes objects in one transaction if none has changed.
func (c *collection) try(ctx context.Context, batch []*stored) error {
	t := c.store.Txn()
	for _, there := range batch {
		d := c.options
		d.ResourceVersion = FormatRevision(there.rev)
		t.Delete(there.obj.DeepCopyObject().(Object), d)
	}
	if t.err == nil && c.list.kind.stored == nil { // otherwise the listed objects were converted
		for i, o := range t.ops {
			batch[i].cached = true
			o.learn(batch[i])
		}
	}
	revision, err := t.Commit(ctx)
	if err != nil {
		return err
	}
	for _, o := range t.ops {
		if o.effect.action != keep {
			c.deleted++
			c.revision = revision
		}
	}
	return nil
}

// reread returns the present state of those objects of a batch that still exist and are
// selected.
func (c *collection) reread(ctx context.Context, batch []*stored) (left []*stored, err error) {
	gets := make([]clientv3.Op, len(batch))
	uids := map[types.UID]bool{}
	for i, there := range batch {
		gets[i] = clientv3.OpGet(c.list.kind.etcdKey(KeyOf(there.obj)))
		uids[there.obj.GetUID()] = true
	}
	resp, err := etcd.ReadTxn(ctx, c.store.client, gets)
	if err != nil {
		return nil, err
	}
	for _, r := range resp.Responses {
		for _, kv := range r.GetResponseRange().Kvs {
			there, selected, err := c.list.read(kv)
			switch {
			case err != nil:
				c.undecodable.add(string(kv.Key), kv.ModRevision, err)
			case selected && uids[there.obj.GetUID()]:
				left = append(left, there)
			}
		}
	}
	return left, nil
}

func (e *UndecodableError) merge(other *UndecodableError) {
	for i, key := range other.Keys {
		e.add(key, other.Revisions[i], other.Reasons[i])
	}
}
