package manifest_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/manifest"
	"github.com/homeostat/homeostat/pkg/store"
)

// exampleStore returns a store on an etcd of its own.
func exampleStore() (s *store.Store, closeAll func() error) {
	cluster, err := etcdtest.Run(context.Background(), etcdtest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	s, err = store.New(cluster.Client(), store.Options{Kinds: []store.AnyKind{
		store.Kind[*corev1.Namespace]{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Namespace"), ClusterScoped: true},
		store.Kind[*corev1.Pod]{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Pod")},
		store.Kind[*appsv1.Deployment]{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("Deployment")},
	}})
	if err != nil {
		log.Fatal(err)
	}
	return s, cluster.Close
}

// Good documents and errors both come back.
func ExampleLoad() {
	s, closeAll := exampleStore()
	defer closeAll() //nolint:errcheck // An example's etcd.

	docs, errs := manifest.Load(s, []string{"-"}, strings.NewReader(`
apiVersion: v1
kind: Namespace
metadata:
  name: shop
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replcias: 3
  paused: "no"
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replcias: 3
---
kind: Pod
metadata:
	name: web
`))
	for _, doc := range docs {
		fmt.Printf("%s: document %d: %s\n", doc.Source, doc.Index, doc.Object.GetName())
	}
	for _, err := range errs {
		fmt.Println(err)
	}
	// Output:
	// stdin: document 1: shop
	// stdin: document 2: spec.paused: wants true or false, not the string "no"
	// stdin: document 3: spec.replcias: unknown field
	// stdin: document 4: line 24: found character that cannot start any token (a tab indents this line; YAML wants spaces)
}

// A second Apply keeps what others have set, and removes what the manifest has dropped.
func ExampleApply() {
	ctx := context.Background()
	s, closeAll := exampleStore()
	defer closeAll() //nolint:errcheck // An example's etcd.

	apply := func(text string) *appsv1.Deployment {
		docs, errs := manifest.Load(s, []string{"-"}, strings.NewReader(text))
		for _, err := range errs {
			log.Fatal(err)
		}
		applied, err := manifest.Apply(ctx, s, docs[0], manifest.ApplyOptions{})
		if err != nil {
			log.Fatal(docs[0].Errors(err))
		}
		fmt.Println(applied.Action)
		return applied.Object.(*appsv1.Deployment)
	}
	d := apply(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, labels: {tier: front}}, spec: {paused: true}}`)

	five := int32(5)
	d.Spec.Replicas, d.Labels["checked"] = &five, "today"
	if _, err := s.Update(ctx, d); err != nil {
		log.Fatal(err)
	}

	d = apply(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {}}`)
	fmt.Println(*d.Spec.Replicas, d.Spec.Paused, d.Labels)
	// Output:
	// created
	// configured
	// 5 false map[checked:today]
}

// Errors names the field of each cause, also within a List.
func ExampleDocument_Errors() {
	s, closeAll := exampleStore()
	defer closeAll() //nolint:errcheck // An example's etcd.

	docs, _ := manifest.Load(s, []string{"-"}, strings.NewReader(
		`{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: a, finalizers: [no domain]}}]}`))
	_, err := manifest.Apply(context.Background(), s, docs[0], manifest.ApplyOptions{})
	for _, err := range docs[0].Errors(err) {
		fmt.Println(err.Source, err.Index, err.Field)
	}
	// Output: stdin 1 items[0].metadata.finalizers
}
