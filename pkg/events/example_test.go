package events_test

import (
	"context"
	"fmt"
	"log"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/events"
	"github.com/homeostat/homeostat/pkg/store"
)

// A controller reports three times that it cannot pull an image. There is one Event for
// people to read.
func Example() {
	ctx := context.Background()
	etcd, err := etcdtest.Run(ctx, etcdtest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer etcd.Close()
	s, err := store.New(etcd.Client(), store.Options{Scheme: scheme.Scheme})
	if err != nil {
		log.Fatal(err)
	}

	recorder, err := events.New(s, events.Options{Controller: "example.com/pod-controller"})
	if err != nil {
		log.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- recorder.Run(running) }()

	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web-1"}}
	for attempt := range 3 {
		recorder.Eventf(pod, nil, corev1.EventTypeWarning, "BackOff", "PullImage", "no image after attempt %d", attempt+1)
	}

	stop() // writes what waits
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	list, err := store.List[*eventsv1.Event](ctx, recorder.Store(), store.ListOptions{Namespace: "default"})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range list.Items {
		fmt.Printf("%s %s: %s %s: %s (%d times)\n", e.Type, e.Reason, e.Regarding.Kind, e.Regarding.Name, e.Note, e.Series.Count)
	}
	// Output: Warning BackOff: Pod web-1: no image after attempt 3 (3 times)
}

// Several controllers of one program share a recorder.
func ExampleRecorder_WithController() {
	_ = func(shared *events.Recorder, pod *corev1.Pod) error {
		r, err := shared.WithController("example.com/image-controller")
		if err != nil {
			return err
		}
		r.Eventf(pod, nil, corev1.EventTypeNormal, "Pulled", "PullImage", "pulled the image")
		return nil
	}
}
