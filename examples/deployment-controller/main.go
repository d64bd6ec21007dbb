// Command deployment-controller runs Kubernetes Deployments on an etcd, without
// Kubernetes. It applies manifests, creates ReplicaSets for Deployments and Pods
// for ReplicaSets, and shows the rollouts.
//
// Without arguments it starts its own etcd, applies a sample, updates it, and keeps
// running. See -help for the rest.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/homeostat/homeostat/pkg/controller"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run returns the exit status: 0 for success, 1 for a failure, 2 for wrong usage.
func run(args []string) int {
	o, err := parseFlags(args, os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "deployment-controller:", oneLine(err.Error())+"; see -help")
		return 2
	}
	ctx := controller.SignalContext()
	if err := newProgram(o, os.Stdin, os.Stdout, os.Stderr).run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "deployment-controller:", oneLine(err.Error()))
		return 1
	}
	return 0
}
