package declare

import (
	"encoding/json"
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var deploymentKind = appsv1.SchemeGroupVersion.WithKind("Deployment")

// declared applies the declarations to live, one after another.
func declared(t *testing.T, live map[string]any, declarations ...map[string]any) map[string]any {
	t.Helper()
	var before fields
	for _, d := range declarations {
		if before != nil {
			remove(live, before, d)
		}
		set(live, d)
		before = fieldsOf(d)
	}
	return live
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	var values map[string]any
	if err := json.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

func TestDeclare(t *testing.T) {
	for name, c := range map[string]struct {
		live         string
		declarations []string
		want         string
	}{
		"sets declared fields and leaves others":           {`{"a":1,"b":2}`, []string{`{"a":3}`}, `{"a":3,"b":2}`},
		"merges maps":                                      {`{"m":{"a":1,"b":2}}`, []string{`{"m":{"a":3,"c":4}}`}, `{"m":{"a":3,"b":2,"c":4}}`},
		"replaces a list as a whole":                       {`{"l":[1,2,3]}`, []string{`{"l":[4]}`}, `{"l":[4]}`},
		"removes a field that is no longer declared":       {`{"b":2}`, []string{`{"a":1}`, `{}`}, `{"b":2}`},
		"removes keys of maps":                             {`{"m":{"b":2}}`, []string{`{"m":{"a":1,"c":3}}`, `{"m":{"a":1}}`}, `{"m":{"a":1,"b":2}}`},
		"removes a map that becomes empty":                 {`{}`, []string{`{"m":{"a":1}}`, `{}`}, `{}`},
		"keeps a map that others have written to":          {`{"m":{"b":2}}`, []string{`{"m":{"a":1}}`, `{}`}, `{"m":{"b":2}}`},
		"keeps what others put into a declared empty map":  {`{"m":{"b":2}}`, []string{`{"m":{}}`, `{}`}, `{"m":{"b":2}}`},
		"empties a map that is declared empty":             {`{}`, []string{`{"m":{"a":1}}`, `{"m":{}}`}, `{"m":{}}`},
		"removes lists":                                    {`{}`, []string{`{"l":[{"a":1}]}`, `{}`}, `{}`},
		"keeps fields that were never declared":            {`{"a":1,"m":{"b":2}}`, []string{`{}`, `{}`}, `{"a":1,"m":{"b":2}}`},
		"replaces a map by a value, and back":              {`{"m":{"b":2}}`, []string{`{"m":1}`, `{"m":{"a":1}}`}, `{"m":{"a":1}}`},
		"removes a map that became a value":                {`{"m":{"a":1}}`, []string{`{"m":{"a":1}}`, `{"m":2}`, `{}`}, `{}`},
		"treats a name with the record's prefix as a name": {`{"f:a":1}`, []string{`{"f:a":2}`, `{}`}, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			var ds []map[string]any
			for _, d := range c.declarations {
				ds = append(ds, parse(t, d))
			}
			if got, want := declared(t, parse(t, c.live), ds...), parse(t, c.want); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// For any object and any earlier declaration, the object afterwards has all declared
// fields, undeclared fields are unchanged, and the same declaration again changes
// nothing.
func FuzzDeclare(f *testing.F) {
	f.Add(`{"m":{"a":1,"b":{"c":2}},"l":[1]}`, `{"m":{"a":2},"x":{}}`, `{"m":{"b":{"d":1}},"l":{"y":1}}`)
	f.Add(`{"m":1}`, `{"m":{"a":{}}}`, `{"m":{"a":{"b":[]}}}`)
	f.Fuzz(func(t *testing.T, liveText, firstText, secondText string) {
		var live, first, second map[string]any
		for text, values := range map[*string]*map[string]any{&liveText: &live, &firstText: &first, &secondText: &second} {
			if json.Unmarshal([]byte(*text), values) != nil || *values == nil {
				t.Skip()
			}
			dropNulls(*values)
		}
		before := parse(t, liveText)
		dropNulls(before)
		got := declared(t, live, clone(t, first), clone(t, second))
		if !contains(got, second) {
			t.Errorf("%v lacks some of %v", got, second)
		}
		for k, v := range before {
			_, one := first[k]
			_, two := second[k]
			if !one && !two && !reflect.DeepEqual(got[k], v) {
				t.Errorf("%s was %v and is %v, though nobody declared it", k, v, got[k])
			}
		}
		for k := range first {
			_, was := before[k]
			_, is := second[k]
			if _, there := got[k]; there && !was && !is {
				t.Errorf("%s is there, though it is declared no more", k)
			}
		}
		once := clone(t, got)
		remove(got, fieldsOf(second), second)
		set(got, clone(t, second))
		if !reflect.DeepEqual(got, once) {
			t.Errorf("declared again, %v became %v", once, got)
		}
	})
}

// contains reports whether values have all declared fields.
func contains(values, declared map[string]any) bool {
	for k, d := range declared {
		v, there := values[k]
		within, nested := d.(map[string]any)
		inner, isMap := v.(map[string]any)
		switch {
		case !there:
			return false
		case nested && (!isMap || !contains(inner, within)):
			return false
		case !nested && !reflect.DeepEqual(v, d):
			return false
		}
	}
	return true
}

func clone(t *testing.T, values map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

func TestDeclarationOfObjects(t *testing.T) {
	replicas := int32(3)
	want := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", Labels: map[string]string{"app": "web"}, Finalizers: []string{"example.com/x"}},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Template: corev1.PodTemplateSpec{
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "nginx"}}},
		}},
		Status: appsv1.DeploymentStatus{Replicas: 7},
	}
	d, err := Of(want, deploymentKind)
	if err != nil {
		t.Fatal(err)
	}
	const record = `{"f:metadata":{"f:labels":{"f:app":{}}},"f:spec":{"f:replicas":{},"f:strategy":{},"f:template":{"f:metadata":{},"f:spec":{"f:containers":{}}}}}`
	if got := d.record.FieldsV1.GetRawString(); got != record {
		t.Errorf("the record is %s", got)
	}

	live := want.DeepCopy()
	live.Annotations = map[string]string{"theirs": "1"}
	live.Status.Replicas, live.Spec.Paused, live.Spec.MinReadySeconds = 2, true, 1<<31-1
	live.ResourceVersion, live.UID, live.Generation = "17", "u", 1<<53+1
	other := int32(5)
	live.Spec.Replicas = &other
	merged := &appsv1.Deployment{}
	if err := d.MergeInto(live, merged); err != nil {
		t.Fatal(err)
	}
	expected := live.DeepCopy()
	expected.Spec.Replicas = &replicas
	expected.ManagedFields = []metav1.ManagedFieldsEntry{d.record}
	if !reflect.DeepEqual(merged, expected) {
		t.Errorf("merged: %+v", merged)
	}
	again := &appsv1.Deployment{}
	if err := d.MergeInto(merged, again); err != nil {
		t.Fatal(err)
	}
	once, err := toMap(merged)
	if err != nil {
		t.Fatal(err)
	}
	if twice, err := toMap(again); err != nil || !reflect.DeepEqual(once, twice) {
		t.Errorf("declared again, the object became %v (error %v), want %v", twice, err, once)
	}
}

func TestSpoiltRecordMeansNothingIsKnown(t *testing.T) {
	var objects []metav1.Object
	for _, raw := range []string{`not JSON`, `[]`, `null`, `{"f:spec":[]}`, `{"spec":{}}`, `{"":{}}`, `{"f:":1}`} {
		obj := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web", ManagedFields: []metav1.ManagedFieldsEntry{
			{Manager: "other", Operation: metav1.ManagedFieldsOperationApply},
			{Manager: FieldManager, Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(raw)},
		}}}
		if !json.Valid([]byte(raw)) {
			obj.ManagedFields[1].FieldsV1 = nil // it cannot be stored
		}
		objects = append(objects, obj)
	}
	d, err := Of(&appsv1.Deployment{}, deploymentKind)
	if err != nil {
		t.Fatal(err)
	}
	for _, obj := range objects {
		merged := &appsv1.Deployment{}
		if err := d.MergeInto(obj, merged); err != nil {
			t.Error(err)
		}
		if len(merged.ManagedFields) != 2 || merged.ManagedFields[0].Manager != "other" {
			t.Errorf("the records are %v", merged.ManagedFields)
		}
	}
}
