package store

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
)

// encryptedPrefix is what stands before an encrypted value, followed by the
// key's name and a colon. It is Kubernetes' own form.
const encryptedPrefix = "k8s:enc:aesgcm:v1:"

// EncryptionKey is an AES key. Values are encrypted with AES-GCM under a random
// nonce; a value's etcd key is authenticated with it, so that a value put under
// another key does not decrypt. One key should not write more than some 2^32
// values.
type EncryptionKey struct {
	// Name stands in each value, to find the key by. It has no colon.
	Name string
	// Secret has 16, 24 or 32 bytes, for AES-128, -192 or -256.
	Secret []byte
}

// keyring encrypts with its first key and decrypts with any. A nil keyring does
// neither.
type keyring struct {
	first string
	byKey map[string]cipher.AEAD
}

func newKeyring(keys []EncryptionKey) (*keyring, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	ring := &keyring{first: keys[0].Name, byKey: map[string]cipher.AEAD{}}
	for _, key := range keys {
		if key.Name == "" || strings.Contains(key.Name, ":") {
			return nil, fmt.Errorf("encryption key %q: the name must not be empty nor have a colon", key.Name)
		}
		if ring.byKey[key.Name] != nil {
			return nil, fmt.Errorf("encryption key %q is given twice", key.Name)
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

// seal encrypts a value for the etcd key that it is to stand under.
func (r *keyring) seal(etcdKey string, plain []byte) (string, error) {
	if r == nil {
		return string(plain), nil
	}
	aead := r.byKey[r.first]
	header := encryptedPrefix + r.first + ":"
	sealed := make([]byte, len(header)+aead.NonceSize(), len(header)+aead.NonceSize()+len(plain)+aead.Overhead())
	copy(sealed, header)
	nonce := sealed[len(header):]
	if _, err := rand.Read(nonce); err != nil {
		return "", err
	}
	return string(aead.Seal(sealed, nonce, plain, []byte(etcdKey))), nil
}

// open decrypts a value, and returns one that is not encrypted as it is.
func (r *keyring) open(etcdKey string, value []byte) ([]byte, error) {
	name, sealed, encrypted := splitSealed(value)
	if !encrypted {
		return value, nil
	}
	if r == nil || r.byKey[name] == nil {
		return nil, fmt.Errorf("value is encrypted with the key %q, which this store does not have", name)
	}
	aead := r.byKey[name]
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("encrypted value is cut short")
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(etcdKey))
	if err != nil {
		return nil, fmt.Errorf("value does not decrypt with the key %q: it was changed, or is another etcd key's: %w", name, err)
	}
	return plain, nil
}

// current reports whether a value is sealed as this keyring would seal it now.
func (r *keyring) current(value []byte) bool {
	name, _, encrypted := splitSealed(value)
	if r == nil {
		return !encrypted
	}
	return encrypted && name == r.first
}

func splitSealed(value []byte) (name string, sealed []byte, encrypted bool) {
	rest, ok := bytes.CutPrefix(value, []byte(encryptedPrefix))
	if !ok {
		return "", nil, false
	}
	n, sealed, ok := bytes.Cut(rest, []byte(":"))
	return string(n), sealed, ok
}
