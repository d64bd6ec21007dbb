package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// newExample starts an etcd with two keys. The caller calls stop at the end.
func newExample(ctx context.Context) (client *clientv3.Client, stop func()) {
	server, err := etcdtest.Run(ctx, etcdtest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range []string{"/colors/blue", "/colors/red"} {
		if _, err := server.Client().Put(ctx, key, "yes"); err != nil {
			log.Fatal(err)
		}
	}
	return server.Client(), func() {
		if err := server.Close(); err != nil {
			log.Fatal(err)
		}
	}
}

// List a range, then watch what changes after it, without a gap.
func Example() {
	ctx := context.Background()
	client, stop := newExample(ctx)
	defer stop()

	keys := etcd.PrefixRange("/colors/")
	revision, err := etcd.List(ctx, client, keys, 0, func(kvs []*mvccpb.KeyValue) error {
		for _, kv := range kvs {
			fmt.Printf("listed %s\n", kv.Key)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}

	if _, err := client.Put(ctx, "/colors/green", "yes"); err != nil {
		log.Fatal(err)
	}

	watch, err := etcd.OpenWatch(ctx, client, keys, revision+1, etcd.WatchOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer watch.Close()
	resp, ok := <-watch.Responses
	if err := etcd.WatchError(resp, ok); err != nil {
		log.Fatal(watch.Explain(err))
	}
	for _, event := range resp.Events {
		fmt.Printf("%s %s, %d revision later\n", event.Type, event.Kv.Key, event.Kv.ModRevision-revision)
	}
	// Output:
	// listed /colors/blue
	// listed /colors/red
	// PUT /colors/green, 1 revision later
}

// Read a few keys of a large range at the revision of an earlier list.
func ExampleGet() {
	ctx := context.Background()
	client, stop := newExample(ctx)
	defer stop()

	revision, err := etcd.CurrentRevision(ctx, client, etcd.PrefixRange("/colors/"))
	if err != nil {
		log.Fatal(err)
	}
	kvs, err := etcd.Get(ctx, client, []string{"/colors/red", "/colors/none"}, revision)
	if err != nil {
		log.Fatal(err)
	}
	for _, kv := range kvs {
		fmt.Printf("%s: %s\n", kv.Key, kv.Value)
	}
	// Output: /colors/red: yes
}

// A watch from a compacted revision names the oldest revision that is left.
func ExampleCompactedError() {
	ctx := context.Background()
	client, stop := newExample(ctx)
	defer stop()

	keys := etcd.PrefixRange("/colors/")
	revision, err := etcd.CurrentRevision(ctx, client, keys)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Compact(ctx, revision); err != nil {
		log.Fatal(err)
	}

	watch, err := etcd.OpenWatch(ctx, client, keys, 1, etcd.WatchOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer watch.Close()
	resp, ok := <-watch.Responses
	var compacted *etcd.CompactedError
	if errors.As(etcd.WatchError(resp, ok), &compacted) {
		fmt.Println("list again; the oldest revision left is the current one:", compacted.Revision == revision)
	}
	// Output: list again; the oldest revision left is the current one: true
}

func ExampleEnclosingRange() {
	pods, nodes := etcd.PrefixRange("/registry/core/pods/"), etcd.PrefixRange("/registry/core/nodes/")
	both := etcd.EnclosingRange(pods, nodes)
	fmt.Println(both.Contains("/registry/core/pods/default/a"))
	fmt.Println(both.Contains("/registry/core/podgroups/a"), "though it is in neither")
	// Output:
	// true
	// true though it is in neither
}
