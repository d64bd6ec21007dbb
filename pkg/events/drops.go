package events

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Drops counts, by cause, the calls of [Recorder.Eventf] that no Event shows. Alert on
// Full and Failed; Limited only says that a controller repeats itself.
type Drops struct {
	// Invalid counts calls whose arguments cannot become an Event.
	Invalid uint64
	// Limited counts calls about an object that had too many Events; see
	// [Options.Burst].
	Limited uint64
	// Full counts calls that found the buffer full: etcd is slow or gone, Run is not
	// running, or there are more Events than [Options.Buffer] allows in 10 seconds.
	Full uint64
	// Failed counts calls that could not be written: etcd did not answer for 5 minutes,
	// or did not answer while the recorder stopped.
	Failed uint64
}

// Total returns the number of dropped calls: the sum of all causes.
func (d Drops) Total() uint64 { return d.Invalid + d.Limited + d.Full + d.Failed }

// Dropped returns how many calls were dropped so far. It includes the calls of recorders
// made by [Recorder.WithController]. The counts never go down.
func (r *Recorder) Dropped() Drops {
	r.drops.mu.Lock()
	defer r.drops.mu.Unlock()
	n := r.drops.counts
	return Drops{Invalid: n[dropInvalid], Limited: n[dropLimited], Full: n[dropFull], Failed: n[dropFailed]}
}

// Collector returns the metric homeostat_events_dropped_total for a Prometheus registry.
// It counts what [Recorder.Dropped] counts; the label cause is invalid, limited, full or
// failed. Register it only where no manager has the recorder in its options: a manager
// registers it itself.
func (r *Recorder) Collector() prometheus.Collector { return dropCollector{r} }

type dropCollector struct{ recorder *Recorder }

var descDropped = prometheus.NewDesc("homeostat_events_dropped_total",
	"Calls to record an Event that no Event shows, by cause.", []string{"cause"}, nil)

func (dropCollector) Describe(to chan<- *prometheus.Desc) { to <- descDropped }

func (c dropCollector) Collect(to chan<- prometheus.Metric) {
	d := c.recorder.Dropped()
	for cause, n := range map[string]uint64{"invalid": d.Invalid, "limited": d.Limited, "full": d.Full, "failed": d.Failed} {
		to <- prometheus.MustNewConstMetric(descDropped, prometheus.CounterValue, float64(n), cause)
	}
}

type dropCause int

const (
	dropNone dropCause = iota
	dropInvalid
	dropLimited
	dropFull
	dropFailed
	dropCauses // the number of causes
)

func (c dropCause) String() string {
	return [...]string{"", "invalid arguments", "too many Events about the object", "the buffer is full", "etcd cannot be written to"}[c]
}

// logInterval is the least time between two log lines that say the same.
const logInterval = time.Minute

// drops counts dropped calls by cause, and limits the rate of log lines about them.
type drops struct {
	mu       sync.Mutex
	counts   [dropCauses]uint64
	logged   [dropCauses]uint64    // the count when drops were last logged
	loggedAt [dropCauses]time.Time // and when that was
}

// add counts n drops. It returns how many drops to log now: those since the last log
// line, or 0 if that was too recent.
func (d *drops) add(now time.Time, cause dropCause, n uint64) (unlogged uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts[cause] += n
	if at := d.loggedAt[cause]; !at.IsZero() && now.Sub(at) < logInterval {
		return 0
	}
	if unlogged = d.counts[cause] - d.logged[cause]; unlogged > 0 {
		d.logged[cause], d.loggedAt[cause] = d.counts[cause], now
	}
	return unlogged
}

// drop counts n dropped calls. The details for the log are those of the last call.
func (r *Recorder) drop(cause dropCause, n uint64, err error, details ...any) {
	if unlogged := r.drops.add(r.clock.Now(), cause, n); unlogged > 0 {
		r.log.WithValues(details...).Error(err, "events dropped", "cause", cause.String(), "dropped", unlogged)
	}
}
