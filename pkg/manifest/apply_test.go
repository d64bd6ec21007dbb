package manifest_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/manifest"
	"github.com/homeostat/homeostat/pkg/store"
)

type siteSpec struct {
	Image string   `json:"image,omitempty"`
	Tags  []string `json:"tags,omitempty"`
	Size  *int64   `json:"size,omitempty"`
}

type siteStatus struct {
	Ready bool `json:"ready,omitempty"`
}

// Site is a type of one's own: it has neither generated code nor patch tags.
type Site = store.Resource[siteSpec, siteStatus]

// newStore returns a store whose Deployments have defaults and a rule.
func newStore(t *testing.T) *store.Store {
	t.Helper()
	cluster := etcdtest.Start(t, etcdtest.Options{})
	s, err := store.New(cluster.Client(), store.Options{Kinds: []store.AnyKind{
		store.Kind[*corev1.Namespace]{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Namespace"), ClusterScoped: true},
		store.Kind[*corev1.ConfigMap]{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("ConfigMap")},
		store.Kind[*Site]{GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"}},
		store.Kind[*appsv1.Deployment]{
			GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("Deployment"),
			Default: func(d *appsv1.Deployment) {
				if d.Spec.Replicas == nil {
					d.Spec.Replicas = new(int32(1))
				}
			},
			ValidateCreate: validate,
			ValidateUpdate: func(d, _ *appsv1.Deployment) field.ErrorList { return validate(d) },
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(d *appsv1.Deployment) field.ErrorList {
	if *d.Spec.Replicas < 0 {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "replicas"), *d.Spec.Replicas, "is negative")}
	}
	return nil
}

func loadOne(t *testing.T, s *store.Store, text string) manifest.Document {
	t.Helper()
	docs, errs := manifest.Load(s, []string{"-"}, strings.NewReader(text))
	if len(docs) != 1 || len(errs) > 0 {
		t.Fatalf("%v %v", docs, errs)
	}
	return docs[0]
}

// apply applies a manifest and expects an action.
func apply[T store.Object](t *testing.T, s *store.Store, text string, want manifest.Action) T {
	t.Helper()
	applied, err := manifest.Apply(t.Context(), s, loadOne(t, s, text), manifest.ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if applied.Action != want {
		t.Errorf("%s, want %s", applied.Action, want)
	}
	return applied.Object.(T)
}

func update(t *testing.T, s *store.Store, obj store.Object) {
	t.Helper()
	if _, err := s.Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

const web = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web"

func TestApplyKeepsWhatOthersOwn(t *testing.T) {
	s := newStore(t)
	d := apply[*appsv1.Deployment](t, s, web+", annotations: {mine: x, dropped: x}, finalizers: [example.com/mine]}\nspec: {paused: true}", manifest.Created)
	if *d.Spec.Replicas != 1 {
		t.Fatal("no defaults")
	}
	*d.Spec.Replicas = 5
	d.Annotations["theirs"], d.Labels = "y", map[string]string{"theirs": "y"}
	d.Finalizers = append(d.Finalizers, "example.com/theirs")
	d.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Owner", Name: "o", UID: "u"}}
	update(t, s, d)
	d.Status.Replicas = 5
	if _, err := s.UpdateStatus(t.Context(), d); err != nil {
		t.Fatal(err)
	}

	second := web + ", annotations: {mine: z}}\nspec: {minReadySeconds: 3}\nstatus: {replicas: 7}"
	d = apply[*appsv1.Deployment](t, s, second, manifest.Configured)
	delete(d.Annotations, corev1.LastAppliedConfigAnnotation)
	if *d.Spec.Replicas != 5 || d.Spec.Paused || d.Spec.MinReadySeconds != 3 || d.Status.Replicas != 5 ||
		len(d.Annotations) != 2 || d.Annotations["mine"] != "z" || d.Annotations["theirs"] != "y" || d.Labels["theirs"] != "y" ||
		len(d.Finalizers) != 1 || d.Finalizers[0] != "example.com/theirs" || len(d.OwnerReferences) != 1 {
		t.Errorf("%+v", d)
	}
	again := apply[*appsv1.Deployment](t, s, second, manifest.Unchanged)
	if again.ResourceVersion != d.ResourceVersion {
		t.Error("an unchanged manifest wrote")
	}
}

func TestApplyOfATypeOfOnesOwn(t *testing.T) {
	s := newStore(t)
	const site = "apiVersion: example.com/v1\nkind: Site\nmetadata: {name: a, namespace: town}\n"
	obj := apply[*Site](t, s, site+"spec: {image: x, tags: [a, b], size: 9007199254740993}", manifest.Created)
	obj.Spec.Image, obj.Status.Ready = "edited", true
	obj.Finalizers = []string{"example.com/theirs"}
	update(t, s, obj)
	obj = apply[*Site](t, s, site+"spec: {tags: [c], size: 9007199254740993}", manifest.Configured)
	if obj.Spec.Image != "" || len(obj.Spec.Tags) != 1 || *obj.Spec.Size != 9007199254740993 || len(obj.Finalizers) != 1 {
		t.Errorf("%+v", obj)
	}
}

// kubectl reads and writes the same annotation.
func TestApplyAnnotates(t *testing.T) {
	s := newStore(t)
	cm := apply[*corev1.ConfigMap](t, s, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: '<v>'}", manifest.Created)
	want := `{"apiVersion":"v1","data":{"k":"\u003cv\u003e"},"kind":"ConfigMap","metadata":{"annotations":{},"name":"c","namespace":"default"}}` + "\n"
	if got := cm.Annotations[corev1.LastAppliedConfigAnnotation]; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	ns := apply[*corev1.Namespace](t, s, "apiVersion: v1\nkind: Namespace\nmetadata: {name: ns}", manifest.Created)
	if ns.Namespace != "" {
		t.Error("a namespace in a namespace")
	}
	cm.Annotations[corev1.LastAppliedConfigAnnotation] = "{"
	update(t, s, cm)
	_, err := manifest.Apply(t.Context(), s, loadOne(t, s, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}"), manifest.ApplyOptions{})
	if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), corev1.LastAppliedConfigAnnotation) {
		t.Errorf("error %v", err)
	}
}

// What another program has created loses nothing.
func TestApplyToWhatWasNeverApplied(t *testing.T) {
	s := newStore(t)
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}, Spec: appsv1.DeploymentSpec{Replicas: new(int32(4)), Paused: true}}
	if _, err := s.Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	d = apply[*appsv1.Deployment](t, s, web+"}\nspec: {minReadySeconds: 1}", manifest.Configured)
	if *d.Spec.Replicas != 4 || !d.Spec.Paused || d.Spec.MinReadySeconds != 1 {
		t.Errorf("%+v", d.Spec)
	}
}

func TestApplyConditions(t *testing.T) {
	s := newStore(t)
	missing := loadOne(t, s, web+", resourceVersion: '1'}")
	if _, err := manifest.Apply(t.Context(), s, missing, manifest.ApplyOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a version of nothing: %v", err)
	}
	d := apply[*appsv1.Deployment](t, s, web+"}", manifest.Created)
	for name, condition := range map[string]string{"version": "resourceVersion: '1'", "uid": "uid: another"} {
		_, err := manifest.Apply(t.Context(), s, loadOne(t, s, web+", "+condition+"}"), manifest.ApplyOptions{})
		if !apierrors.IsConflict(err) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	apply[*appsv1.Deployment](t, s, web+", resourceVersion: '"+d.ResourceVersion+"', labels: {a: b}}", manifest.Configured)
}

func TestApplyGeneratesNames(t *testing.T) {
	s := newStore(t)
	const text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: c-}"
	a, b := apply[*corev1.ConfigMap](t, s, text, manifest.Created), apply[*corev1.ConfigMap](t, s, text, manifest.Created)
	if a.Name == b.Name || !strings.HasPrefix(a.Name, "c-") {
		t.Errorf("%q and %q", a.Name, b.Name)
	}
}

// Writers of different fields lose nothing of each other.
func TestApplyBesideOtherWriters(t *testing.T) {
	s := newStore(t)
	apply[*appsv1.Deployment](t, s, web+"}", manifest.Created)
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		doc := loadOne(t, s, web+"}\nspec: {minReadySeconds: 7}")
		wg.Go(func() {
			key := store.Key{Namespace: "default", Name: "web"}
			if _, _, err := store.Mutate(t.Context(), s, key, func(d *appsv1.Deployment) error {
				metav1.SetMetaDataLabel(&d.ObjectMeta, name, name)
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := manifest.Apply(t.Context(), s, doc, manifest.ApplyOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	d, err := store.Get[*appsv1.Deployment](t.Context(), s, store.Key{Namespace: "default", Name: "web"})
	if err != nil || len(d.Labels) != 4 || d.Spec.MinReadySeconds != 7 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestApplyOfAnObject(t *testing.T) {
	s := newStore(t)
	doc := manifest.Document{Object: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Data: map[string]string{"k": "v"}}}
	for _, want := range []manifest.Action{manifest.Created, manifest.Unchanged} {
		applied, err := manifest.Apply(t.Context(), s, doc, manifest.ApplyOptions{Namespace: "town"})
		if err != nil || applied.Action != want || applied.Object.GetNamespace() != "town" {
			t.Errorf("%+v, %v", applied, err)
		}
	}
	if doc.Object.GetNamespace() != "" {
		t.Error("the document was changed")
	}
	if _, err := manifest.Apply(t.Context(), s, manifest.Document{Object: &corev1.Pod{}}, manifest.ApplyOptions{}); err == nil {
		t.Error("a kind that the store does not know was applied")
	}
}

func TestErrorsOfApply(t *testing.T) {
	s := newStore(t)
	doc := loadOne(t, s, "apiVersion: v1\nkind: List\nitems: [{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: -1}}]")
	_, err := manifest.Apply(t.Context(), s, doc, manifest.ApplyOptions{})
	errs := doc.Errors(err)
	if len(errs) != 1 || errs[0].Source != "stdin" || errs[0].Index != 1 || errs[0].Field != "items[0].spec.replicas" {
		t.Errorf("%v", errs)
	}
	if errs := doc.Errors(context.Canceled); len(errs) != 1 || errs[0].Field != "items[0]" || errs[0].Err != context.Canceled {
		t.Errorf("%v", errs)
	}
	if doc.Errors(nil) != nil {
		t.Error("no error has errors")
	}
}

func TestApplyObeysItsContext(t *testing.T) {
	s := newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := manifest.Apply(ctx, s, loadOne(t, s, web+"}"), manifest.ApplyOptions{}); err == nil {
		t.Error("it applied")
	}
}
