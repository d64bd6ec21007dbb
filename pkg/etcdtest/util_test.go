package etcdtest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// testBound is a time limit that only a hanging test reaches.
const testBound = time.Minute

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testBound)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newClient(t *testing.T, c *Cluster, endpoints ...string) *clientv3.Client {
	t.Helper()
	client, err := c.NewClient(ClientOptions{Endpoints: endpoints})
	must(t, err)
	return client
}

func put(t *testing.T, client *clientv3.Client, key, value string) {
	t.Helper()
	_, err := client.Put(bounded(t), key, value)
	must(t, err)
}

// get returns the value, or "" if there is none.
func get(t *testing.T, client *clientv3.Client, key string) string {
	t.Helper()
	r, err := client.Get(bounded(t), key)
	must(t, err)
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
}

func revision(t *testing.T, client *clientv3.Client) int64 {
	t.Helper()
	r, err := client.Get(bounded(t), "\x00")
	must(t, err)
	return r.Header.Revision
}

// leader waits until the other members have noticed the fault of one.
func leader(t *testing.T, c *Cluster) int {
	t.Helper()
	i, err := c.Leader(bounded(t))
	must(t, err)
	return i
}

// fakeTB is a test that records its failure and its cleanups.
type fakeTB struct {
	failed   string
	cleanups []func()
}

func (f *fakeTB) Helper()           {}
func (f *fakeTB) Cleanup(fn func()) { f.cleanups = append(f.cleanups, fn) }
func (f *fakeTB) Fatalf(format string, args ...any) {
	if f.failed == "" {
		f.failed = fmt.Sprintf(format, args...)
	}
	runtime.Goexit()
}

// run runs a test and then its cleanups.
func (f *fakeTB) run(test func()) {
	f.do(test)
	for _, fn := range slices.Backward(f.cleanups) {
		f.do(fn)
	}
}

func (f *fakeTB) do(fn func()) {
	var wg sync.WaitGroup
	wg.Go(fn)
	wg.Wait()
}
