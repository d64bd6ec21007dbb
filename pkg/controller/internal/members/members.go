// Package members watches over the members of an etcd: their alarms, and how full their
// databases are. It knows nothing of managers.
//
// A member raises the alarm NOSPACE when its database has reached its quota. From then
// on etcd refuses all writes but deletions, though everything can be read and watched.
// It raises CORRUPT when its data differ from those of the others, and etcd refuses all
// requests. An alarm lasts until an administrator disarms it.
package members

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/internal/retry"
)

const (
	// defaultInterval is the pause between two questions. A question costs each member
	// a connection, and no work of the others.
	defaultInterval = 30 * time.Second
	// defaultSoonest is the pause before a question that Ask has called for.
	defaultSoonest = 500 * time.Millisecond
	// answer bounds the wait for a member.
	answer = 5 * time.Second
	// nearlyFull is the part of its quota from which on a database is nearly full.
	nearlyFull = 0.8
	// repeat is how often the same warning is logged.
	repeat = time.Hour
)

// Monitor asks the members of an etcd for their state. It is safe for concurrent use.
type Monitor struct {
	client *clientv3.Client
	clock  clock.WithTickerAndDelayedExecution
	log    logr.Logger
	wanted chan struct{} // has an element if an answer is wanted soon

	interval, soonest time.Duration

	mu     sync.Mutex // guards the field below
	latest []Member

	warned map[string]time.Time // when each warning was logged last; Run's own
}

// Member is the state of a member.
type Member struct {
	// Endpoint is its address, without secrets.
	Endpoint string
	// Err is why it did not answer, or cannot serve. In the first case, the fields below
	// are zero.
	Err error
	// Size and Quota are the size of its database, in bytes, and the size at which it
	// raises NOSPACE. Quota is 0 if the member does not tell: etcd before 3.6.
	Size, Quota int64
	// applied is how far it has followed the others.
	applied uint64
	alarms  []string // of all members, as this one knows them
}

// Used returns the part of the quota that is used, or 0 if the member does not tell.
func (m Member) Used() float64 {
	if m.Quota <= 0 {
		return 0
	}
	return float64(m.Size) / float64(m.Quota)
}

// New returns a monitor that has not asked yet.
func New(client *clientv3.Client, c clock.WithTickerAndDelayedExecution, log logr.Logger) *Monitor {
	return &Monitor{
		client: client, clock: c, log: log, wanted: make(chan struct{}, 1), warned: map[string]time.Time{},
		interval: defaultInterval, soonest: defaultSoonest,
	}
}

// Run asks the members every 30 seconds until ctx is done.
func (m *Monitor) Run(ctx context.Context) {
	for ctx.Err() == nil {
		latest := m.askAll(ctx)
		if ctx.Err() != nil {
			return
		}
		m.mu.Lock()
		m.latest = latest
		m.mu.Unlock()
		m.warn()
		m.pause(ctx)
	}
}

// Ask makes the monitor ask the members within a second, rather than at the next time.
func (m *Monitor) Ask() {
	select {
	case m.wanted <- struct{}{}:
	default: // it is wanted already
	}
}

// pause returns when it is time for the next question, or ctx is done.
func (m *Monitor) pause(ctx context.Context) {
	timer := m.clock.NewTimer(retry.Jitter(m.interval))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	case <-m.wanted:
		_ = retry.Sleep(ctx, m.clock, m.soonest) // the caller looks at ctx
	}
}

// askAll returns the state of all members.
func (m *Monitor) askAll(ctx context.Context) []Member {
	ctx, cancel := retry.WithTimeout(ctx, m.clock, answer)
	defer cancel()
	endpoints := m.client.Endpoints()
	all := make([]Member, len(endpoints))
	var asking sync.WaitGroup
	for i, endpoint := range endpoints {
		asking.Go(func() {
			st, err := m.client.Status(ctx, endpoint)
			all[i] = memberOf(st, err)
			all[i].Endpoint = etcd.RedactEndpoints(endpoint)[0]
		})
	}
	asking.Wait()
	return all
}

// memberOf returns what a member's answer says of it. A member that is cut off from the
// others, or is a learner, answers but accepts no writes.
func memberOf(st *clientv3.StatusResponse, err error) Member {
	if err != nil {
		return Member{Err: etcd.ExplainError(err)}
	}
	x := Member{Size: st.DbSize, Quota: st.DbSizeQuota, applied: st.RaftAppliedIndex, alarms: alarmsIn(st.Errors)}
	switch {
	case st.IsLearner:
		x.Err = errors.New("the member is a learner: it accepts no writes")
	case st.Leader == 0:
		x.Err = errors.New("the member has no leader: it accepts no writes")
	}
	return x
}

var alarmName = regexp.MustCompile(`\balarm:\s*([A-Z]+)\b`)

// alarmsIn returns the names of the alarms among the errors of a member's status, one
// for each member that raised it.
func alarmsIn(errs []string) []string {
	var names []string
	for _, text := range errs {
		if found := alarmName.FindStringSubmatch(text); found != nil {
			names = append(names, found[1])
		}
	}
	return names
}

// Names are the alarms that etcd has.
func Names() []string { return []string{pb.AlarmType_NOSPACE.String(), pb.AlarmType_CORRUPT.String()} }

// Members returns what the members last answered. It is empty before the first answer.
func (m *Monitor) Members() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.latest)
}

// Alarms returns the alarms that are raised, one for each member that raised it. They
// are those that the member knows which has followed the others furthest.
func (m *Monitor) Alarms() []string {
	all := slices.DeleteFunc(m.Members(), func(x Member) bool { return x.applied == 0 }) // did not answer
	if len(all) == 0 {
		return nil
	}
	newest := slices.MaxFunc(all, func(a, b Member) int {
		if a.applied < b.applied {
			return -1
		}
		return 1
	})
	return newest.alarms
}

// Err returns an error that names the alarms that are raised, or nil.
func (m *Monitor) Err() error {
	var errs []error
	for _, name := range slices.Compact(slices.Sorted(slices.Values(m.Alarms()))) {
		errs = append(errs, fmt.Errorf("etcd has raised the alarm %s: %s", name, remedy(name)))
	}
	return errors.Join(errs...)
}

func remedy(alarm string) string {
	switch alarm {
	case pb.AlarmType_NOSPACE.String():
		return "it refuses writes until somebody compacts and defragments it, or raises its quota, and disarms the alarm"
	case pb.AlarmType_CORRUPT.String():
		return "it refuses all requests until somebody replaces the member whose data are corrupt, and disarms the alarm"
	}
	return "it may refuse requests until somebody disarms the alarm"
}

// warn logs alarms, and databases that are nearly full: when they appear and every hour.
func (m *Monitor) warn() {
	now := map[string]func(){}
	if err := m.Err(); err != nil {
		now[err.Error()] = func() { m.log.Error(err, "etcd refuses requests") }
	}
	for _, x := range m.Members() {
		if used := x.Used(); used >= nearlyFull {
			now["full "+x.Endpoint] = func() {
				m.log.Info("etcd's database is nearly full: compact and defragment it, or raise its quota, before it refuses writes",
					"endpoint", x.Endpoint, "bytes", x.Size, "quota", x.Quota, "used", fmt.Sprintf("%.0f%%", 100*used))
			}
		}
	}
	for what, log := range now {
		if last, known := m.warned[what]; known && m.clock.Since(last) < repeat {
			continue
		}
		m.warned[what] = m.clock.Now()
		log()
	}
	for what := range m.warned {
		if now[what] != nil {
			continue
		}
		delete(m.warned, what)
		if !strings.HasPrefix(what, "full ") {
			m.log.Info("etcd's alarm is disarmed", "was", what)
		}
	}
}
