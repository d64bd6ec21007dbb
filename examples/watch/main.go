// Command watch follows any keys in an etcd and prints each change:
//
//	PUT key="/mykey" value="updated_value" mod_revision=5 length=13
//	DELETE key="/mykey" mod_revision=6
//
// It starts now, at a given revision, or where it last stopped. It survives
// interruptions without a gap or a repeat. It filters by operation, by key, and by
// a condition on the old and the new value. It can merge bursts of changes into
// batches. See -help.
//
// # What is guaranteed
//
//   - Each change that passes the filters is printed once, in revision order,
//     whatever happens to the connection and to etcd's members.
//   - With -resume, a run continues where the last one stopped. After an interrupt,
//     SIGTERM or an error there is neither a gap nor a repeat. After a kill there is
//     no gap, but the last second of changes, or the last batch, may be printed
//     again. The program records a position only after it has written everything
//     up to there to standard output.
//   - If the program cannot continue without a gap, it says why and exits with
//     status 1: revisions were compacted, etcd was wiped or restored, or another
//     cluster answers.
//
// # What is not guaranteed
//
//   - The program does not always notice a restored etcd whose revision has since
//     passed the last one it saw; see the package stream within.
//   - The old value is unknown for a change whose previous revision was compacted.
//     It then counts as absent.
//   - The last line may be cut off when the program is killed.
//   - Two programs must not share a -resume file.
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
	o, err := parseFlags(args, os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		complain(err.Error() + "; see -help")
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

// complain prints a message that is not a change.
func complain(what string) { fmt.Fprintln(os.Stderr, "watch:", what) }
