package kubejson

import (
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	kjson "sigs.k8s.io/json"
)

// sorts has a field of each kind of type.
type sorts struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Bool     bool                       `json:"bool,omitempty"`
	Small    int8                       `json:"small,omitempty"`
	Large    int64                      `json:"large,omitempty"`
	Unsigned uint16                     `json:"unsigned,omitempty"`
	Float    float32                    `json:"float,omitempty"`
	Double   float64                    `json:"double,omitempty"`
	Text     string                     `json:"text,omitempty"`
	Enum     corev1.Protocol            `json:"enum,omitempty"`
	Bytes    []byte                     `json:"bytes,omitempty"`
	Any      any                        `json:"any,omitempty"`
	Ints     []int                      `json:"ints,omitempty"`
	Lists    [][]string                 `json:"lists,omitempty"`
	Map      map[string]*sorts          `json:"map,omitempty"`
	Named    corev1.ResourceList        `json:"named,omitempty"`
	Secrets  map[string][]byte          `json:"secrets,omitempty"`
	Pointer  **string                   `json:"pointer,omitempty"`
	Self     *sorts                     `json:"self,omitempty"`
	Selves   []sorts                    `json:"selves,omitempty"`
	Time     metav1.Time                `json:"time,omitempty"`
	Times    []*metav1.Time             `json:"times,omitempty"`
	Micro    metav1.MicroTime           `json:"micro,omitempty"`
	Std      time.Time                  `json:"std,omitempty"`
	Duration metav1.Duration            `json:"duration,omitempty"`
	Quantity *resource.Quantity         `json:"quantity,omitempty"`
	Port     intstr.IntOrString         `json:"port,omitempty"`
	Raw      runtime.RawExtension       `json:"raw,omitempty"`
	Message  json.RawMessage            `json:"message,omitempty"`
	Fields   *metav1.FieldsV1           `json:"fields,omitempty"`
	Object   *unstructured.Unstructured `json:"object,omitempty"`
	Loose    map[string]any             `json:"loose,omitempty"`
	Unnamed  struct{ metav1.Time }      `json:"unnamed,omitempty"`
	//lint:ignore SA5008 the test is about this tag, which names the field "-"
	Dash  string `json:"-,"`
	None  string `json:"-"`
	Plain string
	//lint:ignore U1000 a field that is not exported is not decoded
	hidden string
	inner  `json:",inline"`
}

type inner struct {
	Inner string `json:"inner,omitempty"`
}

// odd has fields for which the fast path gives up.
type odd struct {
	Quoted int            `json:"quoted,string"`
	Number json.Number    `json:"number"`
	ByInt  map[int]string `json:"byInt"`
	Array  [2]int         `json:"array"`
	Same   string         `json:"same"`
	clash
}

type clash struct {
	Same string `json:"same"`
}

var targets = []func() any{
	func() any { return new(appsv1.Deployment) },
	func() any { return new(corev1.Pod) },
	func() any { return new(corev1.Secret) },
	func() any { return new(sorts) },
	func() any { return new(odd) },
	func() any { return new(any) },
	func() any { return new(map[string]any) },
	func() any { return new(unstructured.Unstructured) },
	func() any { return new(metav1.PartialObjectMetadata) },
}

// compare checks that the fast path either gives up or has the result of the original.
// It returns how often the fast path did not give up.
func compare(t *testing.T, data []byte) (fast int) {
	t.Helper()
	sharing := Options{Strings: NewInterner(), Values: NewValues()}
	for _, target := range targets {
		for n := range 4 { // strings and values are shared from the third time on
			o := sharing
			if n == 0 {
				o.Values = nil
			}
			got, want := target(), target()
			input := append([]byte(nil), data...)
			unknown, ok := decode(input, got, o)
			clear(input) // the result must not share its memory
			strict, err := kjson.UnmarshalStrict(append([]byte(nil), data...), want)
			switch {
			case ok && err != nil:
				t.Fatalf("%T takes %q: %v", got, data, err)
			case ok && !reflect.DeepEqual(got, want):
				t.Fatalf("%T makes of %q\n%#v\nwant\n%#v", got, data, got, want)
			case ok && !unknown && len(unknownFields(strict)) > 0:
				t.Fatalf("%T does not notice in %q: %v", got, data, strict)
			case ok && unknown && len(strict) == 0:
				t.Fatalf("%T finds an unknown field in %q", got, data)
			case !ok && !reflect.DeepEqual(got, target()):
				t.Fatalf("%T: %q left %#v behind", got, data, got)
			case ok:
				fast++
			}
		}
		got, want := target(), target()
		if _, ok := decode(data, got, Options{Strict: true}); ok {
			if strict, err := kjson.UnmarshalStrict(data, want); err != nil || strict != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("strictly, %T makes of %q\n%#v\nwant\n%#v\n%v %v", got, data, got, want, strict, err)
			}
		}
	}
	return fast
}

// unknownFields returns those of the original's strict errors that are not of fields that
// come twice: maps take the last one.
func unknownFields(strict []error) (unknown []error) {
	for _, err := range strict {
		if strings.Contains(err.Error(), "unknown field") {
			unknown = append(unknown, err)
		}
	}
	return unknown
}

// An unknown field is noticed wherever it is, on the fast path and on the slow one, and
// when the value comes from those that are shared.
func TestUnknownFields(t *testing.T) {
	values := NewValues()
	for _, o := range []Options{{}, {Values: values}, {Values: values}, {Values: values}, {Values: values}} {
		for data, want := range map[string]bool{
			`{"metadata":{"name":"a"},"spec":{"nodeName":"x"}}`:  false,
			`{"metadata":{"name":"a","labels":{"any":"thing"}}}`: false,
			`{"tls":"on"}`:                true,
			`{"metadata":{"owner":"me"}}`: true,
			`{"spec":{"containers":[{"name":"a"},{"name":"b","gpu":{"count":1}}]}}`:            true,
			`{"spec":{"containers":[{"name":"a"}],"affinity":{"nodeAffinity":{"weak":true}}}}`: true,
			`{"spec":{"containers":[{"ports":[{"containerPort":80,"zone":null}]}]}}`:           true,
			`{"spec":{"containers":[{"ports":[{"containerPort":80}]}]}}`:                       false,
			`{"spec":{"NodeName":"x"}}`:            true, // names match exactly
			`{"tls":"\ud83d\ude00"}`:               true, // the slow path
			`{"spec":{"nodeName":"\ud83d\ude00"}}`: false,
		} {
			if unknown, err := Unmarshal([]byte(data), new(corev1.Pod), o); err != nil || unknown != want {
				t.Errorf("%s (shared: %v): %v, %v", data, o.Values != nil, unknown, err)
			}
		}
	}
}

func encode(t testing.TB, obj any) []byte {
	t.Helper()
	data, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var noon = metav1.NewTime(time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC))

func someMeta() metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: "default", Name: "web", UID: "9a1b6a2e-2f3c-4b7e-9c40-1ab7d6a1ff01", Generation: 3,
		CreationTimestamp: noon, DeletionTimestamp: &noon, DeletionGracePeriodSeconds: ptr.To[int64](30),
		Labels:      map[string]string{"app": "web", "tier": "<front> & \"back\"", "empty": ""},
		Annotations: map[string]string{"note": "tab\there\nüñí 日本 \u2028 \U0001F600", "": "x"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "X", Name: "x", UID: "u", Controller: ptr.To(true)},
			{Name: "y"}, {Name: "z", BlockOwnerDeletion: ptr.To(false)}},
		Finalizers:    []string{"a", "b", "c"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m", Time: &noon, FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{}}`)}},
	}
}

func someDeployment() *appsv1.Deployment {
	return &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{Kind: "Deployment", APIVersion: "apps/v1"}, ObjectMeta: someMeta(),
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](3), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Strategy: appsv1.DeploymentStrategy{Type: "RollingUpdate", RollingUpdate: &appsv1.RollingUpdateDeployment{
				MaxSurge: ptr.To(intstr.FromString("25%")), MaxUnavailable: ptr.To(intstr.FromInt32(1))}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}, Spec: somePod().Spec},
		},
		Status: appsv1.DeploymentStatus{ObservedGeneration: 2, Conditions: []appsv1.DeploymentCondition{{Type: "Available", Status: "True", LastUpdateTime: noon}}},
	}
}

func somePod() *corev1.Pod {
	return &corev1.Pod{
		TypeMeta: metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}, ObjectMeta: someMeta(),
		Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{
			Name: "c", Image: "registry.example.com/web:1.2.3", Ports: []corev1.ContainerPort{{ContainerPort: 80, Protocol: "TCP"}},
			Resources:     corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("1Gi")}},
			LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(80)}}},
		}}},
		Status: corev1.PodStatus{Phase: "Running", StartTime: &noon, PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}},
	}
}

// The fast path decodes everything that Kubernetes writes.
func TestFastPath(t *testing.T) {
	for _, obj := range []any{
		someDeployment(), somePod(), &corev1.Secret{ObjectMeta: someMeta(), Data: map[string][]byte{"a": []byte("\x00\xff"), "b": {}, "c": nil}},
		&corev1.ConfigMap{ObjectMeta: someMeta(), Data: map[string]string{"big": strings.Repeat("text ", 1000)}},
		&batchv1.Job{ObjectMeta: someMeta()}, &corev1.Node{Status: corev1.NodeStatus{Capacity: corev1.ResourceList{"cpu": resource.MustParse("4")}}},
		&rbacv1.ClusterRole{Rules: []rbacv1.PolicyRule{{Verbs: []string{"*"}}}}, &corev1.Event{EventTime: metav1.NewMicroTime(noon.Time)},
		&appsv1.ControllerRevision{Data: runtime.RawExtension{Raw: []byte(`{"a":[1,2.5]}`)}},
		&corev1.PersistentVolume{}, &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{TargetPort: intstr.FromString("http")}}}},
	} {
		data := encode(t, obj)
		got := reflect.New(reflect.TypeOf(obj).Elem()).Interface()
		want := reflect.New(reflect.TypeOf(obj).Elem()).Interface()
		for _, strict := range []bool{false, true} {
			reflect.ValueOf(got).Elem().SetZero()
			if _, ok := decode(data, got, Options{Strings: NewInterner(), Strict: strict}); !ok {
				t.Errorf("%T (strict: %v): gives up on %s", obj, strict, data)
			}
		}
		if err := kjson.UnmarshalCaseSensitivePreserveInts(data, want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%T: got %#v, want %#v, %v", obj, got, want, err)
		}
	}
	if compare(t, encode(t, someDeployment())) == 0 {
		t.Error("always gives up")
	}
}

// Unmarshal returns the errors of the original.
func TestErrors(t *testing.T) {
	for _, data := range []string{``, `{`, `{"spec":{"replicas":"x"}}`, `{"metadata":{"creationTimestamp":"yesterday"}}`, `[]`, `{} x`, `{"spec":{"replicas":4294967296}}`} {
		got, want := new(appsv1.Deployment), new(appsv1.Deployment)
		_, err := Unmarshal([]byte(data), got, Options{Strings: NewInterner()})
		wantErr := kjson.UnmarshalCaseSensitivePreserveInts([]byte(data), want)
		if err == nil || wantErr == nil || err.Error() != wantErr.Error() {
			t.Errorf("%s: %v, want %v", data, err, wantErr)
		}
	}
	_, err := Unmarshal([]byte(`{"kind":"a","kind":"b","spec":{"nonsense":1}}`), new(appsv1.Deployment), Options{Strict: true})
	if err == nil || !strings.Contains(err.Error(), "kind") || !strings.Contains(err.Error(), "spec.nonsense") {
		t.Error(err)
	}
}

func TestHostileInput(t *testing.T) {
	for _, data := range hostile() {
		compare(t, []byte(data))
	}
}

func hostile() []string {
	values := []string{
		`null`, `true`, `false`, `0`, `-0`, `1`, `-1`, `127`, `128`, `-129`, `65536`, `9223372036854775807`, `9223372036854775808`,
		`-9223372036854775808`, `999999999999999999`, `1.0`, `1e2`, `1E+2`, `1e400`, `-`, `01`, `1.`, `.5`, `1e`, `+1`, `0x1`, `NaN`, `3.4e39`,
		`""`, `"x"`, `"1"`, `"null"`, `"\u003c\u00e9\ud83d\ude00"`, `"\ud800"`, `"\x"`, `"\u12"`, `"\"\\\/\b\f\n\r\t"`, "\"\xff\"", "\"a\x01\"", "\"\\\xff\"",
		`"2024-02-29T12:00:00Z"`, `"2024-02-29T12:00:00.123456789+05:30"`, `"2024-02-29T24:00:00Z"`, `"2024-02-29t12:00:00z"`, `"2024-02-29T12:00:00,5Z"`,
		`"2023-02-29T12:00:00Z"`, `"0000-01-01T00:00:00Z"`, `"2024-02-29T1:00:00Z"`, `"2024-02-29T12:00:00+24:00"`, `"2024-02-29T12:00:00\u005a"`,
		`"100m"`, `"1Gi"`, `"5s"`, `"AAEC"`, `"AAE"`, `"A A="`, `"AA==\n"`, `"25%"`,
		`[]`, `[1]`, `[1,2,3]`, `["a","b"]`, `[null]`, `[[]]`, `[[null,"a"],[]]`, `[1,]`, `[,1]`, `[1 2]`, `["2024-02-29T12:00:00Z",null]`,
		`{}`, `{"a":1}`, `{"a":null}`, `{"a":"b","a":"c"}`, `{"a":{},"a":{"b":1}}`, `{"a":"AAEC"}`, `{"cpu":"1"}`, `{"cpu":1,"cpu":"2"}`, `{"text":"x","Text":"y"}`,
		`{"a":}`, `{"a"}`, `{a:1}`, `{"a":1,}`, `{"kind":"X","apiVersion":"v1"}`, `{"text":"a","text":"b"}`, `{"selves":[{"text":"a"}],"selves":[{}]}`,
	}
	names := []string{"bool", "small", "large", "unsigned", "float", "double", "text", "enum", "bytes", "any", "ints", "lists", "map", "named", "secrets", "pointer",
		"self", "selves", "time", "times", "micro", "std", "duration", "quantity", "port", "raw", "message", "fields", "object", "loose", "unnamed", "-", "None",
		"Plain", "plain", "hidden", "inner", "Inner", "metadata", "kind", "quoted", "number", "byInt", "array", "same", "data", "unknown", "", `\u0074ext`}
	var all []string
	forms := []string{`{"N":V}`, `{"N":V,"text":"after"}`, `{ "self" : { "N" : V } , "selves" : [ { "N":V} ] }`}
	for i, v := range values {
		all = append(all, v, " "+v+"\n", v+v)
		for j, n := range names {
			all = append(all, strings.NewReplacer("N", n, "V", v).Replace(forms[(i+j)%len(forms)]))
		}
		for _, n := range []string{"labels", "annotations", "creationTimestamp", "deletionTimestamp", "uid", "finalizers", "generation", "ownerReferences", "managedFields"} {
			all = append(all, `{"metadata":{"`+n+`":`+v+`}}`)
		}
	}
	for _, n := range []int{maxDepth - 1, maxDepth, maxDepth + 1, 20000} {
		all = append(all, strings.Repeat("[", n)+strings.Repeat("]", n), strings.Repeat(`{"self":`, n)+"{}"+strings.Repeat("}", n))
	}
	return append(all, "\x00", "{}\x00", "\ufeff{}", "{\"text\u00a0\":1}", "nul", "tru", "nullx", `{"text":"`+strings.Repeat("x", 10000)+`"}`)
}

// endless matches exponents that take resource.Quantity seconds to parse.
var endless = regexp.MustCompile(`[eE][+-]?[0-9]{4}`)

func FuzzUnmarshal(f *testing.F) {
	f.Add(encode(f, someDeployment()))
	f.Add(encode(f, somePod()))
	f.Add(encode(f, &sorts{Any: []any{1, "a", nil, map[string]any{"b": 2.5}}, Self: &sorts{Map: map[string]*sorts{"a": nil}}}))
	for i, data := range hostile() {
		if i%17 == 0 && len(data) < 1000 {
			f.Add([]byte(data))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !endless.Match(data) {
			compare(t, data)
		}
	})
}

func TestInterner(t *testing.T) {
	i := NewInterner()
	word := []byte("a-label")
	for range 2 {
		i.get(word)
	}
	if n := testing.AllocsPerRun(100, func() { i.get(word) }); n != 0 {
		t.Errorf("a cached string costs %v allocations", n)
	}
	long := []byte(strings.Repeat("x", internMax+1))
	if n := testing.AllocsPerRun(100, func() { i.get(long) }); n != 1 {
		t.Errorf("a long string costs %v allocations", n)
	}
	got := i.get(word)
	word[0] = 'b'
	if got != "a-label" {
		t.Error("a string changed")
	}
}

// Objects share parts with equal JSON texts, and no others.
func TestValuesAreShared(t *testing.T) {
	o := Options{Values: NewValues()}
	var pods [4]*corev1.Pod
	for i := range pods {
		pods[i] = new(corev1.Pod)
		data := []byte(`{"metadata":{"labels":{"a":"1","b":"2"},"annotations":{ "a" : "1","b":"2"}},"spec":{"nodeSelector":{"a":"1","b":"2"},` +
			`"containers":[{"name":"x","env":[],"ports":[{"containerPort":1}],"command":[]}]}}`)
		if _, err := Unmarshal(data, pods[i], o); err != nil {
			t.Fatal(err)
		}
		clear(data)
	}
	if pods[3].Labels["a"] != "1" || pods[3].Spec.Containers[0].Ports[0].ContainerPort != 1 || !reflect.DeepEqual(pods[0], pods[3]) {
		t.Fatalf("%#v", pods[3])
	}
	if &pods[2].Spec.Containers[0] != &pods[3].Spec.Containers[0] {
		t.Error("containers are not shared")
	}
	pods[2].Labels["a"] = "changed" // only to see who shares it
	if pods[3].Labels["a"] != "changed" || pods[3].Annotations["a"] != "1" {
		t.Error("labels are not shared")
	}
	if pods[3].Spec.Containers[0].Env == nil || pods[3].Spec.Containers[0].Command == nil {
		t.Error("an empty slice is nil")
	}
}

func benchmark(b *testing.B, obj any, unmarshal func(data []byte, into any) error) {
	data := encode(b, obj)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		into := reflect.New(reflect.TypeOf(obj).Elem()).Interface()
		if err := unmarshal(data, into); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	o := Options{Strings: NewInterner()}
	sharing := Options{Strings: o.Strings, Values: NewValues()}
	for name, obj := range map[string]any{"Deployment": someDeployment(), "Pod": somePod()} {
		b.Run(name+"/fast", func(b *testing.B) {
			benchmark(b, obj, func(data []byte, into any) error { _, err := Unmarshal(data, into, o); return err })
		})
		b.Run(name+"/shared", func(b *testing.B) {
			benchmark(b, obj, func(data []byte, into any) error { _, err := Unmarshal(data, into, sharing); return err })
		})
		b.Run(name+"/original", func(b *testing.B) { benchmark(b, obj, kjson.UnmarshalCaseSensitivePreserveInts) })
	}
}

// nestedNode is as the schema of a CustomResourceDefinition: types that decode
// themselves stand in one another.
type nestedNode struct {
	Text  string        `json:"text,omitempty"`
	Items *nestedMaybe  `json:"items,omitempty"`
	Limit *hiddenNumber `json:"limit,omitempty"`
}

type nestedMaybe struct{ node *nestedNode }

func (m *nestedMaybe) UnmarshalJSON(data []byte) error {
	m.node = new(nestedNode)
	return json.Unmarshal(data, m.node)
}

// hiddenNumber parses a quantity where no field shows it.
type hiddenNumber struct{ text string }

func (h *hiddenNumber) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	q, err := resource.ParseQuantity(strings.TrimSpace(s))
	h.text = q.String()
	return err
}

// What costs more than its length allows is an error at once, and the same text is none
// where nobody computes with it.
func TestCostlyValues(t *testing.T) {
	const huge = "1e-999999999"
	digits := strings.Repeat("7", 1_400_000)
	for name, test := range map[string]struct {
		into   any
		data   string
		costly bool
	}{
		"quantity":          {new(corev1.Pod), `{"spec":{"containers":[{"resources":{"limits":{"cpu":"` + huge + `"}}}]}}`, true},
		"large":             {new(corev1.Pod), `{"spec":{"overhead":{"cpu":"1E+999999999"}}}`, true},
		"spaces":            {new(corev1.Pod), `{"spec":{"overhead":{"cpu":" ` + huge + "\u00a0" + `"}}}`, true},
		"without quotes":    {new(corev1.Pod), `{"spec":{"overhead":{"cpu":` + huge + `}}}`, true},
		"digits":            {new(corev1.Pod), `{"spec":{"overhead":{"cpu":"` + digits + `"}}}`, true},
		"fraction":          {new(corev1.Pod), `{"spec":{"overhead":{"cpu":0.` + digits + `}}}`, true},
		"second of a field": {new(corev1.Pod), `{"spec":{"overhead":{"cpu":"1"},"overhead":{"cpu":"` + huge + `"}}}`, true},
		"hidden":            {new(nestedNode), `{"items":{"limit":"\u0031e-999999999\n"}}`, true},
		"annotation":        {new(corev1.Pod), `{"metadata":{"annotations":{"cpu":"` + huge + `","digits":"` + digits + `"}}}`, false},
		"raw":               {new(appsv1.ControllerRevision), `{"data":{"cpu":"` + huge + `","a":` + huge + `}}`, false},
		"unknown field":     {new(corev1.Pod), `{"spec":{"cpu":"` + huge + `","odd":[` + huge + `]}}`, false},
		"float":             {new(sorts), `{"double":` + huge + `,"any":` + huge + `,"map":{"a":{"loose":{"a":0.` + digits + `}}}}`, false},
		"nested":            {new(nestedNode), strings.Repeat(`{"items":`, 4000) + `{"text":"` + digits + `"}` + strings.Repeat("}", 4000), true},
		"nested a little":   {new(nestedNode), strings.Repeat(`{"items":`, 15) + `{"text":"` + digits + `"}` + strings.Repeat("}", 15), false},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan error, 1)
			go func() {
				_, err := Unmarshal([]byte(test.data), test.into, Options{Strings: NewInterner()})
				done <- err
			}()
			select {
			case err := <-done:
				var costly *CostError
				if errors.As(err, &costly) != test.costly || (err != nil) != test.costly {
					t.Fatal(err)
				}
				if err != nil && strings.Contains(err.Error(), "999") {
					t.Error("the error has a part of the value:", err)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("takes too long")
			}
		})
	}
}
