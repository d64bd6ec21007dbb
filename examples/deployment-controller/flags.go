package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/homeostat/homeostat/pkg/connect"
	"github.com/homeostat/homeostat/pkg/store"
)

// The controllers, by the names that --controllers takes.
const (
	deploymentController = "deployment"
	replicaSetController = "replicaset"
	hollowNode           = "hollow-node"
	garbageCollector     = "garbage-collector"
)

// options is what the command line says.
type options struct {
	etcd        connect.Options // no endpoints: an embedded etcd
	prefix      string
	dataDir     string
	files       []string
	wait        bool
	timeout     time.Duration
	controllers []string
	startDelay  time.Duration
	verbosity   int
}

// samples reports whether the built-in samples may be applied: never to an etcd
// that is somebody's.
func (o options) samples() bool { return len(o.files) == 0 && len(o.etcd.Endpoints) == 0 }

func parseFlags(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("deployment-controller", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprintf(out, "Usage: deployment-controller [flags]\n\n"+
			"Runs Kubernetes Deployments on an etcd. With no flags it starts an etcd of its\n"+
			"own, applies a sample, updates it, and runs until interrupted. With --endpoints it\n"+
			"applies nothing but what -f names.\n\n")
		flags.PrintDefaults()
	}
	o.etcd.Flags(flags)
	flags.Lookup("endpoints").Usage = "comma-separated `URLs` of an etcd to use instead of an embedded one"
	flags.StringVar(&o.prefix, "prefix", store.DefaultPrefix, "what all keys begin with; ends in a slash")
	flags.StringVar(&o.dataDir, "data-dir", "", "keep the embedded etcd's data in this `directory`")
	flags.Func("f", "apply the manifests in a `file`, in the files of a directory, or from standard input (-); repeatable", func(s string) error {
		o.files = append(o.files, s)
		return nil
	})
	flags.BoolVar(&o.wait, "wait", false, "exit when every applied Deployment is complete: 0, or 1 when one fails")
	flags.DurationVar(&o.timeout, "timeout", 0, "with --wait, give up after this time; 0 is never")
	o.controllers = []string{deploymentController, replicaSetController, hollowNode, garbageCollector}
	flags.Func("controllers", "comma-separated `names` of the controllers to run; empty for none (default "+strings.Join(o.controllers, ",")+")", func(s string) error {
		o.controllers = connect.List(s)
		return nil
	})
	flags.DurationVar(&o.startDelay, "pod-start-delay", time.Second, "how long a Pod takes to become ready")
	flags.IntVar(&o.verbosity, "v", 0, "how much to log: 0 is what is wrong, 1 what happens")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	return o, o.check(flags.Args())
}

func (o options) check(rest []string) error {
	known := []string{deploymentController, replicaSetController, hollowNode, garbageCollector}
	for _, name := range o.controllers {
		if !slices.Contains(known, name) {
			return fmt.Errorf("--controllers: %q is none of %s", name, strings.Join(known, ", "))
		}
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q: manifests are given with -f", rest[0])
	case len(o.etcd.Endpoints) > 0 && o.dataDir != "":
		return fmt.Errorf("--data-dir is the embedded etcd's, which --endpoints replaces: give one of them")
	case len(o.etcd.Endpoints) == 0 && o.etcd.Secured():
		return fmt.Errorf("certificates and a user are for --endpoints")
	case !strings.HasSuffix(o.prefix, "/"):
		return fmt.Errorf("--prefix %q: must end in a slash", o.prefix)
	case o.timeout < 0 || o.startDelay < 0:
		return fmt.Errorf("--timeout and --pod-start-delay must not be negative")
	case o.timeout > 0 && !o.wait:
		return fmt.Errorf("--timeout is for --wait")
	}
	return o.etcd.Check()
}
