package preserve

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

type inner struct {
	A string `json:"a,omitempty"`
}

type sample struct {
	Size   int              `json:"size"`
	Note   string           `json:"note,omitempty"`
	Inner  inner            `json:"inner,omitzero"`
	Ptr    *inner           `json:"ptr,omitempty"`
	Map    map[string]inner `json:"map,omitempty"`
	Plain  []inner          `json:"plain,omitempty"`
	Named  []named          `json:"named,omitempty"`
	Ported []ported         `json:"ported,omitempty"`
	Nested [][]inner        `json:"nested,omitempty"`
	Any    any              `json:"any,omitempty"`
	Embedded
}

type Embedded struct {
	Deep inner `json:"deep,omitzero"`
}

type named struct {
	Name  string `json:"name"`
	Value int    `json:"value"`
}

type ported struct {
	Port int    `json:"port" patchMergeKey:"never"`
	Text string `json:"text,omitempty"`
}

// Each case changes what a program knows of a value, and keeps the rest. `+` marks what
// the type lacks.
func TestJSON(t *testing.T) {
	for name, c := range map[string]struct {
		stored string
		change func(*sample)
		want   string
	}{
		"a field beside": {
			`{"size":1,"+":{"deep":[1,2]}}`,
			func(s *sample) { s.Size = 2 },
			`{"size":2,"+":{"deep":[1,2]}}`},
		"a number that no float holds": {
			`{"size":1,"+":12345678901234567890123,"+e":1e999}`,
			func(s *sample) { s.Size = 2 },
			`{"size":2,"+":12345678901234567890123,"+e":1e999}`},
		"a field is removed": {
			`{"size":1,"note":"x","+":1}`,
			func(s *sample) { s.Note = "" },
			`{"size":1,"+":1}`},
		"a field is added": {
			`{"+":1}`,
			func(s *sample) { s.Note = "x" },
			`{"size":0,"note":"x","+":1}`},
		"a struct is emptied": {
			`{"size":1,"inner":{"a":"x","+":1}}`,
			func(s *sample) { s.Inner = inner{} },
			`{"size":1,"inner":{"+":1}}`},
		"a struct is filled": {
			`{"size":1,"inner":{"+":1}}`,
			func(s *sample) { s.Inner.A = "x" },
			`{"size":1,"inner":{"a":"x","+":1}}`},
		"an embedded struct": {
			`{"size":1,"deep":{"a":"x","+":1}}`,
			func(s *sample) { s.Deep.A = "" },
			`{"size":1,"deep":{"+":1}}`},
		"a pointer is removed with all it has": {
			`{"size":1,"ptr":{"a":"x","+":1}}`,
			func(s *sample) { s.Ptr = nil },
			`{"size":1}`},
		"a pointer to what is empty": {
			`{"size":1,"ptr":{"+":1}}`,
			func(s *sample) { s.Ptr.A = "y" },
			`{"size":1,"ptr":{"a":"y","+":1}}`},
		"entries of a map": {
			`{"size":1,"map":{"k":{"a":"x","+":1},"l":{"+":2},"m":{"+":3}}}`,
			func(s *sample) { delete(s.Map, "k"); s.Map["l"] = inner{"y"}; s.Map["n"] = inner{"z"} },
			`{"size":1,"map":{"l":{"a":"y","+":2},"m":{"+":3},"n":{"a":"z"}}}`},
		"null stays": {
			`{"size":1,"ptr":null,"+":null}`,
			func(s *sample) { s.Size = 2 },
			`{"size":2,"ptr":null,"+":null}`},
		"elements by name, in another order": {
			`{"size":1,"named":[{"name":"a","value":1,"+":1},{"name":"b","value":2,"+":2}]}`,
			func(s *sample) { s.Named = []named{{"c", 3}, {"b", 9}, {"a", 1}} },
			`{"size":1,"named":[{"name":"c","value":3},{"name":"b","value":9,"+":2},{"name":"a","value":1,"+":1}]}`},
		"one name twice: equal elements": {
			`{"size":1,"named":[{"name":"a","value":1,"+":1},{"name":"a","value":2,"+":2},{"name":"a","value":2,"+":3}]}`,
			func(s *sample) { s.Named = []named{{"a", 2}, {"a", 2}} },
			`{"size":1,"named":[{"name":"a","value":2,"+":2},{"name":"a","value":2,"+":3}]}`},
		"elements without a name: equal ones, after an insertion": {
			`{"size":1,"plain":[{"a":"x","+":1},{"a":"y","+":2}]}`,
			func(s *sample) { s.Plain = []inner{{"new"}, {"x"}, {"y"}} },
			`{"size":1,"plain":[{"a":"new"},{"a":"x","+":1},{"a":"y","+":2}]}`},
		"elements without a name: the same index, if the list keeps its length": {
			`{"size":1,"plain":[{"a":"x","+":1},{"a":"y","+":2}]}`,
			func(s *sample) { s.Plain[0].A = "z" },
			`{"size":1,"plain":[{"a":"z","+":1},{"a":"y","+":2}]}`},
		"an element is removed": {
			`{"size":1,"plain":[{"a":"x","+":1},{"a":"y","+":2},{"a":"z","+":3}]}`,
			func(s *sample) { s.Plain = []inner{{"x"}, {"z"}} },
			`{"size":1,"plain":[{"a":"x","+":1},{"a":"z","+":3}]}`},
		"a key that the type lacks": {
			`{"size":1,"ported":[{"port":1,"text":"x","+":1},{"port":2,"text":"y","+":2}]}`,
			func(s *sample) { s.Ported[1].Text = "z" },
			`{"size":1,"ported":[{"port":1,"text":"x","+":1},{"port":2,"text":"z","+":2}]}`},
		"lists of lists": {
			`{"size":1,"nested":[[{"a":"x","+":1}],[{"a":"y","+":2}]]}`,
			func(s *sample) { s.Nested[1][0].A = "z" },
			`{"size":1,"nested":[[{"a":"x","+":1}],[{"a":"z","+":2}]]}`},
		"what no type describes": {
			`{"size":1,"any":{"k":1.50,"l":[{"name":"a"}]}}`,
			func(s *sample) { s.Any.(map[string]any)["m"] = "x" },
			`{"size":1,"any":{"k":1.50,"l":[{"name":"a"}],"m":"x"}}`},
		"another kind of value": {
			`{"size":1,"any":{"k":1}}`,
			func(s *sample) { s.Any = []any{"x"} },
			`{"size":1,"any":["x"]}`},
		"a field twice": {
			`{"size":1,"inner":{"a":"x"},"inner":{"+":1}}`,
			func(s *sample) { s.Size = 2 },
			`{"size":2,"inner":{"a":"x","+":1}}`},
		"letters that JSON escapes": {
			`{"size":1,"note":"<&>\u2028\ud83d\ude00","+<":"\u0000é"}`,
			func(s *sample) { s.Size = 2 },
			`{"size":2,"note":"<&>\u2028😀","+<":"\u0000é"}`},
	} {
		t.Run(name, func(t *testing.T) {
			var old, new sample
			for _, s := range []*sample{&old, &new} {
				if err := json.Unmarshal([]byte(c.stored), s); err != nil {
					t.Fatal(err)
				}
			}
			c.change(&new)
			got, err := JSON(reflect.TypeFor[sample](), []byte(c.stored), encoded(t, old), encoded(t, new))
			if err != nil || !sameJSON(t, got, []byte(c.want)) {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
			var again sample
			if err := json.Unmarshal(got, &again); err != nil || !sameJSON(t, encoded(t, again), encoded(t, new)) {
				t.Errorf("%s decodes to %+v, want %+v (%v)", got, again, new, err)
			}
		})
	}
}

func TestBadJSON(t *testing.T) {
	for _, bad := range []string{``, `{`, `{"a":1}}`, `[1,`, `nul`} {
		if _, err := JSON(reflect.TypeFor[sample](), []byte(bad), []byte(`{}`), []byte(`{}`)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sameJSON(t testing.TB, a, b []byte) bool {
	t.Helper()
	x, errX := parseJSON(a)
	y, errY := parseJSON(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

// The known part of the result is always the new object, whatever changes, and with
// unknown fields everywhere.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"size":1,"named":[{"name":"a"}]}`), []byte(`{"size":2,"named":[{"name":"b"},{"name":"a"}]}`))
	f.Add([]byte(`{"plain":[{"a":"x"},{}],"map":{"k":{}}}`), []byte(`{"plain":[{}],"ptr":{},"deep":{"a":"y"}}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var old, new sample
		if json.Unmarshal(first, &old) != nil || json.Unmarshal(second, &new) != nil {
			return
		}
		old.Any, new.Any = nil, nil
		was, is := encoded(t, old), encoded(t, new)
		stored := strings.ReplaceAll(string(was), `{"`, `{"+":{"name":"+"},"`)
		if strings.Contains(stored, `"map"`) {
			stored = string(was) // in a map, the marker would be an entry
		}
		got, err := JSON(reflect.TypeFor[sample](), []byte(stored), was, is)
		if err != nil {
			t.Fatal(err)
		}
		var again sample
		if err := json.Unmarshal(got, &again); err != nil || !sameJSON(t, encoded(t, again), is) {
			t.Fatalf("%s to %s: %s decodes to %+v, %v", was, is, got, again, err)
		}
		if strings.Contains(stored, "+") && !strings.Contains(string(got), "+") {
			t.Fatalf("%s to %s: %s lost what the type lacks", was, is, got)
		}
	})
}

// unknownField is one that no type has.
func unknownField(text string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 9999, protowire.BytesType), text)
}

func TestProtobuf(t *testing.T) {
	typ := reflect.TypeFor[appsv1.Deployment]()
	old := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "d", Labels: map[string]string{"a": "1", "b": "2"}, CreationTimestamp: metav1.Unix(1, 0)},
		Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](1), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "a", Image: "x"}, {Name: "b", Image: "y"}}}}},
	}
	plain, err := old.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if HasUnknown(typ, plain) {
		t.Error("finds unknown fields where there are none")
	}
	// A later program adds a field to the object, to the metadata and to each container.
	m := messageOf(typ)
	tree, err := m.parse(plain)
	if err != nil {
		t.Fatal(err)
	}
	tree["9999"] = string(unknownField("object"))
	tree["1"].(object)["9999"] = string(unknownField("metadata"))
	containers := tree["2"].(object)["3"].(object)["2"].(object)["2"].(list)
	for i, text := range []string{"container a", "container b"} {
		containers[i].(object)["9999"] = string(unknownField(text))
	}
	stored := m.append(nil, tree)
	if !HasUnknown(typ, stored) || !HasUnknown(typ, append(plain[:len(plain):len(plain)], unknownField("x")...)) {
		t.Error("finds no unknown fields")
	}

	new := old.DeepCopy()
	new.Labels["c"] = "3"
	new.Spec.Replicas = nil
	new.Status.ReadyReplicas = 5
	c := new.Spec.Template.Spec.Containers
	new.Spec.Template.Spec.Containers = []corev1.Container{{Name: "new"}, c[1], c[0]}
	new.Spec.Template.Spec.Containers[2].Image = "z"
	changed, err := new.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Protobuf(typ, stored, plain, changed)
	if err != nil {
		t.Fatal(err)
	}
	decoded := new.DeepCopy()
	decoded.Reset()
	if err := decoded.Unmarshal(got); err != nil || !reflect.DeepEqual(encoded(t, decoded), encoded(t, new)) {
		t.Errorf("got %+v, %v", decoded, err)
	}
	rest, err := m.parse(got)
	if err != nil {
		t.Fatal(err)
	}
	containers = rest["2"].(object)["3"].(object)["2"].(object)["2"].(list)
	for what, is := range map[string]any{
		"object": rest["9999"], "metadata": rest["1"].(object)["9999"],
		"container b": containers[1].(object)["9999"], "container a": containers[2].(object)["9999"],
	} {
		if is != string(unknownField(what)) {
			t.Errorf("%s: %q", what, is)
		}
	}
	if containers[0].(object)["9999"] != nil {
		t.Error("a new container has the fields of another")
	}
	if same, err := Protobuf(typ, plain, plain, plain); err != nil || string(same) != string(plain) {
		t.Errorf("without a change: %q, %v, want %q", same, err, plain)
	}
	for cut := range got {
		_, _ = Protobuf(typ, got[:cut], plain, changed) // must not panic
		HasUnknown(typ, got[:cut])
	}
}

// Time grows with the length of the values, however many parts of one kind they have.
func TestManyParts(t *testing.T) {
	repeat := func(n int, format string) string {
		var parts []string
		for i := range n {
			parts = append(parts, strings.ReplaceAll(format, "N", strconv.Itoa(i)))
		}
		return strings.Join(parts, ",")
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{}, Finalizers: strings.Split(repeat(50_000, "fN"), ",")}}
	for _, name := range pod.Finalizers {
		pod.Annotations[name] = "x"
	}
	message, err := pod.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var metadata []byte // many parts of one field
	for range 100_000 {
		metadata = protowire.AppendBytes(protowire.AppendTag(metadata, 1, protowire.BytesType), []byte{0x0a, 1, 'a'})
	}
	for name, run := range map[string]func() error{
		"elements without a key": func() error {
			_, err := JSON(reflect.TypeFor[sample](), []byte(`{"u":1,"plain":[`+repeat(30_000, `{"a":"N"}`)+`]}`),
				[]byte(`{"plain":[`+repeat(30_000, `{"a":"N"}`)+`]}`), []byte(`{"plain":[`+repeat(30_000, `{"a":"xN"}`)+`,{"a":"5"},{"a":"5"}]}`))
			return err
		},
		"equal elements": func() error {
			ones := []byte(`{"plain":[` + repeat(100_000, `{}`) + `]}`)
			_, err := JSON(reflect.TypeFor[sample](), ones, ones, append(ones[:len(ones)-2:len(ones)-2], `,{}]}`...))
			return err
		},
		"a field many times": func() error {
			_, err := JSON(reflect.TypeFor[sample](), []byte("{"+repeat(50_000, `"map":{"N":{"u":1}}`)+"}"), []byte(`{}`), []byte(`{"size":1}`))
			return err
		},
		"protobuf leaves": func() error {
			_, err := Protobuf(reflect.TypeFor[corev1.Pod](), message, message, message)
			return err
		},
		"a protobuf field many times": func() error {
			_, err := Protobuf(reflect.TypeFor[corev1.Pod](), metadata, nil, nil)
			return err
		},
	} {
		start := time.Now()
		if err := run(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s: %v", name, took)
		}
	}
}
