package connect_test

import (
	"context"
	"flag"
	"fmt"
	"log"

	"github.com/homeostat/homeostat/pkg/connect"
	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// A program takes the usual flags.
func ExampleOptions() {
	cluster, err := etcdtest.Run(context.Background(), etcdtest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()

	var options connect.Options
	flags := flag.NewFlagSet("program", flag.ExitOnError) // elsewhere: flag.CommandLine
	options.Flags(flags)
	if err := flags.Parse([]string{"--endpoints", cluster.Endpoints()[0]}); err != nil {
		log.Fatal(err)
	}
	client, err := options.Open(context.Background(), etcd.PrefixRange(store.DefaultPrefix))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println(client.Endpoints()[0] == cluster.Endpoints()[0])
	// Output: true
}
