package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/store/internal/kubejson"
	"github.com/homeostat/homeostat/pkg/store/internal/seal"
)

// Codec is an encoding of values. Each value shows its own encoding, and a store reads
// all encodings, whichever it writes. Use [Rewrite] to move a store from one to
// another.
type Codec string

const (
	// JSON is legible, in etcdctl too. It is the default.
	JSON Codec = "json"
	// Protobuf is Kubernetes' own form: smaller, and faster to read. Types that
	// do not have it, such as [Resource], are written as JSON.
	Protobuf Codec = "protobuf"
)

// EncryptionKey is an AES key for values. Values are encrypted with AES-GCM under a
// random nonce. The etcd key of a value is authenticated with it: a value that was
// copied to another key does not decrypt. Do not write more than about 2^32 values
// with one key.
type EncryptionKey struct {
	// Name is stored in each value, to find the key. It must not contain a colon.
	Name string
	// Secret has 16, 24 or 32 bytes, for AES-128, AES-192 or AES-256.
	Secret []byte
}

func sealKeys(keys []EncryptionKey) []seal.Key {
	converted := make([]seal.Key, len(keys))
	for i, k := range keys {
		converted[i] = seal.Key(k)
	}
	return converted
}

// codec is how a store writes and reads values.
type codec struct {
	form   Codec
	strict bool
	keys   *seal.Keyring // nil: values are not encrypted

	// strings has what comes again and again in values, for objects to share, and
	// shared all else that does, where objects are never changed.
	strings *kubejson.Interner
	shared  *kubejson.Values
}

// setCodec completes the kinds with what depends on the store.
func (ks *kinds) setCodec(o Options, l layout) error {
	c := &codec{form: o.Codec, strict: o.Strict, strings: kubejson.NewInterner()}
	switch c.form {
	case "":
		c.form = JSON
	case JSON, Protobuf:
	default:
		return fmt.Errorf("codec %q: want %q or %q", o.Codec, JSON, Protobuf)
	}
	var err error
	if c.keys, err = seal.NewKeyring(sealKeys(o.EncryptionKeys)); err != nil {
		return err
	}
	for _, k := range ks.byType {
		k.codec, k.prefix = c, l.kindPrefix(k.resource)
	}
	return nil
}

// encode returns the stored form of an object, with apiVersion and kind and
// without a resourceVersion, which is the key's ModRevision and never stored.
// obj must be the caller's own: it is changed on the way and put back.
func (k *kindInfo) encode(obj Object) (string, error) {
	plain, err := k.encodePlain(obj)
	if err != nil {
		return "", err
	}
	return k.seal(obj, plain)
}

func (k *kindInfo) seal(obj Object, plain []byte) (string, error) {
	return k.codec.keys.Seal(k.etcdKey(KeyOf(obj)), plain)
}

func (k *kindInfo) encodePlain(obj Object) (plain []byte, err error) {
	rv := obj.GetResourceVersion()
	obj.SetResourceVersion("")
	obj.GetObjectKind().SetGroupVersionKind(k.gvk)
	defer obj.SetResourceVersion(rv)
	if message, ok := obj.(protoMessage); ok && k.codec.form == Protobuf {
		plain, err = encodeProtobuf(k.gvk, message)
	} else {
		plain, err = json.Marshal(obj)
	}
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", k.gvk.Kind, KeyOf(obj), err)
	}
	return plain, nil
}

// holds reports whether a key already holds an object, of which plain is the
// encoding, in the form in which it would be written now.
func (k *kindInfo) holds(obj Object, plain []byte, prior *stored) (bool, error) {
	if prior.value == nil { // from a cache, which does not know the form
		changed, err := k.fieldChanged(k.status, obj, prior.obj)
		if changed || err != nil {
			return false, err
		}
		old, err := k.encodePlain(prior.obj.DeepCopyObject().(Object))
		return bytes.Equal(plain, old), err
	}
	if !k.codec.keys.IsCurrent(prior.value) {
		return false, nil
	}
	old, err := k.codec.keys.Open(k.etcdKey(KeyOf(obj)), prior.value)
	return bytes.Equal(plain, old), err
}

// decode turns a stored value, of whatever form and version, into an object of
// this kind. The object's name must be its key's: a value copied to another key
// by hand is a mistake that no controller should act on.
func (k *kindInfo) decode(key Key, value []byte, modRevision int64) (Object, error) {
	return k.decodeBy(k.decodePlain, k.codec, key, value, modRevision)
}

// plainDecoder decodes a value that is not encrypted.
type plainDecoder func(c *codec, plain []byte) (Object, error)

func (k *kindInfo) decodeBy(by plainDecoder, c *codec, key Key, value []byte, modRevision int64) (Object, error) {
	plain, err := k.codec.keys.Open(k.etcdKey(key), value)
	if err != nil {
		return nil, err
	}
	obj, err := by(c, plain)
	if err != nil {
		return nil, err
	}
	if got := KeyOf(obj); got != key {
		return nil, fmt.Errorf("value is of object %q, want %q", got, key)
	}
	obj.SetNamespace(key.Namespace) // the same, but without memory of its own
	obj.SetName(key.Name)
	obj.SetResourceVersion(FormatRevision(modRevision))
	if IsPartial(obj) { // another program has written a partial object
		obj.SetSelfLink("")
	}
	return obj, nil
}

// decodePlain decodes into this kind's own type, or into that of the version
// that the value is of, from which it converts.
func (k *kindInfo) decodePlain(c *codec, plain []byte) (Object, error) {
	obj := k.newObject()
	gvk, err := c.unmarshal(plain, obj)
	if gvk == k.gvk {
		return obj, err
	}
	stored := k.version(gvk)
	if stored == nil {
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("value is of kind %q, want %q", gvk, k.gvk)
	}
	obj = stored.newObject()
	if _, err := c.unmarshal(plain, obj); err != nil {
		return nil, err
	}
	return convert(obj, stored, k)
}

// unmarshal decodes a value that is not encrypted into a zero object, and says what kind it is of,
// even when it is none that obj can be. In JSON, field names are matched exactly
// and integers stay integers.
func (c *codec) unmarshal(plain []byte, obj Object) (schema.GroupVersionKind, error) {
	if isProtobuf(plain) {
		return decodeProtobuf(plain, obj)
	}
	err := kubejson.Unmarshal(plain, obj, kubejson.Options{Strings: c.strings, Values: c.shared, Strict: c.strict})
	if err == nil {
		return obj.GetObjectKind().GroupVersionKind(), nil
	}
	var tag metav1.TypeMeta
	if kubejson.Unmarshal(plain, &tag, kubejson.Options{}) != nil {
		return schema.GroupVersionKind{}, err
	}
	return tag.GroupVersionKind(), err
}

// timestamp is a time as it is after it has been stored, so that what a write
// returns equals what a read does.
func timestamp(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second).Local()) }

// FormatRevision returns a revision in the form of a resourceVersion, for example for
// [DeleteOptions].ResourceVersion.
func FormatRevision(revision int64) string { return strconv.FormatInt(revision, 10) }

// ParseRevision is the inverse of [FormatRevision]. For the empty string and "0" it
// returns 0, which stands for any revision. It returns an error for anything else that
// is not a positive number.
func ParseRevision(resourceVersion string) (int64, error) {
	if resourceVersion == "" {
		return 0, nil
	}
	rev, err := strconv.ParseInt(resourceVersion, 10, 64)
	if err != nil || rev < 0 {
		return 0, fmt.Errorf("resourceVersion %q is not a revision of etcd", resourceVersion)
	}
	return rev, nil
}
