package condition_test

import (
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
	fmt.Println(c.Matches(nil, failed)) // it was created so

	_, err = condition.Compile(`key > 3`)
	fmt.Println(err)
	// Output:
	// true <nil>
	// false <nil>
	// condition "key > 3": line 1, column 5: found no matching overload for '_>_' applied to '(string, int)'
}

// A condition as a predicate over objects.
func ExampleForObjects() {
	failed, err := condition.ForObjects[*corev1.Pod](`op == "update" && old.status.phase != "Failed" && new.status.phase == "Failed"`)
	if err != nil {
		log.Fatal(err)
	}
	was, is := &corev1.Pod{}, &corev1.Pod{}
	was.Status.Phase, is.Status.Phase = corev1.PodRunning, corev1.PodFailed
	fmt.Println(failed(was, is))
	fmt.Println(failed(nil, is))
	// Output:
	// true <nil>
	// false <nil>
}

// A condition as a filter of a handler: what comes to meet it is added, what
// ceases to is deleted. [ForObjects] makes a filter of changes in the same way,
// with informer.TryTransition.
func ExampleForObject() {
	failed, err := condition.ForObject[*corev1.Pod](`object.status.phase == "Failed"`)
	if err != nil {
		log.Fatal(err)
	}
	filter := informer.TryWhere(failed)
	_ = filter // for Informer.AddHandler

	is := &corev1.Pod{}
	is.Status.Phase = corev1.PodFailed
	fmt.Println(failed(is))
	// Output: true <nil>
}
