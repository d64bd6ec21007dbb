package store

import (
	"context"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Get reads one object from etcd. The read is linearizable: it sees every write
// that returned before the call. The object is the caller's own.
//
// The error is a NotFound, or an [UndecodableError] when the value is not what
// the store would have written.
func Get[T Object](ctx context.Context, s *Store, key Key) (T, error) {
	var none T
	k, etcdKey, err := locate[T](s, key)
	if err != nil {
		return none, fmt.Errorf("get: %w", err)
	}
	resp, err := s.client.Get(ctx, etcdKey)
	if err != nil {
		return none, fmt.Errorf("get %s: %w", etcdKey, explain(err))
	}
	if len(resp.Kvs) == 0 {
		return none, fmt.Errorf("get %s: %w", etcdKey, apierrors.NewNotFound(k.resource, key.Name))
	}
	obj, err := k.decode(key, resp.Kvs[0].Value, resp.Kvs[0].ModRevision)
	if err != nil {
		undecodable := &UndecodableError{}
		undecodable.add(etcdKey, err)
		return none, fmt.Errorf("get: %w", undecodable)
	}
	return obj.(T), nil
}

func locate[T Object](s *Store, key Key) (*kindInfo, string, error) {
	k, err := s.kinds.ofType(reflect.TypeFor[T]())
	if err != nil {
		return nil, "", err
	}
	etcdKey, err := s.layout.key(k, key)
	if err != nil {
		return nil, "", apierrors.NewBadRequest(err.Error())
	}
	return k, etcdKey, nil
}

// Mutate reads an object, lets change work on it, and writes what it has
// become, status and all, in one transaction. When another writer comes in
// between, it starts again with what is there now; change may therefore run
// more than once and must have no other effects. An error of change ends it and
// is returned. The result is the object as it is stored now, with the revision
// of the write, or its own when there was nothing to write.
func Mutate[T Object](ctx context.Context, s *Store, key Key, change func(obj T) error) (T, int64, error) {
	for {
		obj, err := Get[T](ctx, s, key)
		if err != nil {
			return obj, 0, err
		}
		if err := change(obj); err != nil {
			return obj, 0, err
		}
		t := s.Txn()
		t.Update(obj)
		t.UpdateStatus(obj)
		rev, err := t.Commit(ctx)
		if !apierrors.IsConflict(err) {
			return obj, rev, err
		}
	}
}

// Decoder returns a function that decodes the values under the keys of one
// kind, for those who read etcd by themselves. The key is a whole etcd key; the
// object is new at each call.
func (s *Store) Decoder(obj Object) (prefix string, decode func(etcdKey string, value []byte, modRevision int64) (Object, Key, error), err error) {
	k, err := s.kinds.of(obj)
	if err != nil {
		return "", nil, err
	}
	prefix = s.layout.kindPrefix(k.resource)
	return prefix, func(etcdKey string, value []byte, modRevision int64) (Object, Key, error) {
		key, ok := k.split(etcdKey[len(prefix):])
		if !ok {
			return nil, key, fmt.Errorf("key is not one of an object of kind %s", k.gvk.Kind)
		}
		obj, err := k.decode(key, value, modRevision)
		return obj, key, err
	}, nil
}

