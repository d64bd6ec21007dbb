package apiserver_test

import (
	"context"
	"encoding/json"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("The API", func() {
	var r *running

	BeforeEach(func(ctx SpecContext) { r = serve(ctx) })

	It("tells clients which kinds there are", func(ctx SpecContext) {
		for _, legacy := range []bool{false, true} {
			client := discovery.NewDiscoveryClientForConfigOrDie(r.config)
			client.UseLegacyDiscovery = legacy
			_, lists, err := client.ServerGroupsAndResourcesWithContext(ctx)
			Expect(err).NotTo(HaveOccurred())
			names := map[string]string{}
			for _, l := range lists {
				for _, resource := range l.APIResources {
					names[resource.Name] = l.GroupVersion + " " + resource.Kind
				}
			}
			Expect(names).To(And(HaveKeyWithValue("sites", "example.com/v1 Site"), HaveKeyWithValue("sites/status", "example.com/v1 Site"),
				HaveKeyWithValue("sites/scale", "example.com/v1 Scale"), HaveKeyWithValue("configmaps", "v1 ConfigMap"),
				HaveKeyWithValue("deployments/scale", "apps/v1 Scale"), Not(HaveKey("configmaps/status"))))
		}
		version := must(discovery.NewDiscoveryClientForConfigOrDie(r.config).ServerVersionWithContext(ctx))
		Expect(version.GitVersion).To(ContainSubstring("homeostat"))
	}, specTimeout)

	It("keeps the rules of the store", func(ctx SpecContext) {
		made := must(r.sites().Create(ctx, newSite("a", 1), metav1.CreateOptions{}))
		Expect(made.GetUID()).NotTo(BeEmpty())
		Expect(made.GetGeneration()).To(BeEquivalentTo(1))
		stored := must(store.Get[*Site](ctx, r.store, store.Key{Namespace: "default", Name: "a"}))
		Expect(stored.Spec.Image).To(Equal("nginx"))
		Expect(stored.ResourceVersion).To(Equal(made.GetResourceVersion()))

		stored.Spec.Replicas = 5
		Expect(r.store.Update(ctx, stored)).Error().NotTo(HaveOccurred())
		Expect(unstructured.SetNestedField(made.Object, int64(2), "spec", "replicas")).To(Succeed())
		Expect(r.sites().Update(ctx, made, metav1.UpdateOptions{})).Error().To(MatchError(apierrors.IsConflict, "Conflict"))
		made.SetResourceVersion("")
		made = must(r.sites().Update(ctx, made, metav1.UpdateOptions{}))
		Expect(made.GetGeneration()).To(BeEquivalentTo(3))

		Expect(unstructured.SetNestedField(made.Object, int64(9), "status", "ready")).To(Succeed())
		Expect(unstructured.SetNestedField(made.Object, int64(7), "spec", "replicas")).To(Succeed())
		made = must(r.sites().UpdateStatus(ctx, made, metav1.UpdateOptions{}))
		Expect(made.Object["spec"]).To(HaveKeyWithValue("replicas", BeEquivalentTo(2)))
		Expect(made.Object["status"]).To(HaveKeyWithValue("ready", BeEquivalentTo(9)))
	}, specTimeout)

	It("generates names, and writes nothing in a dry run", func(ctx SpecContext) {
		site := newSite("", 1)
		site.SetGenerateName("site-")
		dry := must(r.sites().Create(ctx, site, metav1.CreateOptions{DryRun: []string{"All"}}))
		Expect(dry.GetName()).To(HavePrefix("site-"))
		Expect(must(r.sites().List(ctx, metav1.ListOptions{})).Items).To(BeEmpty())
		made := must(r.sites().Create(ctx, site, metav1.CreateOptions{}))
		Expect(r.sites().Delete(ctx, made.GetName(), metav1.DeleteOptions{DryRun: []string{"All"}})).To(Succeed())
		Expect(must(r.sites().List(ctx, metav1.ListOptions{})).Items).To(HaveLen(1))
	}, specTimeout)

	It("speaks protobuf, CBOR and YAML of Kubernetes' own kinds", func(ctx SpecContext) {
		for name, contentType := range map[string]string{"proto": "application/vnd.kubernetes.protobuf", "cbor": "application/cbor", "yaml": "application/yaml"} {
			config := rest.CopyConfig(r.config)
			config.ContentType, config.AcceptContentTypes = contentType, contentType
			client := must(kubernetes.NewForConfig(config)).CoreV1().ConfigMaps("default")
			made := must(client.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"k": "v"}}, metav1.CreateOptions{}))
			Expect(made.UID).NotTo(BeEmpty())
			list := must(client.List(ctx, metav1.ListOptions{}))
			Expect(list.Items).To(ContainElement(HaveField("Name", name)))
			Expect(list.ResourceVersion).NotTo(BeEmpty())
			Expect(r.typed.RESTClient().Get().AbsPath("/api/v1/bindings").SetHeader("Accept", contentType).Do(ctx).Error()).To(Succeed())
		}
	}, specTimeout)

	It("patches in all four ways", func(ctx SpecContext) {
		site := newSite("a", 1)
		site.Object["spec"].(map[string]any)["ports"] = []any{map[string]any{"name": "web", "port": int64(80)}, map[string]any{"name": "dns", "port": int64(53)}}
		must(r.sites().Create(ctx, site, metav1.CreateOptions{}))
		patch := func(kind types.PatchType, patch string) *unstructured.Unstructured {
			GinkgoHelper()
			return must(r.sites().Patch(ctx, "a", kind, []byte(patch), metav1.PatchOptions{FieldManager: "tester"}))
		}
		Expect(patch(types.MergePatchType, `{"spec":{"image":"x"}}`).Object["spec"]).To(HaveKeyWithValue("image", "x"))
		Expect(patch(types.JSONPatchType, `[{"op":"replace","path":"/spec/replicas","value":7}]`).Object["spec"]).To(HaveKeyWithValue("replicas", BeEquivalentTo(7)))
		applied := patch(types.ApplyPatchType, `{"apiVersion":"example.com/v1","kind":"Site","metadata":{"name":"a"},"spec":{"ports":[{"name":"dns","port":53},{"name":"ssh","port":22}]}}`)
		ports, _, _ := unstructured.NestedSlice(applied.Object, "spec", "ports")
		Expect(ports).To(HaveLen(3))
		applied = patch(types.ApplyPatchType, `{"apiVersion":"example.com/v1","kind":"Site","metadata":{"name":"a"},"spec":{"ports":[{"name":"dns","port":53}]}}`)
		ports, _, _ = unstructured.NestedSlice(applied.Object, "spec", "ports")
		Expect(ports).To(HaveLen(2), "the port that only this manager had applied is gone")

		_, err := r.sites().Patch(ctx, "a", types.ApplyPatchType, []byte(`{"apiVersion":"example.com/v1","kind":"Site","metadata":{"name":"a"},"spec":{"image":"theirs"}}`), metav1.PatchOptions{FieldManager: "other"})
		Expect(err).To(And(MatchError(apierrors.IsConflict, "Conflict"), MatchError(ContainSubstring(`conflict with "tester" using example.com/v1: .spec.image`))))

		must(r.typed.AppsV1().Deployments("default").Create(ctx, newDeployment("d"), metav1.CreateOptions{}))
		d := must(r.typed.AppsV1().Deployments("default").Patch(ctx, "d", types.StrategicMergePatchType,
			[]byte(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"new"}]}}}}`), metav1.PatchOptions{}))
		Expect(d.Spec.Template.Spec.Containers).To(HaveExactElements(
			And(HaveField("Name", "web"), HaveField("Image", "new")), HaveField("Name", "side")))
	}, specTimeout)

	It("creates by apply", func(ctx SpecContext) {
		made := must(r.sites().Apply(ctx, "new", newSite("new", 3), metav1.ApplyOptions{FieldManager: "me"}))
		Expect(made.GetManagedFields()).To(HaveExactElements(And(HaveField("Manager", "me"), HaveField("Operation", metav1.ManagedFieldsOperationApply))))
	}, specTimeout)

	It("scales", func(ctx SpecContext) {
		must(r.typed.AppsV1().Deployments("default").Create(ctx, newDeployment("d"), metav1.CreateOptions{}))
		scale := must(r.typed.AppsV1().Deployments("default").GetScale(ctx, "d", metav1.GetOptions{}))
		Expect(scale.Spec.Replicas).To(BeZero())
		Expect(scale.Status.Selector).To(Equal("app=d"))
		scale.Spec.Replicas = 4
		Expect(r.typed.AppsV1().Deployments("default").UpdateScale(ctx, "d", scale, metav1.UpdateOptions{})).To(HaveField("Spec", autoscalingv1.ScaleSpec{Replicas: 4}))
		Expect(must(r.typed.AppsV1().Deployments("default").Get(ctx, "d", metav1.GetOptions{})).Spec.Replicas).To(HaveValue(BeEquivalentTo(4)))
		scale.ResourceVersion = "1"
		_, err := r.typed.AppsV1().Deployments("default").UpdateScale(ctx, "d", scale, metav1.UpdateOptions{})
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
	}, specTimeout)

	It("deletes with preconditions, finalizers and collections", func(ctx SpecContext) {
		held := newSite("held", 1)
		held.SetFinalizers([]string{"example.com/held"})
		must(r.sites().Create(ctx, held, metav1.CreateOptions{}))
		for _, name := range []string{"a", "b", "c"} {
			site := newSite(name, 1)
			site.SetLabels(map[string]string{"some": "yes"})
			must(r.sites().Create(ctx, site, metav1.CreateOptions{}))
		}
		uid := types.UID("another")
		Expect(r.sites().Delete(ctx, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})).To(MatchError(apierrors.IsConflict, "Conflict"))
		Expect(r.sites().Delete(ctx, "a", metav1.DeleteOptions{})).To(Succeed())
		Expect(r.sites().Delete(ctx, "a", metav1.DeleteOptions{})).To(MatchError(apierrors.IsNotFound, "NotFound"))
		Expect(r.sites().DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "some=yes"})).To(Succeed())
		Expect(r.sites().Delete(ctx, "held", metav1.DeleteOptions{})).To(Succeed())
		left := must(r.sites().List(ctx, metav1.ListOptions{})).Items
		Expect(left).To(HaveLen(1))
		Expect(left[0].GetDeletionTimestamp()).NotTo(BeNil())
		left[0].SetFinalizers(nil)
		Expect(r.sites().Update(ctx, &left[0], metav1.UpdateOptions{})).Error().NotTo(HaveOccurred())
		Expect(must(r.sites().List(ctx, metav1.ListOptions{})).Items).To(BeEmpty())
	}, specTimeout)

	It("lists in pages, by selectors and at revisions", func(ctx SpecContext) {
		var last string
		for _, name := range []string{"a", "b", "c"} {
			last = must(r.sites().Create(ctx, newSite(name, 1), metav1.CreateOptions{})).GetResourceVersion()
		}
		page := must(r.sites().List(ctx, metav1.ListOptions{Limit: 2}))
		Expect(page.Items).To(HaveLen(2))
		Expect(page.GetRemainingItemCount()).To(HaveValue(BeEquivalentTo(1)))
		rest := must(r.sites().List(ctx, metav1.ListOptions{Limit: 2, Continue: page.GetContinue()}))
		Expect(rest.Items).To(HaveLen(1))
		Expect(must(r.sites().List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=b"})).Items).To(HaveLen(1))
		Expect(r.sites().List(ctx, metav1.ListOptions{FieldSelector: "spec.image=x"})).Error().To(MatchError(apierrors.IsBadRequest, "BadRequest"))

		Expect(r.sites().Delete(ctx, "a", metav1.DeleteOptions{})).To(Succeed())
		then := must(r.sites().List(ctx, metav1.ListOptions{ResourceVersion: last, ResourceVersionMatch: metav1.ResourceVersionMatchExact}))
		Expect(then.Items).To(HaveLen(3))
		Expect(then.GetResourceVersion()).To(Equal(last))
		Expect(must(r.sites().List(ctx, metav1.ListOptions{ResourceVersion: last})).Items).To(HaveLen(2))
		err := r.typed.RESTClient().Get().AbsPath("/apis/example.com/v1/sites").Param("resourceVersion", "999999999").MaxRetries(0).Do(ctx).Error()
		Expect(err).To(MatchError(func(err error) bool { return apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) }, "too large"))
	}, specTimeout)

	It("prints tables", func(ctx SpecContext) {
		must(r.sites().Create(ctx, newSite("a", 3), metav1.CreateOptions{}))
		data := must(r.typed.RESTClient().Get().AbsPath("/apis/example.com/v1/namespaces/default/sites").
			SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(ctx))
		var table metav1.Table
		Expect(json.Unmarshal(data, &table)).To(Succeed())
		Expect(table.ColumnDefinitions).To(HaveExactElements(HaveField("Name", "Name"), HaveField("Name", "Replicas"), HaveField("Name", "Ready"), HaveField("Name", "Age")))
		Expect(table.Rows).To(HaveLen(1))
		Expect(table.Rows[0].Cells[:3]).To(HaveExactElements("a", BeEquivalentTo(3), BeEquivalentTo(0)))
	}, specTimeout)
})

var _ = DescribeTable("A request that is wrong gets the answer of an API server", func(ctx SpecContext, do func(context.Context, *running) error, is func(error) bool, message string) {
	r := serve(ctx)
	must(r.sites().Create(ctx, newSite("a", 1), metav1.CreateOptions{}))
	err := do(ctx, r)
	Expect(err).To(And(MatchError(is, "the reason"), MatchError(ContainSubstring(message))))
},
	Entry("a name that exists", create(`{"apiVersion":"example.com/v1","kind":"Site","metadata":{"name":"a"}}`), apierrors.IsAlreadyExists, `sites.example.com "a" already exists`),
	Entry("a name that cannot be", create(`{"apiVersion":"example.com/v1","kind":"Site","metadata":{"name":"A_"}}`), apierrors.IsInvalid, "metadata.name"),
	Entry("a rule of the kind", create(`{"apiVersion":"example.com/v1","kind":"Site","metadata":{"name":"b"},"spec":{"replicas":-1}}`), apierrors.IsInvalid, "spec.replicas: Invalid value: -1"),
	Entry("no JSON", create(`{"apiVersion"`), apierrors.IsBadRequest, "unexpected end of JSON input"),
	Entry("a field of another type", create(`{"apiVersion":"example.com/v1","kind":"Site","metadata":{"name":"b"},"spec":{"replicas":"x"}}`), apierrors.IsBadRequest, "spec.replicas"),
	Entry("another kind", create(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}`), apierrors.IsBadRequest, "does not match"),
	Entry("another version", create(`{"apiVersion":"example.com/v9","kind":"Site","metadata":{"name":"b"}}`), apierrors.IsBadRequest, "v9"),
	Entry("another namespace", create(`{"apiVersion":"example.com/v1","kind":"Site","metadata":{"name":"b","namespace":"other"}}`), apierrors.IsBadRequest, "namespace"),
	Entry("a resourceVersion on create", create(`{"apiVersion":"example.com/v1","kind":"Site","metadata":{"name":"b","resourceVersion":"5"}}`), apierrors.IsBadRequest, "resourceVersion"),
	Entry("an unknown resource", func(ctx context.Context, r *running) error {
		_, err := r.dynamic.Resource(siteKind.GroupVersion().WithResource("nothings")).List(ctx, metav1.ListOptions{})
		return err
	}, apierrors.IsNotFound, "could not find the requested resource"),
	Entry("a resourceVersion that is none", func(ctx context.Context, r *running) error {
		_, err := r.sites().List(ctx, metav1.ListOptions{ResourceVersion: "x"})
		return err
	}, apierrors.IsBadRequest, "invalid resource version"),
	Entry("a continue token that is none", func(ctx context.Context, r *running) error {
		_, err := r.sites().List(ctx, metav1.ListOptions{Continue: "x", Limit: 1})
		return err
	}, apierrors.IsBadRequest, "continue"),
	Entry("a watch of a future revision", func(ctx context.Context, r *running) error {
		w, err := r.sites().Watch(ctx, metav1.ListOptions{ResourceVersion: "999999999"})
		if err != nil {
			return err
		}
		defer w.Stop()
		return apierrors.FromObject((<-w.ResultChan()).Object)
	}, apierrors.IsResourceExpired, "too large resource version"),
	Entry("an oversized body", create(`{"apiVersion":"example.com/v1","kind":"Site","metadata":{"name":"b"},"spec":{"image":"`+string(make([]byte, 4<<20))+`"}}`), apierrors.IsRequestEntityTooLargeError, "limit"),
)

// create posts a body as it is.
func create(body string) func(context.Context, *running) error {
	return func(ctx context.Context, r *running) error {
		return r.typed.RESTClient().Post().AbsPath("/apis/example.com/v1/namespaces/default/sites").
			SetHeader("Content-Type", "application/json").Body([]byte(body)).Do(ctx).Error()
	}
}
