package store

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/store/internal/kubejson"
)

// Get reads one object from etcd. The read is linearizable: it sees every write
// that returned before the call. The object is the caller's own.
//
// Get returns a NotFound if there is no such object, and an [UndecodableError] if the
// value does not decode as the object of that key.
func Get[T Object](ctx context.Context, s *Store, key Key) (T, error) {
	var none T
	k, err := s.kinds.ofType(reflect.TypeFor[T]())
	if err != nil {
		return none, fmt.Errorf("get: %w", err)
	}
	obj, err := s.get(ctx, k, key)
	if err != nil {
		return none, err
	}
	return obj.(T), nil
}

// GetObject is [Get] for a kind that is known only when the program runs: it reads
// the object that has like's type, namespace and name.
func (s *Store) GetObject(ctx context.Context, like Object) (Object, error) {
	k, err := s.kinds.of(like)
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	return s.get(ctx, k, KeyOf(like))
}

func (s *Store) get(ctx context.Context, k *kindInfo, key Key) (Object, error) {
	there, err := s.getStored(ctx, k, key)
	if err != nil {
		return nil, err
	}
	return there.obj, nil
}

func (s *Store) getStored(ctx context.Context, k *kindInfo, key Key) (*stored, error) {
	etcdKey, err := s.layout.key(k, key)
	if err != nil {
		return nil, fmt.Errorf("get: %w", apierrors.NewBadRequest(err.Error()))
	}
	resp, err := etcd.GetRange(ctx, s.client, etcdKey)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", etcdKey, err)
	}
	if len(resp.Kvs) == 0 {
		return nil, fmt.Errorf("get %s: %w", etcdKey, apierrors.NewNotFound(k.resource, key.Name))
	}
	d, err := k.decode(key, resp.Kvs[0].Value, resp.Kvs[0].ModRevision)
	if err != nil {
		undecodable := &UndecodableError{}
		undecodable.add(etcdKey, resp.Kvs[0].ModRevision, err)
		return nil, fmt.Errorf("get: %w", undecodable)
	}
	return newStored(d, resp.Kvs[0]), nil
}

// DecodeOptions configure [Store.Decoder]. The zero value decodes whole objects that
// belong to the caller.
type DecodeOptions struct {
	// MetadataOnly decodes the metadata alone and leaves the rest of the object empty.
	// This saves time and memory. The rest of the value is not checked: [Options].Strict
	// does not apply, and [Form].UnknownFields is false. The type must embed
	// metav1.ObjectMeta as "metadata". Defaults to false.
	MetadataOnly bool
	// Shared makes objects share the memory of equal parts of their JSON values, for
	// example of labels. This saves time and much memory. The objects must not be
	// changed. Defaults to false.
	Shared bool
}

// DecodeFunc decodes the value of an etcd key. The name and the namespace of the
// object may share memory with etcdKey. It is safe for concurrent use.
type DecodeFunc = func(etcdKey string, value []byte, modRevision int64) (Decoded, error)

// Decoder returns a function that decodes the values of the kind of obj, and the
// prefix of the kind's etcd keys. Use it to decode what you read from etcd yourself.
// The function returns a new object at each call.
func (s *Store) Decoder(obj Object, o DecodeOptions) (prefix string, decode DecodeFunc, err error) {
	k, err := s.kinds.of(obj)
	if err != nil {
		return "", nil, err
	}
	by, c := k.decodePlain, *k.codec
	if o.MetadataOnly {
		if by = k.decodeMetadata; !k.hasPlainMetadata() {
			return "", nil, fmt.Errorf("kind %s: metadata alone cannot be decoded: %s does not embed metav1.ObjectMeta as \"metadata\"", k.gvk, k.goType)
		}
	}
	if o.Shared {
		c.shared = kubejson.NewValues()
	}
	prefix = s.layout.kindPrefix(k.resource)
	return prefix, func(etcdKey string, value []byte, modRevision int64) (Decoded, error) {
		rest, ok := strings.CutPrefix(etcdKey, prefix)
		if !ok {
			return Decoded{}, fmt.Errorf("key is not below %s", prefix)
		}
		key, ok := k.split(rest)
		if !ok {
			return Decoded{}, fmt.Errorf("key is not one of an object of kind %s", k.gvk.Kind)
		}
		return k.decodeBy(by, &c, key, value, modRevision)
	}, nil
}

// Encoder is the counterpart of [Store.Decoder]: it returns a function that encodes
// objects of obj's kind as a write would. Use it to write values yourself, for example
// to a file. If the store has encryption keys, the value is encrypted, even if the store
// still writes plaintext, and decodes only under the etcd key of the object. The function
// does not change the object.
func (s *Store) Encoder(obj Object) (encode func(obj Object) (value []byte, err error), err error) {
	k, err := s.kinds.of(obj)
	if err != nil {
		return nil, err
	}
	return func(obj Object) ([]byte, error) {
		plain, err := k.encodePlain(obj.DeepCopyObject().(Object))
		if err != nil {
			return nil, err
		}
		value, err := k.codec.keys.SealElsewhere(k.etcdKey(KeyOf(obj)), plain)
		return []byte(value), err
	}, nil
}
