package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/examples/watch/internal/stream"
	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// bounded is a time limit that only a hanging test reaches.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func put(t *testing.T, client *clientv3.Client, key, value string) int64 {
	t.Helper()
	resp, err := client.Put(bounded(t), key, value)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.Revision
}

// running is a stream of the keys below /k/, from now on.
type running struct {
	steps stream.Steps
	ended chan error
}

func start(t *testing.T, client *clientv3.Client, from stream.Position) *running {
	t.Helper()
	resp, err := client.Get(bounded(t), "/k/")
	if err != nil {
		t.Fatal(err)
	}
	if from.Revision == 0 {
		from.Revision = resp.Header.Revision
	}
	s := &stream.Stream{
		Client: client, Range: etcd.PrefixRange("/k/"), Cluster: resp.Header.ClusterId,
		From: from, Report: func(what string) { t.Log(what) },
	}
	ctx, cancel := context.WithCancel(bounded(t))
	r := &running{steps: stream.NewSteps(), ended: make(chan error, 1)}
	go func() {
		r.ended <- s.Run(ctx, r.steps)
		close(r.ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.ended
	})
	return r
}

// next returns the next step that has events.
func (r *running) next(t *testing.T) stream.Step {
	t.Helper()
	for step := range r.steps {
		step.Done()
		if len(step.Events) > 0 {
			return step
		}
	}
	t.Fatal("the stream ended: ", <-r.ended)
	return stream.Step{}
}

func (r *running) end(t *testing.T) error {
	t.Helper()
	for step := range r.steps {
		step.Done()
	}
	return <-r.ended
}

// A reader that is slower than etcd gets everything, once, and in order.
func TestSlowReader(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	client := etcdtest.Start(t, etcdtest.Options{}).Client()
	r := start(t, client, stream.Position{})
	value := strings.Repeat("x", 1<<20)
	const n = 150 // MiB: more than may wait
	for i := range n {
		put(t, client, fmt.Sprintf("/k/%03d", i), value)
	}
	seen := 0
	for seen < n {
		for _, ev := range r.next(t).Events {
			if want := fmt.Sprintf("/k/%03d", seen); string(ev.Kv.Key) != want {
				t.Fatalf("%s came where %s was due", ev.Kv.Key, want)
			}
			seen++
		}
	}
}

// If an etcd was wiped and its revision has passed the last one seen, the missing
// change shows it.
func TestWipedEtcdThatCaughtUp(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client := cluster.Client()
	r := start(t, client, stream.Position{})
	put(t, client, "/k/a", "before")
	seen := r.next(t).Position
	if err := cluster.Wipe(bounded(t)); err != nil {
		t.Fatal(err)
	}
	for put(t, client, "/k/a", "after") <= seen.Revision {
	}
	for put(t, client, "/other", "") <= seen.Revision+10 {
	}

	// A new run from the old position notices it for certain.
	seen.Revision += 5
	sentinel := *seen.Sentinel // the first run may still read its own
	sentinel.Revision += 5
	seen.Sentinel = &sentinel
	var changed *stream.ChangedError
	if err := start(t, client, seen).end(t); !errors.As(err, &changed) {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestCompacted(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	client := etcdtest.Start(t, etcdtest.Options{}).Client()
	var last int64
	for range 10 {
		last = put(t, client, "/k/a", "")
	}
	if _, err := client.Compact(bounded(t), last-2); err != nil {
		t.Fatal(err)
	}
	var compacted *etcd.CompactedError
	if err := start(t, client, stream.Position{Revision: 3}).end(t); !errors.As(err, &compacted) || compacted.Revision != last-2 {
		t.Errorf("the stream ended with %v", err)
	}
	if got := start(t, client, stream.Position{Revision: last - 1}).next(t); got.Position.Revision != last || len(got.Events) != 1 {
		t.Errorf("from what is left: %+v", got)
	}
}
