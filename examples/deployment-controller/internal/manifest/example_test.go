package manifest_test

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/manifest"
)

func ExampleLoad() {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	docs, errs := manifest.Load(scheme, []string{"-"}, strings.NewReader(`
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
