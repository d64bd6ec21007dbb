package patch_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
	"github.com/homeostat/homeostat/pkg/store/patch"
)

type (
	site     = store.Resource[siteSpec, siteStatus]
	siteSpec struct {
		Size int      `json:"size,omitempty"`
		Tags []string `json:"tags,omitempty"`
	}
	siteStatus struct {
		Ready int `json:"ready,omitempty"`
	}
)

func newStore(t *testing.T) *store.Store {
	t.Helper()
	etcdtest.VerifyNoLeaks(t)
	s, err := store.New(etcdtest.Start(t, etcdtest.Options{}).Client(), store.Options{Codec: store.Protobuf, Kinds: []store.AnyKind{
		store.Kind[*appsv1.Deployment]{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("Deployment")},
		store.Kind[*corev1.ConfigMap]{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("ConfigMap")},
		store.Kind[*site]{
			GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"},
			ValidateCreate: func(s *site) (errs field.ErrorList) {
				if s.Spec.Size < 0 {
					errs = append(errs, field.Invalid(field.NewPath("spec", "size"), s.Spec.Size, "must not be negative"))
				}
				return errs
			},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func named() metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "default", Name: "a"} }

func newDeployment() *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: named(), Spec: appsv1.DeploymentSpec{Replicas: ptr.To(int32(1))}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: "app:1"}, {Name: "side", Image: "side:1"}}
	return d
}

func newConfigMap() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: named(), Data: map[string]string{"a": "1", "b": "2"}}
}

func newSite() *site {
	return &site{ObjectMeta: named(), Spec: siteSpec{Size: 1, Tags: []string{"x", "y"}}}
}

func create(t *testing.T, s *store.Store, obj store.Object) {
	t.Helper()
	if _, err := s.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func merge(data string) patch.Patch {
	return patch.Patch{Type: types.MergePatchType, Data: []byte(data)}
}

func jsonPatch(data string) patch.Patch {
	return patch.Patch{Type: types.JSONPatchType, Data: []byte(data)}
}

func strategic(data string) patch.Patch {
	return patch.Patch{Type: types.StrategicMergePatchType, Data: []byte(data)}
}

// like has nothing but the object's type and name.
func like(obj store.Object) store.Object {
	switch obj.(type) {
	case *appsv1.Deployment:
		return &appsv1.Deployment{ObjectMeta: named()}
	case *corev1.ConfigMap:
		return &corev1.ConfigMap{ObjectMeta: named()}
	}
	return &site{ObjectMeta: named()}
}

// part is the JSON of what lies at a path of an object.
func part(t *testing.T, obj store.Object, path string) string {
	t.Helper()
	text, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(path, ".") {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		text = fields[name]
	}
	return string(text)
}

// A patch may not bring in what no store could read.
func TestCostlyQuantities(t *testing.T) {
	s := newStore(t)
	create(t, s, newDeployment())
	for _, p := range []patch.Patch{
		merge(`{"spec":{"template":{"spec":{"overhead":{"cpu":"1e-999999999"}}}}}`),
		strategic(`{"spec":{"template":{"spec":{"containers":[{"name":"app","resources":{"limits":{"cpu":1e999999999}}}]}}}}`),
		strategic(`{"spec":{"template":{"spec":{"containers":[{"name":"app","resources":{"limits":{"cpu":"1e-999999999"}}}]}}}}`),
		jsonPatch(`[{"op":"add","path":"/spec/template/spec/overhead","value":{"cpu":1e-99999999}}]`),
		jsonPatch(`[{"op":"add","path":"/spec/template/spec/overhead","value":{"cpu":" 1e-99999999"}}]`),
	} {
		done := make(chan error, 1)
		go func() {
			_, err := patch.Apply(t.Context(), s, like(newDeployment()), p)
			done <- err
		}()
		select {
		case err := <-done:
			if !apierrors.IsBadRequest(err) {
				t.Errorf("%s: %v", p.Data, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: takes too long", p.Data)
		}
	}
}

func TestApply(t *testing.T) {
	s := newStore(t)
	for name, c := range map[string]struct {
		obj        store.Object
		p          patch.Patch
		path, want string
	}{
		"merge, Deployment":     {newDeployment(), merge(`{"spec":{"replicas":3}}`), "spec.replicas", "3"},
		"merge removes":         {newConfigMap(), merge(`{"data":{"a":null,"c":"3"}}`), "data", `{"b":"2","c":"3"}`},
		"merge replaces a list": {newSite(), merge(`{"spec":{"tags":["z"]}}`), "spec", `{"size":1,"tags":["z"]}`},
		"JSON, Deployment":      {newDeployment(), jsonPatch(`[{"op":"replace","path":"/spec/replicas","value":4}]`), "spec.replicas", "4"},
		"JSON, ConfigMap": {newConfigMap(), jsonPatch(`[{"op":"test","path":"/data/a","value":"1"},{"op":"remove","path":"/data/a"}]`),
			"data", `{"b":"2"}`},
		"JSON, Resource": {newSite(), jsonPatch(`[{"op":"add","path":"/spec/tags/-","value":"z"}]`), "spec.tags", `["x","y","z"]`},
		"strategic merges a list by its key": {newDeployment(),
			strategic(`{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"side:2"},{"name":"app","$patch":"delete"}]}}}}`),
			"spec.template.spec.containers", `[{"name":"side","image":"side:2","resources":{}}]`},
		"strategic, ConfigMap":   {newConfigMap(), strategic(`{"data":{"a":null}}`), "data", `{"b":"2"}`},
		"strategic, metadata":    {newSite(), strategic(`{"metadata":{"labels":{"a":"b"}}}`), "metadata.labels", `{"a":"b"}`},
		"the status stays as is": {newSite(), merge(`{"status":{"ready":3}}`), "status", "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			create(t, s, c.obj)
			defer remove(t, s, c.obj)
			obj := like(c.obj)
			rev, err := patch.Apply(t.Context(), s, obj, c.p)
			if err != nil {
				t.Fatal(err)
			}
			if got := part(t, obj, c.path); got != c.want {
				t.Errorf("%s is %s, not %s", c.path, got, c.want)
			}
			if obj.GetResourceVersion() != store.FormatRevision(rev) {
				t.Errorf("resourceVersion %s, not %d", obj.GetResourceVersion(), rev)
			}
			there, err := s.GetObject(t.Context(), obj)
			if err != nil || !equality.Semantic.DeepEqual(there, obj) {
				t.Errorf("stored is %+v (%v), not %+v", there, err, obj)
			}
		})
	}
}

func remove(t *testing.T, s *store.Store, obj store.Object) {
	t.Helper()
	if _, err := s.Delete(t.Context(), obj, store.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

func TestApplyRefuses(t *testing.T) {
	s := newStore(t)
	invalid, badRequest := apierrors.IsInvalid, apierrors.IsBadRequest
	obj := newSite()
	create(t, s, obj)
	gone := obj.DeepCopy()
	gone.Name = "gone"
	for name, c := range map[string]struct {
		obj  *site
		p    patch.Patch
		is   func(error) bool
		word string
	}{
		"a malformed merge patch":             {obj, merge(`{`), badRequest, ""},
		"a merge patch that is no object":     {obj, merge(`[]`), badRequest, ""},
		"a malformed JSON patch":              {obj, jsonPatch(`{"op":"add"}`), badRequest, "malformed JSON patch"},
		"a JSON patch whose test fails":       {obj, jsonPatch(`[{"op":"test","path":"/spec/size","value":9}]`), badRequest, "test"},
		"a JSON patch of what is not there":   {obj, jsonPatch(`[{"op":"remove","path":"/spec/none"}]`), badRequest, "none"},
		"a malformed strategic patch":         {obj, strategic(`[`), badRequest, ""},
		"an empty patch":                      {obj, merge(``), badRequest, ""},
		"a type of patch that is none":        {obj, patch.Patch{Type: types.ApplyYAMLPatchType}, badRequest, "is not one of"},
		"an unknown field":                    {obj, merge(`{"spec":{"colour":"red"}}`), badRequest, `unknown field "spec.colour"`},
		"a field in another case":             {obj, merge(`{"spec":{"Size":3}}`), badRequest, `unknown field "spec.Size"`},
		"a value of the wrong type":           {obj, merge(`{"spec":{"size":"big"}}`), badRequest, "size"},
		"another name":                        {obj, merge(`{"metadata":{"name":"b"}}`), badRequest, "changes the name to default/b"},
		"another namespace":                   {obj, merge(`{"metadata":{"namespace":"b"}}`), badRequest, "changes the name to b/a"},
		"no name":                             {obj, merge(`{"metadata":null}`), badRequest, "changes the name"},
		"another kind":                        {obj, merge(`{"kind":"Other"}`), badRequest, "changes the kind to example.com/v1, Kind=Other"},
		"another version":                     {obj, merge(`{"apiVersion":"example.com/v2"}`), badRequest, "changes the kind"},
		"what the kind's validation refuses":  {obj, merge(`{"spec":{"size":-1}}`), invalid, "spec.size"},
		"invalid metadata":                    {obj, merge(`{"metadata":{"labels":{"a b":"c"}}}`), invalid, "metadata.labels"},
		"an object that is not there":         {gone, merge(`{}`), apierrors.IsNotFound, ""},
		"an object of another uid":            {obj, merge(`{"metadata":{"uid":"other"}}`), apierrors.IsConflict, ""},
		"a resourceVersion that is not there": {obj, merge(`{"metadata":{"resourceVersion":"1"}}`), apierrors.IsConflict, ""},
	} {
		for verb, apply := range verbs() {
			t.Run(name+", "+verb, func(t *testing.T) {
				if verb == "status" && c.is(apierrors.NewInvalid(schema.GroupKind{}, "", nil)) {
					return // a status update does not look at what it does not write
				}
				refused(t, s, c.obj, c.p, apply, c.is, c.word)
			})
		}
	}
}

type verb = func(*testing.T, *store.Store, store.Object, patch.Patch) (int64, error)

func verbs() map[string]verb {
	return map[string]verb{
		"all but the status": func(t *testing.T, s *store.Store, obj store.Object, p patch.Patch) (int64, error) {
			return patch.Apply(t.Context(), s, obj, p)
		},
		"status": func(t *testing.T, s *store.Store, obj store.Object, p patch.Patch) (int64, error) {
			return patch.ApplyStatus(t.Context(), s, obj, p)
		},
	}
}

// refused fails unless a patch is refused without a trace, in etcd as well as in
// the caller's object.
func refused(t *testing.T, s *store.Store, obj store.Object, p patch.Patch, apply verb, is func(error) bool, word string) {
	t.Helper()
	given := obj.DeepCopyObject().(store.Object)
	given.SetResourceVersion("")
	given.SetUID("")
	copied := given.DeepCopyObject()
	before := revision(t, s)
	_, err := apply(t, s, given, p)
	if err == nil || !is(err) || !strings.Contains(err.Error(), word) {
		t.Fatalf("the error is %v", err)
	}
	if !equality.Semantic.DeepEqual(given, copied) {
		t.Errorf("the object became %+v", given)
	}
	if now := revision(t, s); now != before {
		t.Errorf("etcd is at revision %d, not %d: something was written", now, before)
	}
}

func revision(t *testing.T, s *store.Store) int64 {
	t.Helper()
	rev, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func TestApplyStatusWritesStatusAndAnnotationsAlone(t *testing.T) {
	s := newStore(t)
	create(t, s, newSite())
	obj := &site{ObjectMeta: named()}
	p := merge(`{"metadata":{"annotations":{"note":"x"},"labels":{"a":"b"}},"spec":{"size":9},"status":{"ready":3}}`)
	if _, err := patch.ApplyStatus(t.Context(), s, obj, p); err != nil {
		t.Fatal(err)
	}
	if obj.Status.Ready != 3 || obj.Annotations["note"] != "x" || obj.Spec.Size != 1 || obj.Labels != nil || obj.Generation != 1 {
		t.Errorf("the object is %+v", obj)
	}
}

func TestApplyHoldsToAResourceVersion(t *testing.T) {
	s := newStore(t)
	obj := newSite()
	create(t, s, obj)
	stale := obj.DeepCopy()
	if _, err := patch.Apply(t.Context(), s, obj, merge(`{"spec":{"size":2}}`)); err != nil {
		t.Fatalf("at the current resourceVersion: %v", err)
	}
	before := stale.DeepCopy()
	if _, err := patch.Apply(t.Context(), s, stale, merge(`{"spec":{"size":3}}`)); !apierrors.IsConflict(err) {
		t.Fatalf("at a stale resourceVersion: %v", err)
	}
	if !equality.Semantic.DeepEqual(stale, before) {
		t.Errorf("the object became %+v", stale)
	}
	current := `{"metadata":{"resourceVersion":"` + obj.ResourceVersion + `"},"spec":{"size":4}}`
	if _, err := patch.Apply(t.Context(), s, &site{ObjectMeta: named()}, merge(current)); err != nil {
		t.Fatalf("at the resourceVersion in the patch: %v", err)
	}
}

func TestApplyThatChangesNothingCostsNoRevision(t *testing.T) {
	s := newStore(t)
	create(t, s, newDeployment())
	before := revision(t, s)
	for _, p := range []patch.Patch{merge(`{}`), jsonPatch(`[]`), strategic(`{"spec":{"replicas":1}}`)} {
		if _, err := patch.Apply(t.Context(), s, &appsv1.Deployment{ObjectMeta: named()}, p); err != nil {
			t.Fatal(err)
		}
	}
	if now := revision(t, s); now != before {
		t.Errorf("etcd is at revision %d, not %d", now, before)
	}
}

// Many writers add to a list at once: one that was applied to what is no longer
// there would lose another's entry. A patch that takes the resourceVersion away
// does not have it overwrite them either.
func TestApplyIsAppliedAgainAfterAConflict(t *testing.T) {
	s := newStore(t)
	create(t, s, newSite())
	const writers = 20
	errs := make(chan error)
	for i := range writers {
		p := jsonPatch(`[{"op":"add","path":"/spec/tags/-","value":"z"},{"op":"remove","path":"/metadata/resourceVersion"}]`)
		if i%2 == 0 {
			p = jsonPatch(`[{"op":"add","path":"/spec/tags/-","value":"z"},{"op":"remove","path":"/metadata/uid"}]`)
		}
		go func() {
			_, err := patch.Apply(t.Context(), s, &site{ObjectMeta: named()}, p)
			errs <- err
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	there, err := store.Get[*site](t.Context(), s, store.KeyOf(&site{ObjectMeta: named()}))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(there.Spec.Tags); n != 2+writers {
		t.Errorf("%d tags, not %d", n, 2+writers)
	}
}
