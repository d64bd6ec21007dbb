package seal_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/homeostat/homeostat/pkg/store/internal/seal"
)

func keyring(t *testing.T, names ...string) *seal.Keyring {
	t.Helper()
	var keys []seal.Key
	for _, name := range names {
		keys = append(keys, seal.Key{Name: name, Secret: bytes.Repeat([]byte(name[:1]), 32)})
	}
	ring, err := seal.NewKeyring(seal.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestRotation(t *testing.T) {
	old, both, none := keyring(t, "old"), keyring(t, "new", "old"), keyring(t)
	sealed, err := old.Seal("/a", []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	value := []byte(sealed)
	if plain, err := both.Open("/a", value); err != nil || string(plain) != "plain" {
		t.Errorf("with both keys: %q, %v", plain, err)
	}
	if !old.IsCurrent(value) || both.IsCurrent(value) || none.IsCurrent(value) {
		t.Error("only the keyring that sealed a value may take it as current")
	}
	if _, err := none.Open("/a", value); err == nil || !strings.Contains(err.Error(), `"old"`) {
		t.Errorf("without the key: %v", err)
	}
	if plain, err := both.Open("/a", []byte("plain")); err != nil || string(plain) != "plain" {
		t.Errorf("a value that is not encrypted: %q, %v", plain, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	ring := keyring(t, "k")
	sealed, err := ring.Seal("/a", []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	changed := []byte(sealed)
	changed[len(changed)-1] ^= 1
	for name, c := range map[string]struct {
		key   string
		value []byte
	}{
		"another etcd key": {"/b", []byte(sealed)},
		"a changed value":  {"/a", changed},
		"a short value":    {"/a", []byte(sealed)[:len("k8s:enc:aesgcm:v1:k:")+5]},
	} {
		if _, err := ring.Open(c.key, c.value); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestRefusePlaintext(t *testing.T) {
	ring, err := seal.NewKeyring(seal.Options{Keys: []seal.Key{{Name: "k", Secret: make([]byte, 16)}}, RefusePlaintext: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, plain := range []string{"", "{}", "k8s:enc:aesgcm:v1:", "k8s:enc:aesgcm:v1:k", "k8s:enc:aesgcm:v1::", "k8s\x00"} {
		if got, err := ring.Open("/a", []byte(plain)); err == nil {
			t.Errorf("%q is accepted as %q", plain, got)
		}
	}
	sealed, err := ring.Seal("/a", []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ring.Open("/a", []byte(sealed)); err != nil || string(got) != "plain" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := seal.NewKeyring(seal.Options{RefusePlaintext: true}); err == nil {
		t.Error("accepted without keys")
	}
}

func TestPlaintextFirst(t *testing.T) {
	key := seal.Key{Name: "k", Secret: make([]byte, 16)}
	both, err := seal.NewKeyring(seal.Options{Keys: []seal.Key{{}, key}})
	if err != nil {
		t.Fatal(err)
	}
	if value, err := both.Seal("/a", []byte("plain")); err != nil || value != "plain" || both.Encrypts() || !both.IsCurrent([]byte(value)) {
		t.Errorf("%q, %v", value, err)
	}
	if value, err := both.SealElsewhere("/a", []byte("plain")); err != nil || seal.KeyName([]byte(value)) != "k" {
		t.Errorf("elsewhere: %q, %v", value, err)
	}
	only, err := seal.NewKeyring(seal.Options{Keys: []seal.Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := only.Seal("/a", []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := both.Open("/a", []byte(sealed)); err != nil || string(got) != "plain" || both.IsCurrent([]byte(sealed)) {
		t.Errorf("%q, %v", got, err)
	}
	for name, o := range map[string]seal.Options{
		"refused":   {Keys: []seal.Key{{}, key}, RefusePlaintext: true},
		"not first": {Keys: []seal.Key{key, {}}},
		"twice":     {Keys: []seal.Key{{}, {}}},
	} {
		if _, err := seal.NewKeyring(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestNewKeyringRefuses(t *testing.T) {
	secret := bytes.Repeat([]byte("x"), 16)
	for name, keys := range map[string][]seal.Key{
		"no name":        {{Secret: secret}},
		"a colon":        {{Name: "a:b", Secret: secret}},
		"a short secret": {{Name: "a", Secret: secret[:5]}},
		"one name twice": {{Name: "a", Secret: secret}, {Name: "a", Secret: secret}},
	} {
		if _, err := seal.NewKeyring(seal.Options{Keys: keys}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
