package apiserver

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// schemas makes OpenAPI schemas of Go types. Named structs become definitions that refer
// to each other, so that types may be recursive.
//
// These struct tags count, in addition to json:
//
//   - listType:"map", "set" or "atomic" says how server-side apply merges a list. A map
//     has its keys in listMapKey:"name,port". A list with patchMergeKey, as in
//     Kubernetes' types, is a map with that key.
//   - mapType:"atomic" makes server-side apply replace a map or a struct as a whole.
//   - description:"..." is the text that kubectl explain shows. Types of Kubernetes have
//     theirs in the method SwaggerDoc.
type schemas struct {
	definitions map[string]*spec.Schema
	names       map[reflect.Type]string
}

func newSchemas() *schemas {
	return &schemas{definitions: map[string]*spec.Schema{}, names: map[reflect.Type]string{}}
}

// addKind adds the definition of a kind and returns its name.
func (s *schemas) addKind(k *kind) string {
	name := kindName(k.gvk, k.goType)
	s.names[k.goType] = name
	s.define(k.goType, name)
	def := s.definitions[name]
	def.AddExtension("x-kubernetes-group-version-kind", []any{gvkExtension(k.gvk)})
	return name
}

func gvkExtension(gvk schema.GroupVersionKind) map[string]any {
	return map[string]any{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind}
}

// kindName is the name of a kind's definition: that of its Go type if Kubernetes has it,
// and otherwise as for custom resources, such as "com.example.v1.Site".
func kindName(gvk schema.GroupVersionKind, t reflect.Type) string {
	if strings.HasPrefix(t.PkgPath(), "k8s.io/") {
		return typeName(t)
	}
	parts := strings.Split(gvk.Group, ".")
	slices.Reverse(parts)
	return strings.Join(append(parts, gvk.Version, gvk.Kind), ".")
}

// typeName is the name of a type's definition, as Kubernetes forms it: the path of the
// package with the domain reversed.
func typeName(t reflect.Type) string {
	domain, path, _ := strings.Cut(t.PkgPath(), "/")
	parts := strings.Split(domain, ".")
	slices.Reverse(parts)
	name := strings.Join(append(parts, strings.Split(path, "/")...), ".") + "." + t.Name()
	return strings.NewReplacer("/", ".", "[", "-", "]", "", "*", "", ",", "-", "~1", ".").Replace(name)
}

// Types whose JSON is not that of their Go fields.
var special = map[reflect.Type]func() *spec.Schema{
	reflect.TypeFor[metav1.Time]():          spec.DateTimeProperty,
	reflect.TypeFor[metav1.MicroTime]():     spec.DateTimeProperty,
	reflect.TypeFor[metav1.Duration]():      spec.StringProperty,
	reflect.TypeFor[resource.Quantity]():    intOrString,
	reflect.TypeFor[intstr.IntOrString]():   intOrString,
	reflect.TypeFor[metav1.FieldsV1]():      func() *spec.Schema { return &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}}} },
	reflect.TypeFor[runtime.RawExtension](): anyObject,
	reflect.TypeFor[json.RawMessage]():      anything,
}

func intOrString() *spec.Schema {
	s := &spec.Schema{}
	s.AddExtension("x-kubernetes-int-or-string", true)
	return s
}

func anyObject() *spec.Schema {
	s := anything()
	s.Type = []string{"object"}
	return s
}

func anything() *spec.Schema {
	s := &spec.Schema{}
	s.AddExtension("x-kubernetes-preserve-unknown-fields", true)
	return s
}

// of returns the schema of a type, or a reference to its definition.
func (s *schemas) of(t reflect.Type) *spec.Schema {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if make, ok := special[t]; ok {
		return make()
	}
	if simple := simpleSchema(t); simple != nil {
		return simple
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return spec.StrFmtProperty("byte")
		}
		return spec.ArrayProperty(s.of(t.Elem()))
	case reflect.Map:
		return spec.MapProperty(s.of(t.Elem()))
	case reflect.Struct:
		return s.structSchema(t)
	}
	return anything()
}

func simpleSchema(t reflect.Type) *spec.Schema {
	switch t.Kind() {
	case reflect.String:
		return spec.StringProperty()
	case reflect.Bool:
		return spec.BoolProperty()
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Uint8, reflect.Uint16:
		return spec.Int32Property()
	case reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint32, reflect.Uint64:
		return spec.Int64Property()
	case reflect.Float32, reflect.Float64:
		return spec.Float64Property()
	}
	return nil
}

func (s *schemas) structSchema(t reflect.Type) *spec.Schema {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()) {
		return anything()
	}
	if t.Name() == "" {
		return s.properties(t)
	}
	name, ok := s.names[t]
	if !ok {
		name = typeName(t)
		s.names[t] = name
		s.define(t, name)
	}
	return spec.RefSchema("#/definitions/" + name)
}

func (s *schemas) define(t reflect.Type, name string) {
	s.definitions[name] = &spec.Schema{} // for recursive types
	*s.definitions[name] = *s.properties(t)
}

func (s *schemas) properties(t reflect.Type) *spec.Schema {
	docs := swaggerDoc(t)
	def := &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: map[string]spec.Schema{}, Description: docs[""]}}
	s.addFields(def, t, docs)
	return def
}

func (s *schemas) addFields(def *spec.Schema, t reflect.Type, docs map[string]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case f.Anonymous && name == "" || strings.Contains(options, "inline"):
			embedded := f.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			if embedded.Kind() == reflect.Struct {
				s.addFields(def, embedded, swaggerDoc(embedded))
			}
		default:
			if name == "" {
				name = f.Name
			}
			def.Properties[name] = *s.field(f, cmpOr(f.Tag.Get("description"), docs[name]))
		}
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// field returns the schema of a field.
func (s *schemas) field(f reflect.StructField, description string) *spec.Schema {
	p := s.of(f.Type)
	p.Description = description
	if t := f.Tag.Get("mapType"); t != "" {
		p.AddExtension("x-kubernetes-map-type", t)
	}
	if len(p.Type) == 0 || p.Type[0] != "array" {
		return p
	}
	keys, kind := f.Tag.Get("listMapKey"), f.Tag.Get("listType")
	if mergeKey := f.Tag.Get("patchMergeKey"); mergeKey != "" {
		p.AddExtension("x-kubernetes-patch-merge-key", mergeKey)
		p.AddExtension("x-kubernetes-patch-strategy", f.Tag.Get("patchStrategy"))
		if kind == "" {
			kind, keys = "map", cmpOr(keys, mergeKey)
		}
	}
	if kind == "" {
		kind = "atomic"
	}
	p.AddExtension("x-kubernetes-list-type", kind)
	if kind == "map" {
		var all []any
		for key := range strings.SplitSeq(keys, ",") {
			all = append(all, key)
		}
		p.AddExtension("x-kubernetes-list-map-keys", all)
	}
	return p
}

// swaggerDoc returns the texts of a type's fields. That of the type has the key "".
func swaggerDoc(t reflect.Type) map[string]string {
	if d, ok := reflect.New(t).Interface().(interface{ SwaggerDoc() map[string]string }); ok {
		return d.SwaggerDoc()
	}
	return nil
}
