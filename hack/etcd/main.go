// Command etcd runs an etcd for experiments:
//
//	go run ./hack/etcd [--members 3] [--data-dir D] [--listen 127.0.0.1:2379]
//
// It prints its endpoints and runs until Ctrl-C. It has neither TLS nor
// authentication: every client that reaches it may read and write.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

const startBound = time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run serves until ctx is done, and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	if err := serve(ctx, o, stdout); err != nil {
		fmt.Fprintf(stderr, "etcd: %v\n", err)
		return 1
	}
	return 0
}

// parse parses the flags. It prints an error before it returns it.
func parse(args []string, stderr io.Writer) (etcdtest.Options, error) {
	var o etcdtest.Options
	flags := flag.NewFlagSet("etcd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.Members, "members", 1, "`number` of members")
	flags.StringVar(&o.DataDir, "data-dir", "", "`directory` for the data (default: a temporary one)")
	flags.StringVar(&o.ClientAddr, "listen", "127.0.0.1:2379", "`address` of the first member; the others use free ports")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.Members < 1:
		err = fmt.Errorf("--members must be at least 1, not %d", o.Members)
	}
	if err != nil {
		fmt.Fprintf(stderr, "etcd: %v\n", err)
	}
	o.Fsync = o.DataDir != ""
	return o, err
}

func serve(ctx context.Context, o etcdtest.Options, stdout io.Writer) error {
	startCtx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	cluster, err := etcdtest.Run(startCtx, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil // interrupted, which is not an error
		}
		return err
	}
	greet(stdout, o, cluster.Endpoints())
	<-ctx.Done()
	fmt.Fprintln(stdout, "stopping")
	return cluster.Close()
}

func greet(w io.Writer, o etcdtest.Options, endpoints []string) {
	list := strings.Join(endpoints, ",")
	data := "temporary, removed at the end (see --data-dir)"
	if o.DataDir != "" {
		data = "kept in " + o.DataDir
	}
	fmt.Fprintf(w, "endpoints: %s\n", list)
	fmt.Fprintf(w, "data:      %s\n", data)
	fmt.Fprintf(w, "try:       etcdctl --endpoints=%s get --prefix /registry/ --keys-only\n", list)
	fmt.Fprintf(w, "Press Ctrl-C to stop.\n")
}
