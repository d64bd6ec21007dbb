package store

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/internal/cost"
	"github.com/homeostat/homeostat/pkg/store/internal/fault"
	"github.com/homeostat/homeostat/pkg/store/internal/kubejson"
	"github.com/homeostat/homeostat/pkg/store/internal/preserve"
	"github.com/homeostat/homeostat/pkg/store/internal/seal"
)

// Codec is an encoding of values. A store reads values of every encoding, since each
// value shows which one it has; Codec is only what the store writes. Use [Rewrite] to
// convert the values of a running store.
type Codec string

const (
	// JSON is legible, in etcdctl too. It is the default.
	JSON Codec = "json"
	// Protobuf is Kubernetes' own form: smaller, and faster to read. Types that
	// do not have it, such as [Resource], are written as JSON.
	Protobuf Codec = "protobuf"
)

// EncryptionKey is an AES key for values. Values are encrypted with AES-GCM under a
// random nonce, and bound to their etcd key: a value that was copied to another key
// does not decrypt. Do not write more than about 2^32 values with one key.
type EncryptionKey struct {
	// Name is stored in each value and says which key decrypts it. It must not
	// contain a colon.
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

	// strings has strings that recur in values; objects share them. shared has other
	// recurring parts of values. It is nil unless the decoded objects are never changed.
	strings *kubejson.Interner
	shared  *kubejson.Values
}

// setCodec sets the codec and the key prefix of each kind.
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
	if c.keys, err = seal.NewKeyring(seal.Options{Keys: sealKeys(o.EncryptionKeys), RefusePlaintext: o.RefusePlaintext}); err != nil {
		return err
	}
	ks.codec = c
	for _, k := range ks.byType {
		k.codec, k.prefix = c, l.kindPrefix(k.resource)
	}
	return nil
}

// encode returns the stored form of an object. It has apiVersion and kind, and no
// resourceVersion, which is the key's ModRevision. encode changes obj while it runs and
// restores it, so nothing else may use obj meanwhile.
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

func (k *kindInfo) encodePlain(obj Object) ([]byte, error) {
	return k.encodePlainAs(obj, k.codec.form)
}

func (k *kindInfo) encodePlainAs(obj Object, form Codec) (plain []byte, err error) {
	defer func() {
		if err != nil {
			plain, err = nil, fmt.Errorf("encode %s %s: %w", k.gvk.Kind, KeyOf(obj), k.codec.hide(err))
		}
	}()
	rv := obj.GetResourceVersion()
	obj.SetResourceVersion("")
	obj.GetObjectKind().SetGroupVersionKind(k.gvk)
	defer obj.SetResourceVersion(rv)
	if message, ok := obj.(protoMessage); ok && form == Protobuf {
		plain, err = encodeProtobuf(k.gvk, message)
	} else {
		plain, err = marshal(obj)
	}
	if err == nil {
		err = k.checkReadable(plain)
	}
	return plain, err
}

// checkReadable returns an error for an encoded object that this store would refuse to
// decode because of its cost, such as one with a quantity of 1e999999999.
func (k *kindInfo) checkReadable(plain []byte) error {
	if !isCostly(plain) {
		return nil
	}
	_, _, err := k.decodePlain(k.codec, plain)
	return err
}

func isCostly(plain []byte) bool {
	if isProtobuf(plain) {
		_, reason := cost.Protobuf(plain[len(protobufPrefix):])
		return reason != nil
	}
	return cost.IsCostly(plain)
}

// UnmarshalStrict decodes JSON, such as a manifest, into the value that into points to,
// which must be zero. It is the function of that name in sigs.k8s.io/json: strict has
// unknown and duplicate fields, and err says why the value cannot be decoded.
//
// Unlike that one, it refuses what the store cannot read either: values that take more
// time to decode than their length allows, for example because they have a quantity of
// 1e-999999999.
func UnmarshalStrict(data []byte, into any) (strict []error, err error) {
	return kubejson.UnmarshalStrict(data, into)
}

// encodeOver returns the stored form of an object that replaces prior. Fields of the
// stored value that the kind's type lacks stay. The value then also keeps its version
// and its codec, since only they can hold those fields.
func (k *kindInfo) encodeOver(obj Object, prior *stored) (string, error) {
	if !prior.form.UnknownFields {
		return k.encode(obj)
	}
	plain, err := k.mergeInto(obj, prior)
	if err != nil {
		return "", fmt.Errorf("encode %s %s: %w", k.gvk.Kind, KeyOf(obj), k.codec.hide(err))
	}
	return k.seal(obj, plain)
}

func (k *kindInfo) mergeInto(obj Object, prior *stored) ([]byte, error) {
	plain, err := k.codec.keys.Open(k.etcdKey(KeyOf(obj)), prior.value)
	if err != nil {
		return nil, err
	}
	gvk := k.gvk
	gvk.Version = prior.form.Version
	as := k.version(gvk)
	old, err := k.encodeAs(prior.obj, as, prior.form.Codec)
	if err != nil {
		return nil, err
	}
	changed, err := k.encodeAs(obj, as, prior.form.Codec)
	if err != nil {
		return nil, err
	}
	if prior.form.Codec == Protobuf {
		return mergeProtobuf(as, plain, old, changed)
	}
	return preserve.JSON(as.goType, plain, old, changed)
}

// encodeAs encodes an object of this kind in a version and a codec.
func (k *kindInfo) encodeAs(obj Object, version *kindInfo, form Codec) ([]byte, error) {
	obj, err := convert(obj.DeepCopyObject().(Object), k, version)
	if err != nil {
		return nil, err
	}
	return version.encodePlainAs(obj, form)
}

// decode decodes a stored value of any encoding and version into an object of this
// kind. It returns an error if the object's name is not that of its key: somebody has
// copied the value by hand, and no controller should act on the copy.
func (k *kindInfo) decode(key Key, value []byte, modRevision int64) (Decoded, error) {
	return k.decodeBy(k.decodePlain, k.codec, key, value, modRevision)
}

// plainDecoder decodes a value that is not encrypted.
type plainDecoder func(c *codec, plain []byte) (Object, valueType, error)

// valueType is the kind of the object in a value, and whether the value has fields that the
// kind's type lacks.
type valueType struct {
	gvk     schema.GroupVersionKind
	unknown bool
}

func (k *kindInfo) decodeBy(by plainDecoder, c *codec, key Key, value []byte, modRevision int64) (Decoded, error) {
	plain, err := k.codec.keys.Open(k.etcdKey(key), value)
	if err != nil {
		return Decoded{}, err
	}
	obj, held, err := k.decodeAs(by, c, key, plain)
	if err != nil {
		return Decoded{}, k.explain(c, plain, err)
	}
	obj.SetNamespace(key.Namespace) // an equal string that shares the key's memory
	obj.SetName(key.Name)
	obj.SetResourceVersion(FormatRevision(modRevision))
	if IsPartial(obj) { // another program has written a partial object
		obj.SetSelfLink("")
	}
	return Decoded{obj, key, formOf(held.gvk, plain, seal.KeyName(value), held.unknown)}, nil
}

// decodeAs decodes a value of a key that is not encrypted. It returns a panic as an error.
func (k *kindInfo) decodeAs(by plainDecoder, c *codec, key Key, plain []byte) (obj Object, held valueType, err error) {
	defer fault.Recover("decoding", &err)
	if obj, held, err = by(c, plain); err != nil {
		return nil, held, err
	}
	if got := KeyOf(obj); got != key {
		return nil, held, &fault.Error{Fault: "the value is of another object", Err: fmt.Errorf("value is of object %q, want %q", got, key)}
	}
	return obj, held, nil
}

// explain returns the error of a value that does not decode. If the store encrypts, the
// error says where the fault is and of what kind, and nothing of the value.
func (k *kindInfo) explain(c *codec, plain []byte, err error) error {
	if c.keys == nil {
		return err
	}
	if isProtobuf(plain) {
		return fault.Hide(err)
	}
	as := k
	var tag metav1.TypeMeta
	if _, err := kubejson.Unmarshal(plain, &tag, kubejson.Options{}); err == nil {
		as = cmp.Or(k.version(tag.GroupVersionKind()), k)
	}
	return fault.HideJSON(err, plain, as.goType, kubejson.Options{Strict: c.strict})
}

// hide returns an error without the content of values if the store encrypts them.
func (c *codec) hide(err error) error {
	if c.keys == nil {
		return err
	}
	return fault.Hide(err)
}

// decodePlain decodes a value into this kind's type. If the value has another version of
// the kind, decodePlain decodes that version and converts it.
func (k *kindInfo) decodePlain(c *codec, plain []byte) (Object, valueType, error) {
	obj := k.newObject()
	held, err := c.unmarshal(plain, obj)
	if held.gvk == k.gvk {
		return obj, held, err
	}
	stored := k.version(held.gvk)
	if stored == nil {
		if err != nil {
			return nil, held, err
		}
		return nil, held, k.otherKind(held.gvk)
	}
	obj = stored.newObject()
	if held, err = c.unmarshal(plain, obj); err != nil {
		return nil, held, err
	}
	obj, err = convert(obj, stored, k)
	return obj, held, err
}

// versionName matches the versions of Kubernetes' APIs.
var versionName = regexp.MustCompile(`^v[1-9][0-9]{0,3}((alpha|beta)[1-9][0-9]{0,3})?$`)

// otherKind returns the error of a value that is of another kind, or of a version that
// the store does not know.
func (k *kindInfo) otherKind(gvk schema.GroupVersionKind) error {
	text := fmt.Sprintf("the value is of another kind or version, want %q", k.gvk)
	if gvk.GroupKind() == k.gvk.GroupKind() && versionName.MatchString(gvk.Version) {
		text = fmt.Sprintf("the value is of kind %q, want %q", gvk, k.gvk)
	}
	return &fault.Error{Fault: text, Err: fmt.Errorf("value is of kind %q, want %q", gvk, k.gvk)}
}

// unmarshal decodes a value that is not encrypted into a zero object. It returns the
// kind of the value, even if obj has another type or decoding fails. In JSON, field
// names are matched exactly, and integers stay integers.
func (c *codec) unmarshal(plain []byte, obj Object) (valueType, error) {
	if isProtobuf(plain) {
		return decodeProtobuf(plain, obj)
	}
	unknown, err := c.unmarshalJSON(plain, obj)
	if err == nil {
		return valueType{obj.GetObjectKind().GroupVersionKind(), unknown}, nil
	}
	var tag metav1.TypeMeta
	if _, tagErr := kubejson.Unmarshal(plain, &tag, kubejson.Options{}); tagErr != nil {
		return valueType{}, err
	}
	return valueType{gvk: tag.GroupVersionKind()}, err
}

// unmarshalJSON returns a panic as an error: the value may be of another version, which
// decodes.
func (c *codec) unmarshalJSON(plain []byte, obj Object) (unknown bool, err error) {
	defer fault.Recover("decoding", &err)
	return kubejson.Unmarshal(plain, obj, kubejson.Options{Strings: c.strings, Values: c.shared, Strict: c.strict})
}

// timestamp rounds a time to what a read of the stored object returns.
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
