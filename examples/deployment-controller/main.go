// Command deployment-controller runs Kubernetes Deployments on an etcd, without
// Kubernetes: it applies manifests, turns Deployments into ReplicaSets and
// those into Pods, and shows the rollout as it moves.
//
// With no arguments it starts an etcd of its own, applies a sample and then
// updates it, and keeps running. See -help for the rest.
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

// run returns the exit status: 0 when all went well, 1 when something failed,
// 2 for wrong usage.
func run(args []string) int {
	o, err := parseFlags(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "deployment-controller:", err)
		return 2
	}
	ctx := controller.SignalContext()
	if err := newProgram(o, os.Stdin, os.Stdout, os.Stderr).run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "deployment-controller:", err)
		return 1
	}
	return 0
}
