package storetest

import (
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/store"
)

func inputRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"a name that could address another key is a BadRequest", inputAddress[T]},
		{"invalid metadata is Invalid", inputInvalid[T]},
		{"an object too large for etcd is a RequestEntityTooLarge", inputTooLarge[T]},
		{"an unknown type is refused", inputUnknownType[T]},
		{"a nil object is refused", inputNil[T]},
		{"a malformed resourceVersion is a BadRequest", inputNoRevision[T]},
		{"the error for a value that cannot be decoded names its key", inputUndecodable[T]},
		{"a value of another kind or name is undecodable", inputOther[T]},
		{"a list reports all undecodable values together, and returns the rest", inputUndecodableList[T]},
	}
}

func inputAddress[T store.Object](e *env[T]) {
	for _, bad := range []store.Key{
		{Namespace: "default"}, {Namespace: "default", Name: "."}, {Namespace: "default", Name: ".."},
		{Namespace: "default", Name: "a/b"}, {Namespace: "default", Name: "a%b"}, {Name: "a"},
		{Namespace: "..", Name: "a"}, {Namespace: "a/b", Name: "c"},
	} {
		obj := e.kind.named(bad.Name)
		obj.SetNamespace(bad.Namespace)
		for _, w := range []write{e.s.Create, e.s.Update, e.s.UpdateStatus, e.deleted(store.DeleteOptions{})} {
			e.refuses(w, obj, isBadRequest)
		}
		_, err := store.Get[T](e.t.Context(), e.s, bad)
		e.want(err, isBadRequest)
	}
}

func inputInvalid[T store.Object](e *env[T]) {
	there := e.created("there")
	for path, spoil := range map[string]func(T){
		"metadata.name":            func(obj T) { obj.SetName("Upper") },
		"metadata.namespace":       func(obj T) { obj.SetNamespace("a.b") },
		"metadata.labels":          func(obj T) { obj.SetLabels(map[string]string{"a b": "c"}) },
		"metadata.annotations":     func(obj T) { obj.SetAnnotations(map[string]string{"a b": "c"}) },
		"metadata.finalizers":      func(obj T) { obj.SetFinalizers([]string{"a b"}) },
		"metadata.ownerReferences": func(obj T) { obj.SetOwnerReferences([]metav1.OwnerReference{{Name: "a"}}) },
	} {
		obj := e.kind.named("a")
		spoil(obj)
		e.refuses(e.s.Create, obj, saying(isInvalid, path))
		if path == "metadata.name" || path == "metadata.namespace" {
			continue // no such object to update
		}
		changed := there.DeepCopyObject().(T)
		spoil(changed)
		e.refuses(e.s.Update, changed, saying(isInvalid, path))
	}
}

func inputTooLarge[T store.Object](e *env[T]) {
	there := e.created("there")
	huge := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", UID: "u", Name: strings.Repeat("x", store.MaxRequestBytes)}}
	obj := e.kind.named("a")
	obj.SetOwnerReferences(huge)
	e.refuses(e.s.Create, obj, isTooLarge)
	there.SetOwnerReferences(huge)
	e.refuses(e.s.Update, there, isTooLarge)
}

func inputUnknownType[T store.Object](e *env[T]) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	unknown := saying(isOther, "not known to this store")
	for _, w := range []write{e.s.Create, e.s.Update, e.s.UpdateStatus, e.deleted(store.DeleteOptions{})} {
		e.refuses(w, node, unknown)
	}
	_, err := store.Get[*corev1.Node](e.t.Context(), e.s, store.Key{Name: "a"})
	e.want(err, unknown)
	_, err = store.List[*corev1.Node](e.t.Context(), e.s, store.ListOptions{})
	e.want(err, unknown)
	for _, err := range store.Watch[*corev1.Node](e.t.Context(), e.s, store.WatchOptions{From: 1}) {
		e.want(err, unknown)
	}
}

func inputNil[T store.Object](e *env[T]) {
	var none T
	for _, w := range []write{e.s.Create, e.s.Update, e.s.UpdateStatus, e.deleted(store.DeleteOptions{})} {
		for _, obj := range []store.Object{nil, none} {
			_, err := w(e.t.Context(), obj)
			e.want(err, saying(isOther, "nil"))
		}
	}
}

func inputNoRevision[T store.Object](e *env[T]) {
	obj := e.created("a")
	e.refuses(e.deleted(store.DeleteOptions{ResourceVersion: "x"}), obj, isBadRequest)
	for _, bad := range []string{"x", "-1", "1.5"} {
		obj.SetResourceVersion(bad)
		e.refuses(e.s.Update, obj, isBadRequest)
		e.refuses(e.s.UpdateStatus, obj, isBadRequest)
	}
}

// put writes any value under an object's key, past the store, and returns the key.
func (e *env[T]) put(name, value string) string {
	e.t.Helper()
	etcdKey := e.etcdKey(name)
	_, err := e.s.Client().Put(e.t.Context(), etcdKey, value)
	e.must(err)
	return etcdKey
}

func (e *env[T]) etcdKey(name string) string {
	e.t.Helper()
	prefix, _, err := e.s.Decoder(e.kind.make(), store.DecodeOptions{})
	e.must(err)
	return prefix + "default/" + name
}

// value returns the stored value of an object.
func (e *env[T]) value(name string) string {
	e.t.Helper()
	resp, err := e.s.Client().Get(e.t.Context(), e.etcdKey(name))
	e.must(err)
	if len(resp.Kvs) != 1 {
		e.t.Fatalf("there is no key %s", e.etcdKey(name))
	}
	return string(resp.Kvs[0].Value)
}

func inputUndecodable[T store.Object](e *env[T]) {
	e.created("fine")
	for _, garbage := range []string{"", "garbage", "{", "[]", "null", `"a"`, "k8s\x00", "k8s\x00garbage", "k8s:enc:aesgcm:v1:", "k8s:enc:aesgcm:v1:none:garbage"} {
		etcdKey := e.put("a", garbage)
		_, err := store.Get[T](e.t.Context(), e.s, key("a"))
		e.want(err, saying(isUndecodable, etcdKey))
		for _, w := range []write{e.s.Update, e.s.UpdateStatus, e.deleted(store.DeleteOptions{})} {
			e.refuses(w, e.kind.named("a"), saying(isUndecodable, etcdKey))
		}
		e.refuses(e.s.Create, e.kind.named("a"), isTaken)
	}
}

func inputOther[T store.Object](e *env[T]) {
	e.created("a")
	e.put("b", e.value("a"))
	_, err := store.Get[T](e.t.Context(), e.s, key("b"))
	e.want(err, isUndecodable)
	e.put("c", `{"apiVersion":"storetest.example.com/v1","kind":"Other","metadata":{"namespace":"default","name":"c"}}`)
	_, err = store.Get[T](e.t.Context(), e.s, key("c"))
	e.want(err, isUndecodable)
}

func inputUndecodableList[T store.Object](e *env[T]) {
	e.created("fine")
	first, second := e.put("a", "garbage"), e.put("z", "{")
	list, err := store.List[T](e.t.Context(), e.s, store.ListOptions{})
	e.want(err, isUndecodable)
	var undecodable *store.UndecodableError
	errors.As(err, &undecodable)
	equal(e.t, "keys", strings.Join(undecodable.Keys, " "), first+" "+second)
	equal(e.t, "reasons", len(undecodable.Reasons), 2)
	equal(e.t, "objects that can be decoded", len(list.Items), 1)
	equal(e.t, "revision", list.Revision, e.revision())
}
