package main

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// TestPeerFollowsEtcd keeps the comparison honest: client-go's informer must have the same
// objects, however it lists them, and receive changes.
func TestPeerFollowsEtcd(t *testing.T) {
	for _, setting := range []string{pages, whole, stream} {
		t.Run(setting, func(t *testing.T) {
			const objects = 1201 // more than two pages
			client := etcdtest.Start(t, etcdtest.Options{}).Client()
			for i := range objects {
				if _, err := client.Put(t.Context(), deploymentKey(i), string(encodeDeployment(i, 0))); err != nil {
					t.Fatal(err)
				}
			}
			inf, stop, err := startInformer(t.Context(), client, setting)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			type event struct {
				verb string
				obj  *appsv1.Deployment
			}
			events := make(chan event, 2*objects)
			_, err = inf.AddEventHandler(cache.ResourceEventHandlerFuncs{
				AddFunc:    func(obj any) { events <- event{"add", obj.(*appsv1.Deployment)} },
				UpdateFunc: func(_, obj any) { events <- event{"update", obj.(*appsv1.Deployment)} },
				DeleteFunc: func(obj any) { events <- event{"delete", obj.(*appsv1.Deployment)} },
			})
			if err != nil {
				t.Fatal(err)
			}
			next := func() event {
				select {
				case e := <-events:
					return e
				case <-time.After(30 * time.Second):
					t.Fatal("no event")
					return event{}
				}
			}
			for range objects {
				if e := next(); e.verb != "add" || e.obj.Spec.Template.Spec.Containers[0].Name != "web" || e.obj.ResourceVersion == "" {
					t.Fatalf("%s %+v", e.verb, e.obj)
				}
			}
			put, err := client.Put(t.Context(), deploymentKey(7), string(encodeDeployment(7, 41)))
			if err != nil {
				t.Fatal(err)
			}
			if e := next(); e.verb != "update" || e.obj.Status.ObservedGeneration != 42 || revisionOf(e.obj) != put.Header.Revision {
				t.Errorf("%s %+v", e.verb, e.obj)
			}
			if _, err := client.Delete(t.Context(), deploymentKey(7)); err != nil {
				t.Fatal(err)
			}
			if e := next(); e.verb != "delete" || e.obj.Name != deploymentName(7).Name {
				t.Errorf("%s %+v", e.verb, e.obj)
			}
			if got := len(inf.GetStore().ListKeys()); got != objects-1 {
				t.Errorf("%d objects", got)
			}
		})
	}
}

func TestDeploymentHasAboutOneKiB(t *testing.T) {
	if n := len(encodeDeployment(123_456, 0)); n < 900 || n > 1150 {
		t.Errorf("%d bytes", n)
	}
}
