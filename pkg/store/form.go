package store

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Form is the form in which a value is stored. It is comparable.
type Form struct {
	// Version is the version of the value's kind, such as "v1".
	Version string
	// Codec is the value's encoding.
	Codec Codec
	// EncryptionKey is the name of the key that the value is encrypted with. It is empty
	// if the value is not encrypted; see [Options].RefusePlaintext.
	EncryptionKey string
	// UnknownFields says that the value has fields that the Go type lacks, for example
	// because a later version of the program has written it. The decoded object does not
	// have them, and writes keep them; see the package documentation.
	UnknownFields bool
}

// String returns for example "v1 json", "v1 protobuf, encrypted with k2" or "v1 json,
// with unknown fields".
func (f Form) String() string {
	s := fmt.Sprintf("%s %s", f.Version, f.Codec)
	if f.EncryptionKey != "" {
		s += ", encrypted with " + f.EncryptionKey
	}
	if f.UnknownFields {
		s += ", with unknown fields"
	}
	return s
}

// Reads reports whether the store decodes values of a form: whether it has the
// encryption key, and its options refuse neither values that are not encrypted nor
// unknown fields. It does not say whether the store knows the version. Use it to check
// values that another process, with other options, has decoded.
func (s *Store) Reads(f Form) bool {
	c := s.kinds.codec
	return c.keys.Reads(f.EncryptionKey) && !(c.strict && f.Codec == JSON && f.UnknownFields)
}

// Encrypts reports whether the store has encryption keys. Errors of such a store have
// nothing of the content of values; see [Options].EncryptionKeys.
func (s *Store) Encrypts() bool { return s.kinds.codec.keys != nil }

// Decoded is a decoded value.
type Decoded struct {
	// Object is the object, of the type that the decoder was made for.
	Object Object
	// Key is the object's namespace and name.
	Key Key
	// Form is how the value is stored.
	Form Form
}

// formOf returns the form of a value whose content is of a kind.
func formOf(gvk schema.GroupVersionKind, plain []byte, encryptionKey string, unknown bool) Form {
	f := Form{Version: gvk.Version, Codec: JSON, EncryptionKey: encryptionKey, UnknownFields: unknown}
	if isProtobuf(plain) {
		f.Codec = Protobuf
	}
	return f
}
