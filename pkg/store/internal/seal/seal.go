// Package seal encrypts values with AES-GCM in the form that Kubernetes uses for
// encryption at rest.
//
// Each value gets a random nonce. The etcd key of a value is authenticated with it,
// so a value that was copied to another key does not decrypt.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
)

// prefix begins an encrypted value. The name of the key and a colon follow it.
const prefix = "k8s:enc:aesgcm:v1:"

// Key is an AES key.
type Key struct {
	// Name is stored in each value, to find the key. It must not contain a colon.
	Name string
	// Secret has 16, 24 or 32 bytes, for AES-128, AES-192 or AES-256.
	Secret []byte
}

// Options configure a Keyring.
type Options struct {
	// Keys are the keys. The first one encrypts. If that is the zero Key, values are
	// written as plaintext. Defaults to none.
	Keys []Key
	// RefusePlaintext makes Open refuse a value that is not encrypted. It requires Keys.
	// Defaults to accepting it.
	RefusePlaintext bool
}

// Keyring encrypts with its first key and decrypts with any of its keys. A nil Keyring
// encrypts nothing and refuses encrypted values. It is safe for concurrent use.
type Keyring struct {
	first           string // the name of the key that Seal uses; empty for plaintext
	firstKey        string // the name of the first key that is not empty
	byKey           map[string]cipher.AEAD
	refusePlaintext bool
}

// NewKeyring returns a keyring, or nil if there are no keys.
func NewKeyring(o Options) (*Keyring, error) {
	if len(o.Keys) == 0 && o.RefusePlaintext {
		return nil, errors.New("plaintext can be refused only with encryption keys")
	}
	if len(o.Keys) == 0 {
		return nil, nil
	}
	ring := &Keyring{first: o.Keys[0].Name, byKey: map[string]cipher.AEAD{}, refusePlaintext: o.RefusePlaintext}
	keys := o.Keys
	if keys[0].Name == "" && len(keys[0].Secret) == 0 {
		if keys = keys[1:]; o.RefusePlaintext {
			return nil, errors.New("plaintext cannot be both refused and written: the first encryption key is empty")
		}
	}
	if len(keys) > 0 {
		ring.firstKey = keys[0].Name
	}
	for _, key := range keys {
		if key.Name == "" || strings.Contains(key.Name, ":") {
			return nil, fmt.Errorf("encryption key %q: the name must not be empty or contain a colon", key.Name)
		}
		if ring.byKey[key.Name] != nil {
			return nil, fmt.Errorf("encryption key %q: the name is used twice", key.Name)
		}
		block, err := aes.NewCipher(key.Secret)
		if err != nil {
			return nil, fmt.Errorf("encryption key %q: %w", key.Name, err)
		}
		if ring.byKey[key.Name], err = cipher.NewGCM(block); err != nil {
			return nil, fmt.Errorf("encryption key %q: %w", key.Name, err)
		}
	}
	return ring, nil
}

// Encrypts reports whether Seal encrypts.
func (r *Keyring) Encrypts() bool { return r != nil && r.first != "" }

// Seal encrypts a value that is to be stored under an etcd key.
func (r *Keyring) Seal(etcdKey string, plain []byte) (string, error) {
	if !r.Encrypts() {
		return string(plain), nil
	}
	return r.seal(r.first, etcdKey, plain)
}

// SealElsewhere encrypts a value that is to be stored outside etcd. Other than Seal, it
// also does so if the first key is empty, since the value may have been encrypted in etcd.
func (r *Keyring) SealElsewhere(etcdKey string, plain []byte) (string, error) {
	if r == nil || r.firstKey == "" {
		return string(plain), nil
	}
	return r.seal(r.firstKey, etcdKey, plain)
}

func (r *Keyring) seal(name, etcdKey string, plain []byte) (string, error) {
	aead := r.byKey[name]
	header := prefix + name + ":"
	sealed := make([]byte, len(header)+aead.NonceSize(), len(header)+aead.NonceSize()+len(plain)+aead.Overhead())
	copy(sealed, header)
	nonce := sealed[len(header):]
	if _, err := rand.Read(nonce); err != nil {
		return "", err
	}
	return string(aead.Seal(sealed, nonce, plain, []byte(etcdKey))), nil
}

// Open decrypts a value that was read from an etcd key. It returns a value that is
// not encrypted as it is, or refuses it; see [Options]. Errors have nothing of the
// value but the name of its key.
func (r *Keyring) Open(etcdKey string, value []byte) ([]byte, error) {
	name, sealed, encrypted := split(value)
	if !encrypted {
		if !r.Reads("") {
			return nil, errors.New("the value is not encrypted, and the store refuses such values")
		}
		return value, nil
	}
	if name == "" || !r.Reads(name) {
		return nil, fmt.Errorf("the value is encrypted with the key %.64q, which is not among the encryption keys", name)
	}
	aead := r.byKey[name]
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("the encrypted value is cut short")
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(etcdKey))
	if err != nil {
		return nil, fmt.Errorf("the value does not decrypt with the key %q: it was changed, or copied from another etcd key: %w", name, err)
	}
	return plain, nil
}

// Reads reports whether Open accepts values that are encrypted with a key, or, for the
// empty name, values that are not encrypted.
func (r *Keyring) Reads(name string) bool {
	if name == "" {
		return r == nil || !r.refusePlaintext
	}
	return r != nil && r.byKey[name] != nil
}

// IsCurrent reports whether Seal would encrypt the value with the same key, or would
// not encrypt it either.
func (r *Keyring) IsCurrent(value []byte) bool {
	first := ""
	if r != nil {
		first = r.first
	}
	return KeyName(value) == first
}

// KeyName returns the name of the key that a value is encrypted with, or nothing if it
// is not encrypted.
func KeyName(value []byte) string {
	name, _, encrypted := split(value)
	if !encrypted {
		return ""
	}
	return name
}

func split(value []byte) (name string, sealed []byte, encrypted bool) {
	rest, ok := bytes.CutPrefix(value, []byte(prefix))
	if !ok {
		return "", nil, false
	}
	n, sealed, ok := bytes.Cut(rest, []byte(":"))
	return string(n), sealed, ok
}
