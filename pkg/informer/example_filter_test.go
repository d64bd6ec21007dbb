package informer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"path"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

type (
	exampleMaps   = *informer.Informer[*corev1.ConfigMap]
	exampleFilter = informer.Filter[*corev1.ConfigMap]
)

// show prints the events that a handler with a filter receives. A red rose and a
// red coral are created, the rose turns white, and the coral is deleted.
func show(filter func(maps exampleMaps) (exampleFilter, error)) {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	r := informer.NewReplica(s, informer.Options{})
	maps, err := informer.For[*corev1.ConfigMap](r)
	if err != nil {
		log.Fatal(err)
	}
	chosen, err := filter(maps)
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan struct{})
	isEnd := informer.Where(func(cm *corev1.ConfigMap) bool { return cm.Name == "end" })
	maps.AddHandler(func(_ context.Context, e informer.Event[*corev1.ConfigMap]) {
		if e.Object.Name == "end" {
			close(done)
			return
		}
		fmt.Println(e.Type, store.KeyOf(e.Object), e.Object.Data["color"])
	}, informer.Or(chosen, isEnd))
	defer run(ctx, r)()

	mustCreate(ctx, s, "garden", "rose", "red")
	mustCreate(ctx, s, "sea", "coral", "red")
	_, _, err1 := store.Mutate(ctx, s, store.Key{Namespace: "garden", Name: "rose"}, func(cm *corev1.ConfigMap) error {
		cm.Data["color"], cm.Labels = "white", map[string]string{"season": "autumn"}
		return nil
	})
	coral := &corev1.ConfigMap{}
	coral.Namespace, coral.Name = "sea", "coral"
	_, err2 := s.Delete(ctx, coral, store.DeleteOptions{})
	if err := errors.Join(err1, err2); err != nil {
		log.Fatal(err)
	}
	mustCreate(ctx, s, "garden", "end", "")
	<-done
}

func ExampleKeyGlob() {
	show(func(exampleMaps) (exampleFilter, error) { return informer.KeyGlob[*corev1.ConfigMap]("gard*/ros?") })
	show(func(exampleMaps) (exampleFilter, error) { return informer.KeyGlob[*corev1.ConfigMap]("garden/[a-") })
	// Output:
	// ADDED garden/rose red
	// MODIFIED garden/rose white
	// informer: key pattern "garden/[a-": "[a-" is malformed
}

func ExampleKeyRegexp() {
	show(func(exampleMaps) (exampleFilter, error) {
		return informer.KeyRegexp[*corev1.ConfigMap](regexp.MustCompile("^(sea|lake)$"), nil), nil
	})
	// Output:
	// ADDED sea/coral red
	// DELETED sea/coral red
}

func ExampleLabelSelector() {
	show(func(exampleMaps) (exampleFilter, error) {
		autumn, err := labels.Parse("season in (autumn, winter)")
		return informer.LabelSelector[*corev1.ConfigMap](autumn), err
	})
	// Output: ADDED garden/rose white
}

func ExampleFieldSelector() {
	show(func(maps exampleMaps) (exampleFilter, error) {
		return informer.FieldSelector(maps, fields.OneTermNotEqualSelector("metadata.namespace", "sea"))
	})
	show(func(maps exampleMaps) (exampleFilter, error) {
		return informer.FieldSelector(maps, fields.OneTermEqualSelector("data.color", "red"))
	})
	// Output:
	// ADDED garden/rose red
	// MODIFIED garden/rose white
	// informer: select: field "data.color": kind ConfigMap cannot be selected by this field
}

func ExampleOperations() {
	show(func(exampleMaps) (exampleFilter, error) {
		return informer.Operations[*corev1.ConfigMap](informer.Update, informer.Delete), nil
	})
	// Output:
	// MODIFIED garden/rose white
	// DELETED sea/coral red
}

func ExampleWhere() {
	show(func(exampleMaps) (exampleFilter, error) {
		return informer.Where(func(cm *corev1.ConfigMap) bool { return cm.Data["color"] == "red" }), nil
	})
	// Output:
	// ADDED garden/rose red
	// ADDED sea/coral red
	// DELETED garden/rose red
	// DELETED sea/coral red
}

// If a function returned an error, the replica would log it and the change would
// pass.
func ExampleLeaf() {
	show(func(exampleMaps) (exampleFilter, error) {
		return informer.Leaf[*corev1.ConfigMap]{
			Object: func(cm *corev1.ConfigMap) (bool, error) { return path.Match("[rw]*", cm.Data["color"]) },
			Change: func(old, _ *corev1.ConfigMap) (bool, error) { return old != nil, nil },
		}.Filter(), nil
	})
	// Output:
	// MODIFIED garden/rose white
	// DELETED sea/coral red
}

// This handler receives updates that change labels or annotations, and all
// creations and deletions.
func ExampleLabelsChanged() {
	show(func(exampleMaps) (exampleFilter, error) {
		return informer.Or(informer.LabelsChanged[*corev1.ConfigMap](), informer.AnnotationsChanged[*corev1.ConfigMap]()), nil
	})
	// Output:
	// ADDED garden/rose red
	// ADDED sea/coral red
	// MODIFIED garden/rose white
	// DELETED sea/coral red
}

// This handler receives only updates that change a field.
func ExampleFieldChanged() {
	show(func(exampleMaps) (exampleFilter, error) {
		return informer.And(
			informer.Operations[*corev1.ConfigMap](informer.Update),
			informer.FieldChanged(func(cm *corev1.ConfigMap) string { return cm.Data["color"] }),
		), nil
	})
	// Output: MODIFIED garden/rose white
}

func ExampleNot() {
	show(func(exampleMaps) (exampleFilter, error) {
		garden, err := informer.KeyGlob[*corev1.ConfigMap]("garden/*")
		red := informer.Where(func(cm *corev1.ConfigMap) bool { return cm.Data["color"] == "red" })
		return informer.And(garden, informer.Not(red)), err
	})
	// Output: ADDED garden/rose white
}
