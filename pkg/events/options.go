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

	"github.com/homeostat/homeostat/pkg/internal/sharedlease"
	"github.com/homeostat/homeostat/pkg/store"
)

// DefaultPrefix is where Events are stored unless [Options] says otherwise.
const DefaultPrefix = "/events/"

// Options configure a [Recorder]. Controller is required; the zero value of each other
// field is useful.
type Options struct {
	// Controller is the reportingController of the Events: a qualified name such as
	// "example.com/site-controller" or "site-controller".
	Controller string

	// Instance is the reportingInstance of the Events, at most 128 bytes.
	// Defaults to the host's name and the process id, as in "node-1_4711".
	Instance string

	// Prefix begins the key of every Event. It ends in a slash. In the objects' etcd it
	// must not lie below the prefix of the objects' store. Defaults to [DefaultPrefix].
	Prefix string

	// Client is a client of the etcd that stores the Events. Large systems use an etcd
	// of its own for them. Defaults to the client of the objects' store.
	Client *clientv3.Client

	// TTL is how long an Event lives at least after it was last written. It lives
	// longer by up to a sixth and a few seconds. It must be at least 1 second and at
	// most ten years.
	// Defaults to 1 hour.
	TTL time.Duration

	// Buffer is the maximum number of Events in memory. The recorder keeps Events that
	// are not written yet and Events written less than 10 seconds ago. In the rest of
	// the buffer it keeps older Events, to continue their series; a new Event replaces
	// one of these. If the buffer has no older Event to replace, the call is dropped.
	// An Event usually takes up to 2 KiB. Defaults to 4096.
	Buffer int

	// Burst is how many Events a controller may make about one object in quick
	// succession. One more is allowed every 5 minutes, up to Burst again. Calls that
	// continue a series do not count. Defaults to 25.
	Burst int

	// Clock gives the times of Events, and times retries. Defaults to the system's.
	Clock clock.WithDelayedExecution

	// Log receives lines about dropped Events and failures of etcd. Defaults to
	// discarding them.
	Log logr.Logger
}

// maxIdentifier is Kubernetes' limit, in bytes, for reason, action and
// reportingInstance.
const maxIdentifier = 128

// complete fills in the defaults and checks the options.
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
		return fmt.Errorf("prefix %q: must not lie below the prefix of the objects, %q", o.Prefix, s.Prefix())
	}
	return nil
}

func (o Options) checkLimits() error {
	switch {
	case len(o.Instance) > maxIdentifier:
		return fmt.Errorf("instance %q: must have at most %d bytes", o.Instance, maxIdentifier)
	case sharedlease.CheckTTL(o.TTL) != nil:
		return fmt.Errorf("TTL: %w", sharedlease.CheckTTL(o.TTL))
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
