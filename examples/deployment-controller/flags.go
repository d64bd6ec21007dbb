package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/homeostat/homeostat/pkg/apiserver"
	"github.com/homeostat/homeostat/pkg/connect"
	"github.com/homeostat/homeostat/pkg/store"
)

// The controllers, by the names that --controllers takes.
const (
	deploymentController = "deployment"
	replicaSetController = "replicaset"
	hollowNode           = "hollow-node"
	garbageCollector     = "garbage-collector"
	podCollector         = "pod-collector"
)

// allControllers returns the names of all controllers.
func allControllers() []string {
	return []string{deploymentController, replicaSetController, hollowNode, garbageCollector, podCollector}
}

// options are the parsed flags.
type options struct {
	etcd        connect.Options // without endpoints, an embedded etcd
	prefix      string
	dataDir     string
	files       []string
	wait        bool
	timeout     time.Duration
	controllers []string
	api         string // the address, or ""
	apiGiven    bool   // by a flag
	startDelay  time.Duration
	seed        int64
	quiet       bool
	verbosity   int
}

// samples reports whether the program may apply the built-in samples, which it does
// only in an embedded etcd.
func (o options) samples() bool { return len(o.files) == 0 && len(o.etcd.Endpoints) == 0 }

// parseFlags returns the options. For -help it prints the usage and returns
// flag.ErrHelp; it prints no other error.
func parseFlags(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("deployment-controller", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	usage := func() {
		flags.SetOutput(out)
		fmt.Fprintf(out, "Usage: deployment-controller [flags]\n\n"+
			"Runs Kubernetes Deployments on an etcd. Without flags it starts its own etcd,\n"+
			"applies a sample, updates it, and runs until interrupted. With --endpoints it\n"+
			"applies only the manifests that -f names. With --controllers= it exits once they\n"+
			"are applied; add --wait to wait for controllers that run elsewhere.\n\n")
		flags.PrintDefaults()
	}
	o.etcd.Flags(flags)
	flags.Lookup("endpoints").Usage = "comma-separated `URLs` of an etcd to use instead of an embedded one"
	flags.StringVar(&o.prefix, "prefix", store.DefaultPrefix, "the prefix of all keys; ends in a slash")
	flags.StringVar(&o.dataDir, "data-dir", "", "keep the embedded etcd's data in this `directory`")
	flags.Func("f", "apply the manifests in a `file`, in a directory, or from standard input (-); repeatable", func(s string) error {
		o.files = append(o.files, s)
		return nil
	})
	flags.BoolVar(&o.wait, "wait", false, "exit with 0 when every applied Deployment is complete, or with 1 when one fails")
	flags.DurationVar(&o.timeout, "timeout", 0, "with --wait, give up after this time; 0 means never")
	o.controllers = allControllers()
	flags.Func("controllers", "comma-separated `names` of the controllers to run; empty for none (default "+strings.Join(o.controllers, ",")+")", func(s string) error {
		o.controllers = connect.List(s)
		return nil
	})
	flags.DurationVar(&o.startDelay, "pod-start-delay", time.Second, "the time a Pod takes to become ready")
	flags.Int64Var(&o.seed, "seed", 1, "decides which Pods crash or fail if their annotations ask for that (see the package controllers)")
	flags.BoolVar(&o.quiet, "quiet", false, "print only problems: no progress, no Events, and not what was applied")
	flags.IntVar(&o.verbosity, "v", 0, "log verbosity: 0 logs and shows only problems, 1 also what happens")
	flags.StringVar(&o.api, "api", apiserver.DefaultAddress, "serve the Kubernetes API at this `address`, for kubectl; empty for none. By default a\n"+
		"free port is taken if this one is not, and nothing is served with --wait or --controllers=")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			usage()
		}
		return o, err
	}
	flags.Visit(func(f *flag.Flag) { o.apiGiven = o.apiGiven || f.Name == "api" })
	return o, o.check(flags.Args())
}

func (o options) check(rest []string) error {
	known := allControllers()
	for _, name := range o.controllers {
		if !slices.Contains(known, name) {
			return fmt.Errorf("--controllers: %q is not one of %s", name, strings.Join(known, ", "))
		}
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q: name manifests with -f", rest[0])
	case len(o.etcd.Endpoints) > 0 && o.dataDir != "":
		return fmt.Errorf("--data-dir is for the embedded etcd, which --endpoints replaces: give only one of them")
	case len(o.etcd.Endpoints) == 0 && o.etcd.Secured():
		return fmt.Errorf("certificates and a user need --endpoints")
	case !strings.HasSuffix(o.prefix, "/"):
		return fmt.Errorf("--prefix %q: must end in a slash", o.prefix)
	case o.timeout < 0 || o.startDelay < 0:
		return fmt.Errorf("--timeout and --pod-start-delay must not be negative")
	case o.timeout > 0 && !o.wait:
		return fmt.Errorf("--timeout needs --wait")
	}
	return o.etcd.Check()
}
