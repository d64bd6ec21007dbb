package apiserver

import (
	"net/http"
	"path"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/openapiconv"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// openAPI describes the kinds of the API to clients. kubectl needs it to create, apply and
// explain.
type openAPI struct {
	swagger *spec.Swagger                          // version 2, of all groups
	groups  map[schema.GroupVersion]*spec3.OpenAPI // version 3
}

func newOpenAPI(kinds map[schema.GroupVersion][]*kind) *openAPI {
	o := &openAPI{swagger: newSwagger(newSchemas()), groups: map[schema.GroupVersion]*spec3.OpenAPI{}}
	for gv, of := range kinds {
		s := newSchemas()
		one := newSwagger(s)
		for _, k := range of {
			addPaths(one, k, s.addKind(k))
		}
		for name, def := range s.definitions {
			one.Definitions[name] = *def
			o.swagger.Definitions[name] = *def
		}
		for p, item := range one.Paths.Paths {
			o.swagger.Paths.Paths[p] = item
		}
		o.groups[gv] = openapiconv.ConvertV2ToV3(one)
	}
	return o
}

func newSwagger(*schemas) *spec.Swagger {
	return &spec.Swagger{SwaggerProps: spec.SwaggerProps{
		Swagger:     "2.0",
		Info:        &spec.Info{InfoProps: spec.InfoProps{Title: "homeostat", Version: "v1"}},
		Paths:       &spec.Paths{Paths: map[string]spec.PathItem{}},
		Definitions: spec.Definitions{},
	}}
}

// addPaths adds the operations on the objects of a kind. kubectl looks there for the
// parameters that the server understands.
func addPaths(to *spec.Swagger, k *kind, definition string) {
	collection := apiPath(k.gvk.GroupVersion())
	if k.namespaced {
		collection = path.Join(collection, "namespaces/{namespace}")
	}
	collection = path.Join(collection, k.resource.Resource)
	op := func(action string, parameters ...string) *spec.Operation {
		ok := spec.Response{ResponseProps: spec.ResponseProps{Description: "OK", Schema: spec.RefSchema("#/definitions/" + definition)}}
		o := &spec.Operation{OperationProps: spec.OperationProps{
			ID: action + k.gvk.Version + k.gvk.Kind, Produces: []string{"application/json", "application/yaml"},
			Responses: &spec.Responses{ResponsesProps: spec.ResponsesProps{StatusCodeResponses: map[int]spec.Response{http.StatusOK: ok}}},
		}}
		o.AddExtension("x-kubernetes-action", action)
		o.AddExtension("x-kubernetes-group-version-kind", gvkExtension(k.gvk))
		for _, name := range parameters {
			o.Parameters = append(o.Parameters, spec.Parameter{
				ParamProps: spec.ParamProps{Name: name, In: "query"}, SimpleSchema: spec.SimpleSchema{Type: "string"}})
		}
		return o
	}
	writing := []string{"dryRun", "fieldManager", "fieldValidation"}
	to.Paths.Paths[collection] = spec.PathItem{PathItemProps: spec.PathItemProps{
		Get: op("list", "labelSelector", "fieldSelector", "limit", "continue", "resourceVersion"), Post: op("post", writing...)}}
	to.Paths.Paths[path.Join(collection, "{name}")] = spec.PathItem{PathItemProps: spec.PathItemProps{
		Get: op("get"), Put: op("put", writing...), Patch: op("patch", append(writing, "force")...), Delete: op("delete", "dryRun", "propagationPolicy")}}
}

func apiPath(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return path.Join("/api", gv.Version)
	}
	return path.Join("/apis", gv.Group, gv.Version)
}

// install serves the descriptions.
func (o *openAPI) install(mux *http.ServeMux) error {
	handler.NewOpenAPIService(o.swagger).RegisterOpenAPIVersionedService("/openapi/v2", muxHandler{mux})
	v3 := handler3.NewOpenAPIService()
	for gv, doc := range o.groups {
		v3.UpdateGroupVersion(apiPath(gv)[1:], doc)
	}
	return v3.RegisterOpenAPIV3VersionedService("/openapi/v3", muxHandler{mux})
}

// muxHandler lets kube-openapi register its handlers.
type muxHandler struct{ mux *http.ServeMux }

func (m muxHandler) Handle(path string, h http.Handler) { m.mux.Handle(path, h) }

// HandlePrefix registers a handler for all paths below a prefix.
func (m muxHandler) HandlePrefix(path string, h http.Handler) { m.mux.Handle(path, h) }

// typeConverter says how server-side apply merges the objects of each kind. Kubernetes'
// own types have merge rules that their Go types do not show; client-go has them.
type typeConverter struct {
	builtin managedfields.TypeConverter
	own     map[schema.GroupVersion]managedfields.TypeConverter
}

func newTypeConverter(o *openAPI) (*typeConverter, error) {
	c := &typeConverter{builtin: applyconfigurations.NewTypeConverter(scheme.Scheme), own: map[schema.GroupVersion]managedfields.TypeConverter{}}
	for gv, doc := range o.groups {
		own, err := managedfields.NewTypeConverter(doc.Components.Schemas, false)
		if err != nil {
			return nil, err
		}
		c.own[gv] = own
	}
	return c, nil
}

// ObjectToTyped implements managedfields.TypeConverter.
func (c *typeConverter) ObjectToTyped(obj runtime.Object, o ...typed.ValidationOptions) (*typed.TypedValue, error) {
	gvk := obj.GetObjectKind().GroupVersionKind()
	if scheme.Scheme.Recognizes(gvk) {
		if v, err := c.builtin.ObjectToTyped(obj, o...); err == nil || c.own[gvk.GroupVersion()] == nil {
			return v, err
		}
	}
	if own := c.own[gvk.GroupVersion()]; own != nil {
		return own.ObjectToTyped(obj, o...)
	}
	return managedfields.NewDeducedTypeConverter().ObjectToTyped(obj, o...)
}

// TypedToObject implements managedfields.TypeConverter.
func (c *typeConverter) TypedToObject(v *typed.TypedValue) (runtime.Object, error) {
	return c.builtin.TypedToObject(v)
}
