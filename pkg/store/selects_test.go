package store_test

import (
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/store"
)

func TestSelects(t *testing.T) {
	gvk := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"}
	s, err := store.New(clientv3.NewCtxClient(t.Context()), store.Options{Kinds: []store.AnyKind{store.Kind[*Site]{
		GroupVersionKind: gvk,
		Fields:           func(s *Site) fields.Set { return fields.Set{"spec.image": s.Spec.Image} },
	}}})
	if err != nil {
		t.Fatal(err)
	}
	site := &Site{}
	site.Namespace, site.Name, site.Spec.Image = "default", "a", "web:2"
	site.Labels = map[string]string{"x": "1"}
	parse := func(selector string) fields.Selector { return fields.ParseSelectorOrDie(selector) }
	for name, c := range map[string]struct {
		options store.ListOptions
		want    bool
	}{
		"all":                {store.ListOptions{}, true},
		"namespace":          {store.ListOptions{Namespace: "default"}, true},
		"another namespace":  {store.ListOptions{Namespace: "other"}, false},
		"labels":             {store.ListOptions{Selector: labels.SelectorFromSet(labels.Set{"x": "1"})}, true},
		"other labels":       {store.ListOptions{Selector: labels.SelectorFromSet(labels.Set{"x": "2"})}, false},
		"name":               {store.ListOptions{Fields: parse("metadata.name=a")}, true},
		"its own field":      {store.ListOptions{Fields: parse("metadata.name=a,spec.image=web:2")}, true},
		"another value":      {store.ListOptions{Fields: parse("spec.image!=web:2")}, false},
		"labels and a field": {store.ListOptions{Selector: labels.Nothing(), Fields: parse("spec.image=web:2")}, false},
	} {
		selects, err := s.Selects(gvk, c.options)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := selects(site); err != nil || got != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := s.Selects(gvk, store.ListOptions{Fields: parse("spec.zone=a")}); err == nil || !strings.Contains(err.Error(), "spec.zone") {
		t.Errorf("an unknown field: %v", err)
	}
	gvk.Kind = "Stranger"
	if _, err := s.Selects(gvk, store.ListOptions{}); err == nil || !strings.Contains(err.Error(), "Stranger") {
		t.Errorf("an unknown kind: %v", err)
	}
}
