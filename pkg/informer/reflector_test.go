package informer

import (
	"encoding/json"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
)

func TestReplayBudget(t *testing.T) {
	type step struct {
		behind int64
		tooFar bool
	}
	for name, c := range map[string]struct {
		resumed bool
		steps   []step
	}{
		"resumed":                       {true, []step{{0, false}, {replayLimit, false}, {replayLimit + 1, true}}},
		"resumed far behind":            {true, []step{{replayLimit + 1, true}}},
		"a busy etcd, just listed":      {false, []step{{5000, false}, {9000, false}, {10_000, false}, {10_001, true}}},
		"once caught up, it is watched": {false, []step{{5000, false}, {replayLimit, false}, {5000, true}}},
		"a quiet etcd, just listed":     {false, []step{{0, false}, {replayLimit + 1, true}}},
	} {
		t.Run(name, func(t *testing.T) {
			var l replayBudget
			if c.resumed {
				l.resume()
			}
			for i, s := range c.steps {
				if got := l.exceeded(s.behind); got != s.tooFar {
					t.Errorf("step %d, %d behind: %v", i, s.behind, got)
				}
			}
		})
	}
}

func TestSentinel(t *testing.T) {
	w := sentinel{etcdKey: "k", rev: 10, sum: sumOf([]byte("value"))}
	kv := func(rev int64, value string) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{Key: []byte("k"), ModRevision: rev, Value: []byte(value)}
	}
	for name, c := range map[string]struct {
		known sentinel
		kv    *mvccpb.KeyValue
		now   int64
		want  bool
	}{
		"is as it was":                              {w, kv(10, "value"), 30, false},
		"has changed since":                         {w, kv(21, "other"), 30, false},
		"was deleted since":                         {w, nil, 30, false},
		"was deleted when nothing happened":         {w, nil, 20, true},
		"has another value of that revision":        {w, kv(10, "other"), 30, true},
		"is older":                                  {w, kv(5, "value"), 30, true},
		"was changed at a revision already reached": {w, kv(15, "value"), 30, true},
		"there is none":                             {sentinel{}, nil, 20, false},
		"there is none, but there is a value":       {sentinel{}, kv(5, "value"), 20, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.known.contradicts(c.kv, 20, c.now); got != c.want {
				t.Errorf("contradicts: %v", got)
			}
		})
	}
}

// These are responses that etcd's client must never give, or gives rarely.
func TestApplyTrustsNoOrder(t *testing.T) {
	events := func(header int64, revs ...int64) clientv3.WatchResponse {
		resp := clientv3.WatchResponse{}
		resp.Header = &etcdserverpb.ResponseHeader{Revision: header}
		for _, rev := range revs {
			resp.Events = append(resp.Events, &clientv3.Event{Kv: &mvccpb.KeyValue{
				Key: []byte("/registry/core/configmaps/default/a"), ModRevision: rev, Value: encoded(t)}})
		}
		return resp
	}
	for name, c := range map[string]struct {
		responses []clientv3.WatchResponse
		reason    string // to list, after the last
		at        int64
		received  int
	}{
		"in order":                   {[]clientv3.WatchResponse{events(5, 4, 5), events(6, 6)}, "", 6, 3},
		"several of one revision":    {[]clientv3.WatchResponse{events(5, 5, 5)}, "", 5, 2},
		"what was listed, again":     {[]clientv3.WatchResponse{events(5, 2, 3, 5)}, "", 5, 1},
		"what was received, again":   {[]clientv3.WatchResponse{events(5, 5), events(6, 4, 5, 6)}, "", 6, 2},
		"a bookmark":                 {[]clientv3.WatchResponse{events(9), events(10, 10)}, "", 10, 1},
		"an old bookmark":            {[]clientv3.WatchResponse{events(5, 5), events(4)}, "", 5, 1},
		"a bookmark before its past": {[]clientv3.WatchResponse{events(9), events(9, 5)}, reasonDisorder, 9, 0},
		"back, within a response":    {[]clientv3.WatchResponse{events(9, 7, 6)}, reasonDisorder, 3, 0},
		"far behind":                 {[]clientv3.WatchResponse{events(5, 5), events(6+replayLimit+1, 6)}, reasonBehind, 6, 2},
		"a foreign key only":         {[]clientv3.WatchResponse{foreign(events(8, 8))}, "", 8, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r, maps := offline(t)
			f := &reflector{replica: r}
			f.install(r.kindLists(), 3, epochID{}, false)
			f.budget.resume()
			l := newHandlerQueue(maps.kind, nil)
			r.addHandler(l)
			var err error
			for _, resp := range c.responses {
				if err = f.apply(resp); err != nil {
					break
				}
			}
			if f.relistReason != c.reason || (err != nil) != (c.reason != "") {
				t.Errorf("reason to list: %q, error: %v", f.relistReason, err)
			}
			if got := r.Snapshot().Revision(); got != c.at {
				t.Errorf("at revision %d, want %d", got, c.at)
			}
			if got := l.pending(); got != c.received {
				t.Errorf("%d changes received, want %d", got, c.received)
			}
		})
	}
}

func foreign(resp clientv3.WatchResponse) clientv3.WatchResponse {
	for _, ev := range resp.Events {
		ev.Kv.Key = []byte("/registry/core/elsewhere/a")
	}
	return resp
}

func encoded(t *testing.T) []byte {
	t.Helper()
	cm := &corev1.ConfigMap{}
	cm.APIVersion, cm.Kind, cm.Namespace, cm.Name = "v1", "ConfigMap", "default", "a"
	value, err := json.Marshal(cm)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestClockDefaultsToTheSystems(t *testing.T) {
	r, _ := offline(t)
	if _, ok := r.clock.(clock.RealClock); !ok {
		t.Errorf("clock is %T", r.clock)
	}
}

// A watch that is too far behind shows that etcd answers: the list follows at once, and
// not after the pause that earlier failures have built up.
func TestReplicaFarBehindListsAtOnce(t *testing.T) {
	f := &reflector{budget: replayBudget{limit: replayLimit}}
	if err := f.checkLag(10*replayLimit, 1); err == nil || f.relistReason != reasonBehind {
		t.Fatalf("far behind: %v, reason %q", err, f.relistReason)
	}
	if !f.progressed {
		t.Error("the backoff of earlier failures goes on")
	}
}
