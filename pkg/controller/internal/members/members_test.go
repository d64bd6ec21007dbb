package members

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

func TestAlarmsIn(t *testing.T) {
	for text, want := range map[string]string{
		(&pb.AlarmMember{MemberID: 7, Alarm: pb.AlarmType_NOSPACE}).String(): "NOSPACE",
		(&pb.AlarmMember{MemberID: 7, Alarm: pb.AlarmType_CORRUPT}).String(): "CORRUPT",
		"memberID:7 alarm:NOSPACE ":  "NOSPACE", // older versions
		"memberID:7  alarm: CORRUPT": "CORRUPT",
		"etcdserver: no leader":      "",
		"the false alarm: of a fire": "",
	} {
		if got := strings.Join(alarmsIn([]string{text}), ","); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestMemberOf(t *testing.T) {
	for want, st := range map[string]*clientv3.StatusResponse{
		"<nil>":                    {Leader: 7, DbSize: 1, RaftAppliedIndex: 5},
		"the member is a learner":  {Leader: 7, IsLearner: true, DbSize: 1, RaftAppliedIndex: 5},
		"the member has no leader": {DbSize: 1, RaftAppliedIndex: 5, Errors: []string{"etcdserver: no leader"}},
	} {
		if x := memberOf(st, nil); !strings.HasPrefix(fmt.Sprint(x.Err), want) || x.Size != 1 || x.applied != 5 {
			t.Errorf("%+v, want %s", x, want)
		}
	}
	if x := memberOf(nil, context.DeadlineExceeded); !errors.Is(x.Err, context.DeadlineExceeded) {
		t.Errorf("%+v", x)
	}
}

// Of several members, the one counts that has followed furthest: another may have missed
// that an alarm was disarmed.
func TestAlarmsOfTheNewestMember(t *testing.T) {
	behind := Member{Endpoint: "a", applied: 5, alarms: []string{"NOSPACE"}}
	ahead := Member{Endpoint: "b", applied: 9}
	silent := Member{Endpoint: "c", Err: context.DeadlineExceeded}
	m := &Monitor{latest: []Member{behind, ahead, silent}}
	if err := m.Err(); err != nil {
		t.Error(err)
	}
	ahead.alarms = []string{"CORRUPT", "NOSPACE", "NOSPACE"}
	m.latest = []Member{behind, silent, ahead}
	if err := m.Err(); err == nil || strings.Count(err.Error(), "NOSPACE") != 1 || !strings.Contains(err.Error(), "alarm CORRUPT: it refuses all requests") {
		t.Error(err)
	}
	m.latest = []Member{silent}
	if err := m.Err(); err != nil {
		t.Error(err)
	}
}

// Warnings are logged when they begin, and every hour.
func TestWarnings(t *testing.T) {
	c := clocktesting.NewFakeClock(time.Now())
	var lines []string
	m := New(nil, c, funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{}))
	expect := func(what string, latest Member, want ...string) {
		t.Helper()
		latest.applied = 1 // it has answered
		lines, m.latest = nil, []Member{latest}
		m.warn()
		slices.Sort(lines)
		for i, line := range lines {
			if i >= len(want) || !strings.Contains(line, want[i]) {
				t.Errorf("%s: %s", what, line)
			}
		}
		if len(lines) != len(want) {
			t.Errorf("%s: %d lines, want %d", what, len(lines), len(want))
		}
	}
	expect("well", Member{Size: 799, Quota: 1000})
	expect("an unknown quota", Member{Size: 799})
	expect("nearly full", Member{Size: 800, Quota: 1000}, `nearly full`)
	expect("still", Member{Size: 850, Quota: 1000})
	c.Step(repeat)
	expect("an hour later", Member{Size: 900, Quota: 1000}, `"used"="90%"`)
	expect("full", Member{Size: 1000, Quota: 1000, alarms: []string{"NOSPACE"}}, "the alarm NOSPACE")
	expect("still full", Member{Size: 1000, Quota: 1000, alarms: []string{"NOSPACE"}})
	expect("disarmed", Member{Size: 100, Quota: 1000}, "alarm is disarmed")
	expect("nearly full again", Member{Size: 800, Quota: 1000}, "nearly full")
}

func TestMonitor(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	cluster := etcdtest.Start(t, etcdtest.Options{QuotaBytes: 1 << 30})
	for name, told := range map[string]bool{"by itself": false, "when told": true} {
		t.Run(name, func(t *testing.T) {
			m := New(cluster.Client(), clock.RealClock{}, logr.Discard())
			tell := func() {}
			if m.interval = 10 * time.Millisecond; told {
				m.interval, m.soonest, tell = time.Hour, 10*time.Millisecond, m.Ask
			}
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { m.Run(ctx) })
			defer running.Wait()
			defer cancel()
			await(t, "the members are not known", func() bool { return len(m.Members()) == 1 })
			if x := m.Members()[0]; x.Err != nil || x.Size == 0 || x.Quota != 1<<30 || x.Used() <= 0 || m.Err() != nil {
				t.Errorf("%+v, %v", x, m.Err())
			}
			set(t, cluster, pb.AlarmRequest_ACTIVATE)
			tell()
			await(t, "the alarm is not seen", func() bool { return m.Err() != nil })
			set(t, cluster, pb.AlarmRequest_DEACTIVATE)
			tell()
			await(t, "the end of the alarm is not seen", func() bool { return m.Err() == nil })
		})
	}
}

func TestMonitorOfADeadMember(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	if err := cluster.Member(0).Stop(); err != nil {
		t.Fatal(err)
	}
	m := New(cluster.Client(), clock.RealClock{}, logr.Discard())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if all := m.askAll(ctx); len(all) != 1 || all[0].Err == nil {
		t.Errorf("%+v", all)
	}
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// set raises or disarms an alarm.
func set(t *testing.T, cluster *etcdtest.Cluster, action pb.AlarmRequest_AlarmAction) {
	t.Helper()
	st, err := cluster.Client().Status(t.Context(), cluster.Endpoints()[0])
	if err != nil {
		t.Fatal(err)
	}
	_, err = pb.NewMaintenanceClient(cluster.Client().ActiveConnection()).Alarm(t.Context(),
		&pb.AlarmRequest{Action: action, MemberID: st.Header.MemberId, Alarm: pb.AlarmType_NOSPACE})
	if err != nil {
		t.Fatal(err)
	}
}
