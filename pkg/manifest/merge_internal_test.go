package manifest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"
)

// mergeCases have an earlier manifest, the manifest now, the stored object, and the result. They are Deployments.
var mergeCases = map[string]struct {
	last, next, current, want string
	// unlike names why kubectl's library does otherwise; empty if it does the same.
	unlike string
}{
	"a field of another stays":       {"spec: {paused: true}", "spec: {paused: true}", "spec: {paused: true, replicas: 5}", "spec: {paused: true, replicas: 5}", ""},
	"a dropped field goes":           {"spec: {paused: true, replicas: 3}", "spec: {replicas: 3}", "spec: {paused: true, replicas: 3}", "spec: {replicas: 3}", ""},
	"a field is set again":           {"spec: {replicas: 3}", "spec: {replicas: 3}", "spec: {replicas: 5}", "spec: {replicas: 3}", ""},
	"a null removes":                 {"", "spec: {replicas: null}", "spec: {replicas: 5, paused: true}", "spec: {paused: true}", ""},
	"nothing was applied before":     {"", "spec: {paused: true}", "spec: {replicas: 5}", "spec: {paused: true, replicas: 5}", ""},
	"annotations of others":          {"metadata: {annotations: {a: x, b: y}}", "metadata: {annotations: {a: z}}", "metadata: {annotations: {a: x, b: y, c: other}}", "metadata: {annotations: {a: z, c: other}}", ""},
	"all labels dropped":             {"metadata: {labels: {a: x}}", "metadata: {}", "metadata: {labels: {a: x, c: other}}", "metadata: {labels: {c: other}}", "it removes the labels of others"},
	"the last label dropped":         {"metadata: {labels: {a: x}}", "metadata: {}", "metadata: {labels: {a: x}}", "metadata: {}", ""},
	"a dropped struct goes wholly":   {pod("livenessProbe: {exec: {command: [a]}}"), pod(""), pod("livenessProbe: {exec: {command: [a]}, periodSeconds: 10}"), pod(""), ""},
	"a list without tags":            {pod("args: [a, b]"), pod("args: [b, c]"), pod("args: [a, b, other]"), pod("args: [b, c]"), ""},
	"finalizers of others":           {"metadata: {finalizers: [x/a, x/b]}", "metadata: {finalizers: [x/a]}", "metadata: {finalizers: [x/a, x/b, x/other]}", "metadata: {finalizers: [x/a, x/other]}", ""},
	"all finalizers dropped":         {"metadata: {finalizers: [x/a]}", "metadata: {}", "metadata: {finalizers: [x/a, x/other]}", "metadata: {finalizers: [x/other]}", "it removes the finalizers of others"},
	"owners of others":               {"", "metadata: {name: a}", "metadata: {name: a, ownerReferences: [{uid: u}]}", "metadata: {name: a, ownerReferences: [{uid: u}]}", ""},
	"a container of another":         {containers("{name: a, image: x}"), containers("{name: a, image: z}"), containers("{name: a, image: x, stdin: true}, {name: other, image: q}"), containers("{name: a, image: z, stdin: true}, {name: other, image: q}"), ""},
	"a dropped container":            {containers("{name: a}, {name: b}"), containers("{name: a}"), containers("{name: a}, {name: b, image: edited}"), containers("{name: a}"), ""},
	"a new container comes in order": {containers("{name: b}"), containers("{name: a}, {name: b}"), containers("{name: b}"), containers("{name: a}, {name: b}"), ""},
	"env of another":                 {pod("env: [{name: A, value: x}]"), pod("env: [{name: A, value: z}]"), pod("env: [{name: A, value: x}, {name: B, value: other}]"), pod("env: [{name: A, value: z}, {name: B, value: other}]"), ""},
	"ports with one number": {
		pod("ports: [{containerPort: 53, protocol: UDP}]"), pod("ports: [{containerPort: 53, protocol: UDP}, {containerPort: 53, protocol: TCP}]"),
		pod("ports: [{containerPort: 53, protocol: UDP}]"), pod("ports: [{containerPort: 53, protocol: UDP}, {containerPort: 53, protocol: TCP}]"), "it loses one",
	},
	"another strategy":  {"spec: {strategy: {type: RollingUpdate}}", "spec: {strategy: {type: Recreate}}", "spec: {strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1}}}", "spec: {strategy: {type: Recreate}}", ""},
	"the same strategy": {"spec: {strategy: {type: RollingUpdate}}", "spec: {strategy: {type: RollingUpdate}}", "spec: {strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1}}}", "spec: {strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1}}}", "it removes what others have set"},
	"another volume source": {
		volumes("{name: v, emptyDir: {}}"), volumes("{name: v, hostPath: {path: /x}}"), volumes("{name: v, emptyDir: {}}, {name: other, emptyDir: {}}"),
		volumes("{name: v, hostPath: {path: /x}}, {name: other, emptyDir: {}}"), "",
	},
	"all volumes dropped":       {volumes("{name: v}"), "spec: {template: {spec: {}}}", volumes("{name: v}, {name: other}"), volumes("{name: other}"), "it removes the volumes of others"},
	"an object becomes a value": {"spec: {strategy: {rollingUpdate: {maxSurge: 1}}}", "spec: {strategy: {rollingUpdate: {maxSurge: 25%}}}", "spec: {strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}}", "spec: {strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}}}", ""},
}

func containers(list string) string { return "spec: {template: {spec: {containers: [" + list + "]}}}" }
func pod(fields string) string      { return containers("{name: a, " + fields + "}") }
func volumes(list string) string    { return "spec: {template: {spec: {volumes: [" + list + "]}}}" }

func fieldsIn(t testing.TB, text string) map[string]any {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte("{" + text + "}"))
	if err != nil {
		t.Fatal(err)
	}
	fields, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestMerge(t *testing.T) {
	for name, c := range mergeCases {
		t.Run(name, func(t *testing.T) {
			last, next, current, want := fieldsIn(t, c.last), fieldsIn(t, c.next), fieldsIn(t, c.current), fieldsIn(t, c.want)
			before := fmt.Sprint(last, next, current)
			got := mergeObjects(objectSchema(reflect.TypeFor[*appsv1.Deployment]()), last, next, current)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
			if after := fmt.Sprint(last, next, current); after != before {
				t.Errorf("changed its input\nfrom %s\nto   %s", before, after)
			}
			if again := mergeObjects(objectSchema(reflect.TypeFor[*appsv1.Deployment]()), next, next, got); !reflect.DeepEqual(again, got) {
				t.Errorf("a second merge changed it to %v", again)
			}
		})
	}
}

// Where there is no reason to differ, the result is that of kubectl's library.
func TestMergeIsLikeKubectl(t *testing.T) {
	for name, c := range mergeCases {
		t.Run(name, func(t *testing.T) {
			var forms [4][]byte
			for i, text := range []string{c.last, c.next, c.current, c.want} {
				forms[i], _ = json.Marshal(fieldsIn(t, text))
			}
			meta, err := strategicpatch.NewPatchMetaFromStruct(&appsv1.Deployment{})
			if err != nil {
				t.Fatal(err)
			}
			p, err := strategicpatch.CreateThreeWayMergePatch(forms[0], forms[1], forms[2], meta, true)
			if err != nil {
				t.Fatal(err)
			}
			got, err := strategicpatch.StrategicMergePatch(forms[2], p, &appsv1.Deployment{})
			if err != nil {
				t.Fatal(err)
			}
			if same := string(got) == string(forms[3]); same != (c.unlike == "") {
				t.Errorf("the library makes %s of it; unlike ours because: %q", got, c.unlike)
			}
		})
	}
}

// Types of one's own need no tags.
func TestMergeWithoutTags(t *testing.T) {
	type plain struct {
		Spec struct {
			List   []map[string]string `json:"list"`
			Labels map[string]string   `json:"labels"`
			Any    any                 `json:"any"`
		} `json:"spec"`
	}
	got := mergeObjects(objectSchema(reflect.TypeFor[*plain]()),
		fieldsIn(t, "spec: {list: [{a: x}], labels: {a: x}, any: {a: {b: c}}, gone: 1}"),
		fieldsIn(t, "spec: {list: [{a: z}], any: {a: {}}}"),
		fieldsIn(t, "spec: {list: [{a: x}, {b: y}], labels: {a: x, b: y}, any: {a: {b: c, d: e}}, gone: 1, unknown: {x: y}}"))
	want := fieldsIn(t, "spec: {list: [{a: z}], labels: {b: y}, any: {a: {d: e}}, unknown: {x: y}}")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func FuzzMerge(f *testing.F) {
	for _, c := range mergeCases {
		f.Add(c.last, c.next, c.current)
	}
	s := objectSchema(reflect.TypeFor[*appsv1.Deployment]())
	f.Fuzz(func(t *testing.T, last, next, current string) {
		var forms [3]map[string]any
		for i, text := range []string{last, next, current} {
			data, err := yaml.YAMLToJSON([]byte("{" + text + "}"))
			if err != nil {
				return
			}
			if forms[i], err = parse(data); err != nil {
				return
			}
		}
		once := mergeObjects(s, forms[0], forms[1], forms[2])
		if again := mergeObjects(s, forms[1], forms[1], once); !reflect.DeepEqual(once, again) {
			t.Fatalf("merged %v, and again %v", once, again)
		}
	})
}
