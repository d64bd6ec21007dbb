package patch_test

import (
	"context"
	"fmt"
	"log"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
	"github.com/homeostat/homeostat/pkg/store/patch"
)

// One container's image is changed, and the other container is left alone.
func ExampleApply() {
	ctx := context.Background()
	etcd, err := etcdtest.Run(ctx, etcdtest.Options{})
	check(err)
	defer etcd.Close()
	s, err := store.New(etcd.Client(), store.Options{Scheme: scheme.Scheme})
	check(err)
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "town", Name: "web"}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: "app:1"}, {Name: "proxy", Image: "proxy:1"}}
	_, err = s.Create(ctx, d)
	check(err)

	_, err = patch.Apply(ctx, s, d, patch.Patch{
		Type: types.StrategicMergePatchType,
		Data: []byte(`{"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "app:2"}]}}}}`),
	})
	check(err)
	for _, c := range d.Spec.Template.Spec.Containers {
		fmt.Println(c.Image)
	}
	// Output:
	// app:2
	// proxy:1
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
