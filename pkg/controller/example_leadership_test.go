package controller_test

import (
	"context"
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/homeostat/homeostat/pkg/controller"
)

// Two managers run as if in two processes. The second waits, and takes over as soon as
// the first stops.
func ExampleLeadership() {
	ctx, first, _, closeEtcd := newExample()
	defer closeEtcd()

	work := func(identity string) (stop func(), began, ended chan struct{}) {
		m, err := controller.NewManager(first.Store(), controller.ManagerOptions{
			Leadership: &controller.Leadership{Name: "shop", Identity: identity},
		})
		check(err)
		ctx, stop := context.WithCancel(ctx)
		began, ended = make(chan struct{}), make(chan struct{})
		var greet sync.Once // each term calls the function anew
		check(m.Add("greet", func(context.Context) error {
			greet.Do(func() {
				fmt.Println(m.Leadership().Identity, "leads")
				close(began)
			})
			return nil
		}, controller.RunnableOptions{}))
		go func() {
			defer close(ended)
			check(m.Run(ctx))
		}()
		return stop, began, ended
	}
	stopNorth, northLeads, northEnded := work("north")
	<-northLeads
	stopSouth, southLeads, southEnded := work("south")
	stopNorth()
	<-southLeads
	stopSouth()
	<-northEnded
	<-southEnded
	// Output:
	// north leads
	// south leads
}

// Each process that runs this program reconciles a part of the shops, with the objects
// that they own.
func ExampleSharding() {
	ctx, plain, stop, closeEtcd := newExample()
	defer closeEtcd()

	m, err := controller.NewManager(plain.Store(), controller.ManagerOptions{
		Sharding: &controller.Sharding{Name: "shop", Identity: "north"},
	})
	check(err)
	reconcile := func(_ context.Context, _ *controller.Tx, d *appsv1.Deployment) (controller.Result, error) {
		fmt.Println(d.Name, "is reconciled by", m.Sharding().Identity)
		stop()
		return controller.Result{}, nil
	}
	must(controller.New(m, "shop", reconcile, controller.Options{}))

	add(ctx, plain, deployment("town", "bakery"))
	check(m.Run(ctx))
	// Output: bakery is reconciled by north
}

// Any program that can reach etcd can follow which process leads.
func ExampleLeaders() {
	ctx, m, _, closeEtcd := newExample()
	defer closeEtcd()

	for leader, err := range controller.Leaders(ctx, m.Store(), "shop") {
		switch {
		case err != nil:
			fmt.Println("unknown:", err)
		case leader == controller.Leader{}:
			fmt.Println("nobody leads")
		default:
			fmt.Println(leader.Identity, "leads since", leader.Since)
		}
		break
	}
	// Output: nobody leads
}

// A system outside etcd compares tokens, to refuse writes of a former leader.
func ExampleManager_FencingToken() {
	ctx, plain, stop, closeEtcd := newExample()
	defer closeEtcd()

	m, err := controller.NewManager(plain.Store(), controller.ManagerOptions{Leadership: &controller.Leadership{Name: "shop"}})
	check(err)
	check(m.Add("till", func(ctx context.Context) error {
		token, ok := m.FencingToken(ctx)
		fmt.Println("fenced:", ok, token > 0)
		stop()
		return nil
	}, controller.RunnableOptions{}))
	check(m.Run(ctx))
	// Output: fenced: true true
}
