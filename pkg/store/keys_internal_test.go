package store

import (
	"strings"
	"testing"
)

// FuzzKey checks that a key can be parsed again, and that no name leads out of
// the prefix of its kind or its namespace.
func FuzzKey(f *testing.F) {
	for _, seed := range [][2]string{
		{"default", "a"}, {"", "a"}, {"default", ""}, {".", ".."}, {"a/b", "c"}, {"a", "b/c"}, {"a%2f", "b"}, {"a\x00", "\xff"}, {"a b", "ä"},
	} {
		f.Add(seed[0], seed[1])
	}
	scoped, cluster := fuzzKind(f, false), fuzzKind(f, true)
	layout, err := newLayout("")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, namespace, name string) {
		for _, k := range []*kindInfo{scoped, cluster} {
			want := Key{Namespace: namespace, Name: name}
			key, err := layout.key(k, want)
			if err != nil {
				continue
			}
			rest, ok := strings.CutPrefix(key, layout.kindPrefix(k.resource))
			if !ok {
				t.Fatalf("%q: key %q has left the kind's prefix", want, key)
			}
			if got, ok := k.split(rest); !ok || got != want {
				t.Fatalf("%q: key %q is read as %q, %v", want, key, got, ok)
			}
			for part := range strings.SplitSeq(rest, "/") {
				if part == "" || part == "." || part == ".." {
					t.Fatalf("%q: key %q has a part %q", want, key, part)
				}
			}
			if strings.Count(rest, "/") != strings.Count(namespace+name, "/")+len(namespace)/max(len(namespace), 1) {
				t.Fatalf("%q: key %q has too many parts", want, key)
			}
		}
		// And backwards: what can be read can be written.
		for _, k := range []*kindInfo{scoped, cluster} {
			if key, ok := k.split(name); ok {
				back, err := layout.key(k, key)
				if err != nil || back != layout.kindPrefix(k.resource)+name {
					t.Fatalf("%q is read as %q, which is written as %q, %v", name, key, back, err)
				}
			}
		}
	})
}

// FuzzDecode checks that no stored value makes the store panic, and that an
// object that it decodes can be written and read again unchanged.
func FuzzDecode(f *testing.F) {
	valid := `{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"namespace":"default","name":"a"}`
	for _, seed := range []string{
		"", "null", "{}", "[]", "0", valid, valid + "}", valid + `,"spec":{"list":[1,null],"map":{"":{}},"time":"x"}}`,
		valid + `,"spec":{"list":[1,2],"map":{"a":{"next":{"next":null}}}}}`, valid + `,"spec":null,"status":7}`,
		strings.Repeat(`{"spec":`, 1000), `{"metadata":{"creationTimestamp":"2030-13-01T00:00:00Z"}}`,
	} {
		f.Add([]byte(seed))
	}
	k := fuzzKind(f, false)
	key := Key{Namespace: "default", Name: "a"}
	f.Fuzz(func(t *testing.T, value []byte) {
		d, err := k.decode(key, value, 7)
		if err != nil {
			return
		}
		obj := d.Object
		if KeyOf(obj) != key || obj.GetResourceVersion() != "7" {
			t.Fatalf("decoded %s at %s", KeyOf(obj), obj.GetResourceVersion())
		}
		encoded, err := k.encode(obj.DeepCopyObject().(Object))
		if err != nil {
			return // a value that JSON reads and does not write, such as a year above 9999
		}
		again, err := k.decode(key, []byte(encoded), 7)
		if err != nil {
			t.Fatalf("%s: cannot be decoded again: %v", encoded, err)
		}
		if twice, err := k.encode(again.Object); err != nil || twice != encoded {
			t.Fatalf("%s is encoded as %s, then as %s, %v", value, encoded, twice, err)
		}
	})
}
