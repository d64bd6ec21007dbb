package events

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/store"
)

// DefaultPrefix is where Events are stored unless [Options] says otherwise.
const DefaultPrefix = "/events/"

// Options configure a [Recorder]. Controller must be set; the zero value of
// each other field is useful.
type Options struct {
	// Controller is the reportingController of the Events: a name such as
	// "example.com/site-controller", of which the part before the slash may be
	// left out.
	Controller string

	// Instance is the reportingInstance of the Events, at most 128 bytes.
	// Defaults to the host's name and the process id, as in "node-1_4711".
	Instance string

	// Prefix is put before every key. It ends in a slash and must not lie below
	// the prefix of the store of the objects. Defaults to [DefaultPrefix].
	Prefix string

	// Client is the etcd that Events are written to. Defaults to the one of the
	// objects; etcds of large systems are often spared that.
	Client *clientv3.Client

	// TTL is how long an Event lives after it was last written, at
	// least. It lives up to a tenth and a few seconds longer. Defaults to 1 hour,
	// and must not be below 1 second.
	TTL time.Duration

	// Buffer is how many Events are kept in memory: those that are to be
	// written, those that were written less than 10 seconds ago, and, as far as
	// there is room, others whose series go on. When none of the last kind is
	// left to make room, a call for a new Event is dropped. One takes 2 KiB or
	// less, as a rule. Defaults to 4096.
	Buffer int

	// Burst is how many Events a controller may make about one object in quick
	// succession. One more is allowed every 5 minutes, up to Burst again. What
	// continues a series is free. Defaults to 25.
	Burst int

	// Clock stamps Events and times retries. Defaults to the system's.
	Clock clock.WithDelayedExecution

	// Log tells of what is dropped and of trouble with etcd. Defaults to
	// discarding.
	Log logr.Logger
}

// maxIdentifier is Kubernetes' limit, in bytes, for reason, action and
// reportingInstance.
const maxIdentifier = 128

// complete fills in the defaults and checks what was given.
func (o Options) complete(s *store.Store) (Options, error) {
	o.Prefix = cmp.Or(o.Prefix, DefaultPrefix)
	o.Client = cmp.Or(o.Client, s.Client())
	o.TTL = cmp.Or(o.TTL, time.Hour)
	o.Buffer = cmp.Or(o.Buffer, 4096)
	o.Burst = cmp.Or(o.Burst, 25)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Instance == "" {
		instance, err := thisProcess()
		if err != nil {
			return o, err
		}
		o.Instance = instance
	}
	return o, errors.Join(checkController(o.Controller), o.checkPlace(s), o.checkLimits())
}

func (o Options) checkPlace(s *store.Store) error {
	if o.Client == s.Client() && strings.HasPrefix(o.Prefix, s.Prefix()) {
		return fmt.Errorf("prefix %q: lies below the prefix of the objects, %q: choose one that does not", o.Prefix, s.Prefix())
	}
	return nil
}

func (o Options) checkLimits() error {
	switch {
	case len(o.Instance) > maxIdentifier:
		return fmt.Errorf("instance %q: must have at most %d bytes", o.Instance, maxIdentifier)
	case o.TTL < time.Second:
		return fmt.Errorf("TTL %s: must be at least 1s", o.TTL)
	case o.Buffer < 1 || o.Burst < 1:
		return fmt.Errorf("buffer %d and burst %d: must be at least 1", o.Buffer, o.Burst)
	}
	return nil
}

func checkController(name string) error {
	if msgs := validation.IsQualifiedName(name); len(msgs) > 0 {
		return fmt.Errorf("controller %q: %s", name, strings.Join(msgs, "; "))
	}
	return nil
}

func thisProcess() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("instance: %w: set it", err)
	}
	pid := fmt.Sprintf("_%d", os.Getpid())
	return host[:min(len(host), maxIdentifier-len(pid))] + pid, nil
}
