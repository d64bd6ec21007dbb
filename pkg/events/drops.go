package events

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Drops counts the calls of Eventf of which no Event tells, by cause.
type Drops struct {
	// Invalid had arguments that cannot become an Event.
	Invalid uint64
	// Limited were about an object that had caused too many Events: see
	// [Options.Burst].
	Limited uint64
	// Full found the buffer full: etcd is slow or gone, Run does not run, or
	// more Events happen than [Options.Buffer] allows in 10 seconds.
	Full uint64
	// Failed could not be written: etcd did not answer for 5 minutes, or until
	// the recorder had to stop.
	Failed uint64
}

// Total is the sum of all causes.
func (d Drops) Total() uint64 { return d.Invalid + d.Limited + d.Full + d.Failed }

// Dropped returns how many calls were dropped so far, those of recorders that
// share with r included. It never goes down.
func (r *Recorder) Dropped() Drops {
	r.drops.mu.Lock()
	defer r.drops.mu.Unlock()
	n := r.drops.counts
	return Drops{Invalid: n[dropInvalid], Limited: n[dropLimited], Full: n[dropFull], Failed: n[dropFailed]}
}

// Collector returns the metric homeostat_events_dropped_total for a Prometheus
// registry: what [Recorder.Dropped] counts, by the label cause, which is invalid,
// limited, full or failed. A manager that is given the recorder has it in its
// metrics already.
func (r *Recorder) Collector() prometheus.Collector { return dropCollector{r} }

type dropCollector struct{ recorder *Recorder }

var descDropped = prometheus.NewDesc("homeostat_events_dropped_total",
	"Calls to record an Event of which no Event tells, by cause.", []string{"cause"}, nil)

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
	dropCauses // how many there are
)

func (c dropCause) String() string {
	return [...]string{"", "invalid arguments", "too many Events about the object", "the buffer is full", "etcd cannot be written to"}[c]
}

// sayInterval is how often the log says one thing at most.
const sayInterval = time.Minute

// drops counts by cause, and keeps the log from being flooded.
type drops struct {
	mu     sync.Mutex
	counts [dropCauses]uint64
	said   [dropCauses]uint64    // the count that the log told last
	saidAt [dropCauses]time.Time // and when
}

// add returns how many drops the log does not know of, when it is time to say
// so, and otherwise 0.
func (d *drops) add(now time.Time, cause dropCause, n uint64) (unsaid uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts[cause] += n
	if at := d.saidAt[cause]; !at.IsZero() && now.Sub(at) < sayInterval {
		return 0
	}
	if unsaid = d.counts[cause] - d.said[cause]; unsaid > 0 {
		d.said[cause], d.saidAt[cause] = d.counts[cause], now
	}
	return unsaid
}

// drop counts occurrences that are lost. The details are those of the last.
func (r *Recorder) drop(cause dropCause, n uint64, err error, details ...any) {
	if unsaid := r.drops.add(r.clock.Now(), cause, n); unsaid > 0 {
		r.log.WithValues(details...).Error(err, "events dropped", "cause", cause.String(), "dropped", unsaid)
	}
}
