package kubejson

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	kjson "sigs.k8s.io/json"
)

// compareShared checks that decoding data gives the same result after the cache has seen
// before, a text that may have parts in common with data.
func compareShared(t *testing.T, before, data []byte, targets ...func() any) {
	t.Helper()
	for _, strict := range []bool{false, true} {
		o := Options{Strings: NewInterner(), Values: NewValues(), Strict: strict}
		for _, target := range targets {
			for range 3 {
				decode(before, target(), o)
			}
			for range 2 {
				got, want := target(), target()
				if _, ok := decode(data, got, o); !ok {
					continue
				}
				if err := original(data, want, strict); err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("after %q, %T makes of %q (strict: %v)\n%#v\nwant\n%#v\n%v", before, got, data, strict, got, want, err)
				}
			}
		}
	}
}

func original(data []byte, into any, strict bool) error {
	if !strict {
		return kjson.UnmarshalCaseSensitivePreserveInts(data, into)
	}
	errs, err := kjson.UnmarshalStrict(data, into)
	if err == nil && len(errs) > 0 {
		err = errs[0]
	}
	return err
}

func TestSharingHostileInput(t *testing.T) {
	like := func() any { return new(sorts) }
	parts := []string{
		`1`, `12`, `-1`, `1.0`, `1e2`, `true`, `"a"`, `"a\"b"`, `"a\\"`, `"\u0061"`, `""`, `null`, `{}`, `{"a":"b"}`, `{ "a":"b"}`, `{"a":"b","a":"c"}`, `{"a":null}`, `[]`,
		`["a"]`, `[{}]`, `[null]`, `["]"]`, `{"text":"}"}`, `{"text":"a"}`, `{"text":"a","nonsense":1}`, `{"self":{"self":{}}}`, `"AAE="`, `"2024-02-29T12:00:00Z"`,
	}
	cut := []string{``, `x`, `1`, `.5`, `"`, `]`, `}`, ` 1`, `:`, `,`, `\`, "\x00", "\u00e9", `{}`}
	for _, name := range []string{"large", "pointer", "map", "self", "selves", "ints", "lists", "loose", "bytes", "secrets", "times", "quantity", "object", "fields"} {
		for i, part := range parts {
			before := []byte(`{"` + name + `":` + part + `}`)
			for _, c := range cut {
				compareShared(t, before, []byte(`{"`+name+`":`+part+c+`}`), like)
			}
			compareShared(t, before, []byte(`{"`+name+`":`+parts[(i+1)%len(parts)]+`,"self":{"`+name+`":`+part+`}}`), like)
			compareShared(t, before, before[:len(before)-1], like)
			compareShared(t, before, before[:len(before)-2], like)
		}
	}
	// Values cached at depth 0 are found at depths where the fast path gives up.
	for _, depth := range []int{maxDepth - 2, maxDepth - 1, maxDepth, 9_990, 10_010} {
		compareShared(t, []byte(`{"ints":[1],"map":{}}`), []byte(strings.Repeat(`{"self":`, depth)+`{"ints":[1],"map":{}}`+strings.Repeat(`}`, depth)), like)
	}
}

func FuzzSharing(f *testing.F) {
	d := encode(f, someDeployment())
	f.Add(d, d)
	f.Add(d, []byte(strings.Replace(string(d), `"app":"web"`, `"app":"web2"`, 1)))
	f.Add([]byte(`{"pointer":"a","ints":[1]}`), []byte(`{"pointer":"a""ints":[1]]}`))
	f.Add([]byte(`{"selves":[{"text":"]"}]}`), []byte(`{"selves":[{"text":"\"]"}],"self":{"selves":[{"text":"]"}]}}`))
	last := d
	for i, data := range hostile() {
		if i%29 == 0 && len(data) < 1000 {
			f.Add(last, []byte(data))
			last = []byte(data)
		}
	}
	f.Fuzz(func(t *testing.T, before, data []byte) {
		if !endless.Match(before) && !endless.Match(data) {
			compareShared(t, before, data, targets...)
		}
	})
}

// Decoders that run concurrently can share one cache.
func TestConcurrentSharing(t *testing.T) {
	o := Options{Strings: NewInterner(), Values: NewValues()}
	values := make([][]byte, 3)
	for i := range values {
		d := someDeployment()
		d.Labels["app"] = fmt.Sprint("web-", i)
		values[i] = encode(t, d)
	}
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := range 200 {
				data := values[(i+n)%len(values)]
				got, want := new(appsv1.Deployment), new(appsv1.Deployment)
				if err := original(data, want, false); err != nil {
					t.Error(err)
				}
				if _, ok := decode(data, got, o); !ok || !reflect.DeepEqual(got, want) {
					t.Errorf("got %#v, want %#v", got, want)
				}
			}
		})
	}
	all.Wait()
}

// Shared slices have no spare capacity, so that an append copies them.
func TestNoSpareCapacity(t *testing.T) {
	data := []byte(`{"bytes":"AAEC","secrets":{"a":"AA=="},"ints":[1,2,3],"lists":[["a","b","c"]],"any":[1,2,3],"loose":{"a":[1,2,3]}}`)
	for _, o := range []Options{{}, {Values: NewValues()}} {
		var s sorts
		if _, ok := decode(data, &s, o); !ok {
			t.Fatal("the fast path gives up")
		}
		for what, room := range map[string]int{
			"bytes": cap(s.Bytes) - len(s.Bytes), "secrets": cap(s.Secrets["a"]) - len(s.Secrets["a"]), "ints": cap(s.Ints) - len(s.Ints),
			"lists": cap(s.Lists[0]) - len(s.Lists[0]), "any": cap(s.Any.([]any)) - 3, "loose": cap(s.Loose["a"].([]any)) - 3,
		} {
			if room != 0 {
				t.Errorf("%s: spare capacity of %d", what, room)
			}
		}
	}
}
