package condition_test

import (
	"context"
	"fmt"
	"log"

	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/condition"
	"github.com/homeostat/homeostat/pkg/informer"
)

func ExampleCompile() {
	c, err := condition.Compile(`old.status.phase == "Pending" && new.status.phase == "Failed"`)
	if err != nil {
		log.Fatal(err)
	}
	pending := map[string]any{"status": map[string]any{"phase": "Pending"}}
	failed := map[string]any{"status": map[string]any{"phase": "Failed"}}
	fmt.Println(c.Matches(pending, failed))
	fmt.Println(c.Matches(nil, failed)) // it was created as failed

	_, err = condition.Compile(`key > 3`)
	fmt.Println(err)
	// Output:
	// true <nil>
	// false <nil>
	// condition "key > 3": line 1, column 5: found no matching overload for '_>_' applied to '(string, int)'
}

// This handler sees the failed pods: a pod that fails arrives as Added.
func ExampleWhere() {
	failed, err := condition.Where[*corev1.Pod](`object.status.phase == "Failed"`)
	if err != nil {
		log.Fatal(err)
	}
	watch := func(pods *informer.Informer[*corev1.Pod]) {
		pods.AddHandler(func(_ context.Context, e informer.Event[*corev1.Pod]) { fmt.Println(e.Type, e.Object.Name) }, failed)
	}
	_ = watch
	// Output:
}

// This handler receives the changes by which pods fail.
func ExampleTransition() {
	fails, err := condition.Transition[*corev1.Pod](`old.status.phase != "Failed" && new.status.phase == "Failed"`)
	if err != nil {
		log.Fatal(err)
	}
	watch := func(pods *informer.Informer[*corev1.Pod]) {
		pods.AddHandler(func(_ context.Context, e informer.Event[*corev1.Pod]) { fmt.Println(e.Type, e.Object.Name) }, fails)
	}
	_ = watch

	_, err = condition.Transition[*corev1.Pod](`before.status.phase == "Failed"`)
	fmt.Println(err)
	// Output: condition "before.status.phase == \"Failed\"": line 1, column 1: undeclared reference to 'before'
}
