package apiserver_test

import (
	"context"
	"fmt"
	"log"

	"k8s.io/apimachinery/pkg/runtime/schema"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/homeostat/homeostat/pkg/apiserver"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

type LampSpec struct {
	Color string `json:"color" description:"The color of the light."`
}

type LampStatus struct {
	On bool `json:"on"`
}

type Lamp = store.Resource[LampSpec, LampStatus]

// A server of a type of its own, with a column for kubectl, and a client without Go types.
func ExampleNew() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cluster, err := etcdtest.Run(ctx, etcdtest.Options{})
	check(err)
	defer cluster.Close()
	lamps := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Lamp"}
	s, err := store.New(cluster.Client(), store.Options{Kinds: []store.AnyKind{store.Kind[*Lamp]{GroupVersionKind: lamps}}})
	check(err)
	m, err := controller.NewManager(s, controller.ManagerOptions{})
	check(err)

	api, err := apiserver.New(m, apiserver.Options{
		Address: "127.0.0.1:0", // a free port
		Kinds: []apiserver.AnyKind{apiserver.Kind[*Lamp]{
			ShortNames: []string{"lp"},
			Columns:    []apiserver.Column[*Lamp]{{Name: "Color", Value: func(l *Lamp) any { return l.Spec.Color }}},
		}},
	})
	check(err)
	check(m.Add("api", api.Run, controller.RunnableOptions{EveryProcess: true}))
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()

	url, err := api.URL(ctx)
	check(err)
	client, err := dynamic.NewForConfig(&rest.Config{Host: url})
	check(err)
	_, err = s.Create(ctx, &Lamp{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "desk"}, Spec: LampSpec{Color: "red"}})
	check(err)
	desk, err := client.Resource(lamps.GroupVersion().WithResource("lamps")).Namespace("default").Get(ctx, "desk", metav1.GetOptions{})
	check(err)
	fmt.Println(desk.GetName(), desk.Object["spec"])
	cancel()
	check(<-done)
	// Output: desk map[color:red]
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
