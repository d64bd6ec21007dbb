// Command watch follows keys in an etcd, any keys, and prints each change of
// them:
//
//	PUT key="/mykey" value="updated_value" mod_revision=5 length=13
//	DELETE key="/mykey" mod_revision=6
//
// It starts now, at a revision, or where it was when it was stopped; it survives
// interruptions without a gap or a repeat; it filters by operation, by key and
// by a condition on the values before and after; and it can join what happens
// without rest into one batch. See -help.
//
// # What is guaranteed
//
//   - Each change that passes the filters is printed once, in the order of
//     revisions, whatever happens to the connection and to etcd's members.
//   - With -resume, a run goes on where the last one stopped: without a gap or
//     a repeat when that was stopped by an interrupt, SIGTERM or an error;
//     without a gap, but with about a second of changes once more, or with one
//     batch, when it was killed. Nothing is recorded before it was written to
//     the standard output.
//   - What cannot be continued without a gap ends the program with status 1 and
//     says why: compacted revisions, an etcd that was wiped or restored,
//     another cluster.
//
// # What is not
//
//   - That an etcd that was restored and has since gone past the revision that
//     was seen is always found out; see the package stream within.
//   - That the values before a change are known for changes of revisions that
//     were compacted meanwhile: they then count as absent.
//   - That the last line is whole when the program is killed.
//   - That two programs may share the file of -resume.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run returns the exit status: 0 when the program was interrupted, 1 when
// something failed, 2 for wrong usage.
func run(args []string) int {
	o, err := parseFlags(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		complain(err.Error())
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := newProgram(o, os.Stdout, complain).run(ctx); err != nil {
		complain(err.Error())
		return 1
	}
	return 0
}

// complain tells the user something that is no change.
func complain(what string) { fmt.Fprintln(os.Stderr, "watch:", what) }
