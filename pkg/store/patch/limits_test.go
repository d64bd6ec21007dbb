package patch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func operations(n int, each func(i int) string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = each(i)
	}
	return "[" + strings.Join(all, ",") + "]"
}

func always(text string) func(int) string { return func(int) string { return text } }

// list has n elements.
func list(n int, each func(i int) string) string { return operations(n, each) }

func sized(format string) func(int) string {
	return func(i int) string { return fmt.Sprintf(format, i) }
}

// No patch takes more time or memory than its length allows.
func TestLimits(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	deep := func(open, shut string, n int) string { return strings.Repeat(open, n) + "1" + strings.Repeat(shut, n) }
	deploy := func(change func(*appsv1.Deployment)) *appsv1.Deployment {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"}}
		d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c"}}
		change(d)
		return d
	}
	none := func(*appsv1.Deployment) {}
	numbered := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprint("f", i))
		}
		return names
	}
	const jsonType, mergeType, strategicType = types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType
	for name, c := range map[string]struct {
		obj   *appsv1.Deployment
		kind  types.PatchType
		patch string
		word  string // of the limit; empty if any other result will do
	}{
		"copies into itself": {deploy(none), jsonType, `[{"op":"add","path":"/a","value":{}},` +
			operations(20, sized(`{"op":"copy","from":"/a","path":"/a/%d"}`))[1:], ""},
		"more copies into itself": {deploy(none), jsonType, `[{"op":"add","path":"/a","value":{}},` +
			operations(100, sized(`{"op":"copy","from":"/a","path":"/a/%d"}`))[1:], "copy more than"},
		"copies of a list": {deploy(none), jsonType, `[{"op":"add","path":"/a","value":[{"":[]}]},` +
			operations(100, always(`{"op":"copy","from":"/a","path":"/a/-"}`))[1:], "copy more than"},
		"copies of the whole": {deploy(none), jsonType, operations(30, sized(`{"op":"copy","from":"","path":"/metadata/a%d"}`)), "copy more than"},
		"copies of a large value": {deploy(func(d *appsv1.Deployment) { d.Annotations = map[string]string{"a": large} }), jsonType,
			operations(5, sized(`{"op":"copy","from":"/metadata/annotations/a","path":"/metadata/annotations/b%d"}`)), "copy more than"},
		"operations":  {deploy(none), jsonType, operations(10_001, always(`{"op":"test","path":"/metadata/name","value":"a"}`)), "10001 operations"},
		"bytes":       {deploy(none), mergeType, `{"metadata":{"annotations":{"a":"` + large + large + large + `"}}}`, "bytes"},
		"bytes, JSON": {deploy(none), jsonType, `[{"op":"add","path":"/a","value":"` + large + large + large + `"}]`, "bytes"},
		"the front":   {deploy(none), jsonType, `[{"op":"add","path":"/a","value":` + list(200_000, always("0")) + `},` + operations(9_990, always(`{"op":"remove","path":"/a/0"}`))[1:], "elements"},
		"moves":       {deploy(none), jsonType, `[{"op":"add","path":"/a","value":` + list(200_000, always("0")) + `},` + operations(9_990, always(`{"op":"move","from":"/a/0","path":"/a/-"}`))[1:], "elements"},
		"depth by adding": {deploy(none), jsonType, operations(40, func(i int) string {
			return `{"op":"add","path":"` + strings.Repeat("/a", 899*i+1) + `","value":` + strings.Replace(deep(`{"a":`, "}", 899), "1", "{}", 1) + "}"
		}), "deep"},
		"depth by copies": {deploy(none), jsonType, `[{"op":"add","path":"/a","value":` + strings.Replace(deep(`{"a":`, "}", 1000), "1", "{}", 1) + `},` + operations(6, func(i int) string {
			return `{"op":"copy","from":"/a","path":"` + strings.Repeat("/a", 1000<<i) + "/a" + `"}`
		})[1:], "deep"},
		"deep value":     {deploy(none), jsonType, `[{"op":"add","path":"/a","value":` + deep("[", "]", 20_000) + "}]", ""},
		"deep path":      {deploy(none), jsonType, `[{"op":"test","path":"` + strings.Repeat("/a", 1_000_000) + `","value":1}]`, ""},
		"deep merge":     {deploy(none), mergeType, `{"a":` + deep(`{"a":`, "}", 9_000) + `,"b":"` + large + `"}`, ""},
		"deeper merge":   {deploy(none), mergeType, deep(`{"a":`, "}", 9_000) + strings.Repeat(" ", 1<<20), ""},
		"deep strategic": {deploy(none), strategicType, deep(`{"spec":`, "}", 9_000), ""},
		"deep nulls":     {deploy(none), strategicType, `{"metadata":{"annotations":` + deep(`{"a":`, "}", 9_000) + `}}`, ""},
		"large index":    {deploy(none), jsonType, `[{"op":"add","path":"/spec/template/spec/containers/2147483648","value":{}}]`, ""},
		"huge index":     {deploy(none), jsonType, `[{"op":"add","path":"/spec/template/spec/containers/-9223372036854775808","value":{}}]`, ""},
		"containers": {deploy(none), strategicType, `{"spec":{"template":{"spec":{"containers":` +
			list(50_000, sized(`{"name":"c%d"}`)) + `}}}}`, "comparisons"},
		"finalizers": {deploy(none), strategicType, `{"metadata":{"finalizers":` + list(200_000, sized(`"f%d"`)) + `}}`, "comparisons"},
		"stored finalizers": {deploy(func(d *appsv1.Deployment) { d.Finalizers = numbered(100_000) }), strategicType,
			`{"metadata":{"finalizers":["a"]}}`, "comparisons"},
		"order": {deploy(func(d *appsv1.Deployment) { d.Finalizers = numbered(5) }), strategicType,
			`{"metadata":{"$setElementOrder/finalizers":` + list(100_000, sized(`"f%d"`)) + `}}`, "comparisons"},
		"deletions": {deploy(func(d *appsv1.Deployment) { d.Finalizers = numbered(20_000) }), strategicType,
			`{"metadata":{"$deleteFromPrimitiveList/finalizers":` + list(20_000, sized(`"f%d"`)) + `}}`, "comparisons"},
		"finalizers at the limit": {deploy(none), strategicType, `{"metadata":{"finalizers":` + list(4_000, sized(`"f%d"`)) + `}}`, ""},
		"containers at the limit": {deploy(func(d *appsv1.Deployment) {
			for _, name := range numbered(2_000) {
				d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{Name: name})
			}
		}), strategicType, `{"spec":{"template":{"spec":{"containers":` + list(2_000, sized(`{"name":"g%d"}`)) + `}}}}`, ""},
		"the front at the limit": {deploy(none), jsonType, `[{"op":"add","path":"/a","value":` + list(100_000, always("0")) + `},` + operations(990, always(`{"op":"move","from":"/a/0","path":"/a/-"}`))[1:], ""},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := Patch{c.kind, []byte(c.patch)}.result(t.Context(), c.obj, false)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%v, %d MiB for %d bytes: %.200v", took, allocated, len(c.patch), err)
			if took > time.Minute || allocated > 200 {
				t.Errorf("took %v and %d MiB", took, allocated)
			}
			if c.word != "" && (err == nil || !strings.Contains(err.Error(), c.word)) {
				t.Errorf("the error is %.500v", err)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

// A patch ends with its context.
func TestPatchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	_, err := Patch{types.JSONPatchType, []byte(`[{"op":"test","path":"/metadata/name","value":"a"}]`)}.result(ctx, d, false)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// The library that Kubernetes uses is the model, where it does not panic.
func TestOperationsAsInKubernetes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	value := func() string {
		all := []string{`1`, `"x"`, `null`, `{}`, `[]`, `{"a":1,"b":[1,2]}`, `[0,{"a":[]},"y"]`, `1.50`, `true`}
		return all[random.IntN(len(all))]
	}
	path := func() string {
		var p string
		for range 1 + random.IntN(3) {
			tokens := []string{"a", "b", "c", "0", "1", "2", "-", "-1", "~1", "~0"}
			p += "/" + tokens[random.IntN(len(tokens))]
		}
		return p
	}
	applied := 0
	for range 10_000 {
		before := `{"a":` + value() + `,"b":` + value() + `,"c":[` + value() + `,` + value() + `]}`
		patch := operations(1+random.IntN(4), func(int) string {
			op := []string{"add", "remove", "replace", "move", "copy", "test"}[random.IntN(6)]
			return fmt.Sprintf(`{"op":%q,"path":%q,"from":%q,"value":%s}`, op, path(), path(), value())
		})
		want, wantErr := byLibrary(before, patch)
		got, err := applyJSON(t.Context(), []byte(before), []byte(patch))
		if errors.Is(wantErr, errPanic) || wantErr == nil && err != nil && strings.Contains(err.Error(), "there is no") && strings.Contains(patch, "copy") {
			continue // it copies null from where nothing is
		}
		if wantErr == nil && (err != nil || !sameJSON(got, want)) {
			t.Fatalf("%s on %s: %s, %v; want %s", patch, before, got, err, want)
		}
		if wantErr == nil {
			applied++
		} else if err == nil && !strings.Contains(patch, "null") && !strings.Contains(patch, "move") && !strings.Contains(before, "null") {
			t.Fatalf("%s on %s: %s; want %v", patch, before, got, wantErr)
		}
	}
	if applied < 200 {
		t.Errorf("only %d patches applied", applied)
	}
}

var errPanic = errors.New("panic")

func byLibrary(before, patch string) (after []byte, err error) {
	defer func() {
		if recover() != nil {
			err = errPanic
		}
	}()
	p, err := jsonpatch.DecodePatch([]byte(patch))
	if err != nil {
		return nil, err
	}
	return p.Apply([]byte(before))
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func TestOperations(t *testing.T) {
	for patch, want := range map[string]string{
		`[{"op":"replace","path":"","value":{"a":null}}]`:                                   `{"a":null}`,
		`[{"op":"add","path":"/a","value":null},{"op":"test","path":"/a","value":null}]`:    `{"a":null,"l":[1,null,{"n":2}]}`,
		`[{"op":"test","path":"/l","value":[1,null,{"n":2}]}]`:                              `{"l":[1,null,{"n":2}]}`,
		`[{"op":"copy","from":"","path":"/c"}]`:                                             `{"c":{"l":[1,null,{"n":2}]},"l":[1,null,{"n":2}]}`,
		`[{"op":"copy","from":"/l/2","path":"/l/-"},{"op":"remove","path":"/l/2/n"}]`:       `{"l":[1,null,{},{"n":2}]}`,
		`[{"op":"move","from":"/l/2/n","path":"/n"},{"op":"move","from":"/l","path":"/l"}]`: `{"l":[1,null,{}],"n":2}`,
		`[{"op":"add","path":"/a~1b~0","value":12345678901234567890}]`:                      `{"a/b~":12345678901234567890,"l":[1,null,{"n":2}]}`,
		`[{"op":"add","path":"/l/1","value":0},{"op":"remove","path":"/l/-1"}]`:             `{"l":[1,0,null]}`,
		`[{"op":"add","path":"/l/4","value":0}]`:                                            "there is no",
		`[{"op":"replace","path":"/x","value":0}]`:                                          `{"l":[1,null,{"n":2}],"x":0}`,
		`[{"op":"test","path":"/x","value":null}]`:                                          `{"l":[1,null,{"n":2}]}`,
		`[{"op":"test","path":"/l/7","value":null}]`:                                        "there is no",
		`[{"op":"test","path":"/x/y","value":null}]`:                                        "there is no",
		`[{"op":"replace","path":"/l/-","value":0}]`:                                        "there is no",
		`[{"op":"remove","path":""}]`:                                                       "whole object",
		`[{"op":"move","from":"/l","path":"/l/2/a"}]`:                                       "into itself",
		`[{"op":"test","path":"/l","value":[1,null,{"n":2.0}]}]`:                            "the test of",
		`[{"op":"add","path":"/a"}]`:                                                        "value is missing",
		`[{"op":"replace","path":""}]`:                                                      "value is missing",
		`[{"op":"copy","path":"/a"}]`:                                                       "from is missing",
		`[{"op":"add","value":1}]`:                                                          "path is missing",
		`[{"op":"add","path":"a","value":1}]`:                                               "slash",
		`[{"op":"ADD","path":"/a","value":1}]`:                                              "unknown operation",
		`[null]`:                                                                            "path is missing",
		`{"op":"add"}`:                                                                      "malformed",
	} {
		got, err := applyJSON(t.Context(), []byte(`{"l":[1,null,{"n":2}]}`), []byte(patch))
		if err != nil && !strings.Contains(err.Error(), want) || err == nil && string(got) != want {
			t.Errorf("%s: %s, %v, want %s", patch, got, err, want)
		}
	}
}

// The cases of RFC 7396.
func TestMerge(t *testing.T) {
	for _, c := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`}, {`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`}, {`{"a":[{"b":"c"}]}`, `{"a":[1,null]}`, `{"a":[1,null]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`}, {`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		if got, err := applyMerge([]byte(c[0]), []byte(c[1])); err != nil || string(got) != c[2] {
			t.Errorf("%s with %s: %s, %v; want %s", c[0], c[1], got, err, c[2])
		}
	}
}
