package informer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestFreshness(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	var f freshness
	step := func(name string, current int, etcd int64) {
		t.Helper()
		if !f.current.Equal(at(current)) || f.etcd != etcd {
			t.Errorf("%s: current at %v, want %v; etcd at %d, want %d", name, f.current, at(current), f.etcd, etcd)
		}
	}
	f.listed(at(1), 10)
	step("a list", 1, 10)
	f.observed(at(2), 10, 10)
	step("a look that finds nothing new", 2, 10)
	f.observed(at(3), 15, 10)
	step("a look that finds more", 2, 15)
	f.observed(at(4), 20, 14)
	step("a second look, while the first is still open", 2, 20)
	f.reached(15)
	step("what the first look found was applied", 3, 20)
	f.observed(at(5), 25, 20)
	step("a third", 3, 25)
	f.reached(24)
	step("not yet", 3, 25)
	f.reached(30)
	step("the replica is ahead of what was asked", 5, 25)
	f.observed(at(6), 28, 30)
	step("so is a look", 6, 28)
	f.observed(at(7), 40, 30)
	f.listed(at(8), 5)
	step("a list of an etcd that went back", 8, 5)
	f.reached(50)
	step("what was open before is forgotten", 8, 5)
}

// stoppedClock gives a replica a clock of the test's own.
func stoppedClock(r *Replica) *clocktesting.FakeClock {
	c := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
	r.clock = c
	return c
}

func TestHealthNamesTheCause(t *testing.T) {
	r, _ := offline(t) // listed
	c := stoppedClock(r)
	f := &reflector{replica: r, lastContact: c.Now()}
	expect := func(name string, parts ...string) {
		t.Helper()
		err := r.Healthy(15 * time.Second)
		if len(parts) == 0 && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range parts {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v; want %q in it", name, err, part)
			}
		}
	}
	expect("before Run", "does not run")
	r.running = true
	r.status.caughtUp(c.Now(), 1)
	expect("after a list")

	c.Step(10 * time.Second)
	cause := errors.New("no leader")
	f.failed(cause, time.Second)
	expect("a short disturbance")
	c.Step(10 * time.Second)
	expect("a long one", "revision 1", "20s ago", "no leader")
	if err := r.Healthy(15 * time.Second); !errors.Is(err, cause) {
		t.Errorf("the cause is not wrapped: %v", err)
	}
	if err := r.Healthy(time.Minute); err != nil {
		t.Errorf("within a longer bound: %v", err)
	}

	f.recovered()
	r.status.observed(c.Now(), 1, 1)
	expect("recovered")
	c.Step(16 * time.Second)
	r.status.observed(c.Now(), 9, 1)
	expect("behind, and nothing has failed", "at revision 1, etcd at 9", "16s ago")

	if _, err := ForObject(r, &corev1.Secret{}); err != nil {
		t.Fatal(err)
	}
	expect("a kind was added", "not listed", "/registry/core/secrets/")
	f.failed(cause, time.Second)
	expect("and cannot be listed", "/registry/core/secrets/", "no leader")
}

func TestStatusKeepsTheLastFailure(t *testing.T) {
	r, _ := offline(t)
	c := stoppedClock(r)
	f := &reflector{replica: r, lastContact: c.Now()}
	failed := c.Now().Add(time.Second)
	c.Step(time.Second)
	f.failed(errors.New("first"), 0)
	f.failed(errors.New("second"), 0)
	f.recovered()
	c.Step(time.Second)
	st := r.Status()
	if st.Err != nil || st.LastErr == nil || st.LastErr.Error() != "second" || !st.LastErrAt.Equal(failed) || st.Failures != 2 {
		t.Errorf("err %v, last %v at %v, %d failures", st.Err, st.LastErr, st.LastErrAt, st.Failures)
	}
}

func TestMetrics(t *testing.T) {
	r, maps := offline(t)
	c := stoppedClock(r)
	if _, err := ForObject(r, &corev1.Secret{}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.addHandler(newHandlerQueue(maps.kind, nil))
	}
	set(maps, "default", "a", "v")
	set(maps, "default", "b", "v")
	r.status.undecodable("ConfigMap", "/registry/core/configmaps/default/c", 1, errors.New("bad"))
	r.status.caughtUp(c.Now(), 40)
	r.status.listed(reasonInitial)
	r.status.listed(reasonBehind)
	r.status.opening(newPendingBytes(0))
	r.status.foreign()
	r.status.failed(c.Now(), c.Now(), errors.New("lost"))
	c.Step(1500 * time.Millisecond)

	expected := `
# HELP homeostat_replica_lag_seconds Time since the replica was last known to have all that etcd had.
# TYPE homeostat_replica_lag_seconds gauge
homeostat_replica_lag_seconds 1.5
# HELP homeostat_replica_disturbed Whether something keeps the replica from following etcd: 1 or 0.
# TYPE homeostat_replica_disturbed gauge
homeostat_replica_disturbed 1
# HELP homeostat_replica_etcd_revision Newest revision of etcd that the replica knows of.
# TYPE homeostat_replica_etcd_revision gauge
homeostat_replica_etcd_revision 40
# HELP homeostat_replica_lists_total Lists of all kinds, by what they were for.
# TYPE homeostat_replica_lists_total counter
homeostat_replica_lists_total{reason="far behind"} 1
homeostat_replica_lists_total{reason="initial"} 1
# HELP homeostat_replica_objects Objects in the newest snapshot.
# TYPE homeostat_replica_objects gauge
homeostat_replica_objects{group="",kind="ConfigMap",version="v1"} 2
homeostat_replica_objects{group="",kind="Secret",version="v1"} 0
# HELP homeostat_replica_undecodable_keys Keys whose values cannot be decoded.
# TYPE homeostat_replica_undecodable_keys gauge
homeostat_replica_undecodable_keys{group="",kind="ConfigMap",version="v1"} 1
homeostat_replica_undecodable_keys{group="",kind="Secret",version="v1"} 0
# HELP homeostat_replica_handler_backlog_changes Undelivered changes of the handler that is furthest behind.
# TYPE homeostat_replica_handler_backlog_changes gauge
homeostat_replica_handler_backlog_changes{group="",kind="ConfigMap",version="v1"} 2
homeostat_replica_handler_backlog_changes{group="",kind="Secret",version="v1"} 0
`
	names := []string{"lag_seconds", "disturbed", "etcd_revision", "lists_total", "objects", "undecodable_keys", "handler_backlog_changes"}
	for i := range names {
		names[i] = "homeostat_replica_" + names[i]
	}
	if err := testutil.CollectAndCompare(r.Collector(), strings.NewReader(expected), names...); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(r.Collector()); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if got, want := testutil.CollectAndCount(r.Collector()), 9+2*6+2; got != want {
		t.Errorf("%d metrics, want %d", got, want)
	}
}

// Before the first list there is no metric of the lag.
func TestMetricsOfAReplicaThatNeverListed(t *testing.T) {
	other, _ := offline(t)
	r := NewReplica(other.store, Options{})
	if n := testutil.CollectAndCount(r.Collector(), "homeostat_replica_lag_seconds"); n != 0 {
		t.Errorf("the lag is reported %d times", n)
	}
	if n := testutil.CollectAndCount(r.Collector(), "homeostat_replica_synced"); n != 1 {
		t.Errorf("synced is reported %d times", n)
	}
}

func TestReplicasShareARegistry(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for _, name := range []string{"one", "other"} {
		r, _ := offline(t)
		if err := prometheus.WrapRegistererWith(prometheus.Labels{"replica": name}, registry).Register(r.Collector()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
}
