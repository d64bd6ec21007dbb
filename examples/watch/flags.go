package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/homeostat/homeostat/examples/watch/internal/keys"
	"github.com/homeostat/homeostat/examples/watch/internal/show"
	"github.com/homeostat/homeostat/pkg/condition"
	"github.com/homeostat/homeostat/pkg/connect"
)

// options are the parsed flags.
type options struct {
	etcd connect.Options

	prefix, key, match string
	rev                int64
	resume             string

	ops    map[string]bool // empty: all
	where  string
	window time.Duration
	format string

	// Compiled from the flags above.
	selection keys.Selection
	condition *condition.Condition // nil: none
}

const usage = `Usage: watch [flags]

Prints each change of keys in an etcd, from now on or from a revision, until it
is interrupted:

  PUT key="/mykey" value="updated_value" mod_revision=5 length=13
  DELETE key="/mykey" mod_revision=6

After a lost connection it continues without a gap or a repeat.

  watch --prefix /registry/core/pods/ --op create,delete
  watch --match '/registry/*/deployments/**' --resume deployments.pos -o json
  watch --where 'old.status.phase == "Pending" && new.status.phase == "Failed"'
  watch --where 'key.matches("^/config/[0-9]+$") && value.size() > 1000'

Exit status: 0 when interrupted, 1 when it cannot continue, 2 for wrong usage.

`

// parseFlags returns the options. For -help it prints the usage and returns
// flag.ErrHelp; it prints no other error.
func parseFlags(args []string, out io.Writer) (options, error) {
	o := options{ops: map[string]bool{}}
	flags := flag.NewFlagSet("watch", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	o.connectionFlags(flags)
	o.keyFlags(flags)
	o.filterFlags(flags)
	flags.DurationVar(&o.window, "window", 0, "print changes in batches, with one change for each key. A batch ends when no change has come for this `time`,\n"+
		"or after ten times as long")
	flags.StringVar(&o.format, "o", "line", "the `format`: "+strings.Join(show.Formats(), ", "))
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			flags.SetOutput(out)
			fmt.Fprint(out, usage)
			flags.PrintDefaults()
		}
		return o, err
	}
	return o, o.check(flags.Args())
}

// connectionFlags adds the flags of [connect.Options]. Its --key becomes --cert-key,
// because --key is an etcd key here.
func (o *options) connectionFlags(flags *flag.FlagSet) {
	usual := flag.NewFlagSet("", flag.ContinueOnError)
	o.etcd.Flags(usual)
	usual.VisitAll(func(f *flag.Flag) {
		if f.Name == "key" {
			f.Name = "cert-key"
		}
		flags.Var(f.Value, f.Name, f.Usage)
	})
}

func (o *options) keyFlags(flags *flag.FlagSet) {
	flags.StringVar(&o.prefix, "prefix", "", "follow the keys with this `prefix` (default all keys)")
	flags.StringVar(&o.key, "key", "", "follow this `key`")
	flags.StringVar(&o.match, "match", "", "follow the keys that match a `pattern` from beginning to end: * matches anything up to a slash,\n"+
		"** anything, ? one character, and \\ takes the next character literally")
	flags.Int64Var(&o.rev, "rev", 0, "start with the changes of this `revision`; 0 means from now on")
	flags.StringVar(&o.resume, "resume", "", "keep the position in this `file`, and continue there if the file exists; --rev then counts for\n"+
		"the first run only. After an interrupt the next run continues without a gap or a repeat. After\n"+
		"a kill it has no gap, but may print the last second of changes, or the last batch, again.\n"+
		"Two programs must not share a file")
}

func (o *options) filterFlags(flags *flag.FlagSet) {
	flags.Func("op", "print only these `operations`: put (create and update), create, update, delete; comma-separated or repeated", o.addOps)
	flags.StringVar(&o.where, "where", "", "print only the changes that meet a `condition` in CEL. It can use old and new (the values as JSON;\n"+
		"null if absent or not JSON), op, key, value and revision. A change does not meet it if a\n"+
		"field that the condition needs is missing")
}

func (o *options) addOps(s string) error {
	for _, op := range connect.List(s) {
		switch op {
		case "put":
			o.ops[condition.OpCreate], o.ops[condition.OpUpdate] = true, true
		case condition.OpCreate, condition.OpUpdate, condition.OpDelete:
			o.ops[op] = true
		default:
			return fmt.Errorf("%q is not one of put, create, update, delete", op)
		}
	}
	return nil
}

func (o *options) check(rest []string) error {
	chosen := slices.DeleteFunc([]string{o.prefix, o.key, o.match}, func(s string) bool { return s == "" })
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case len(chosen) > 1:
		return fmt.Errorf("give only one of --prefix, --key and --match")
	case o.rev < 0:
		return fmt.Errorf("--rev must not be negative")
	case o.window < 0:
		return fmt.Errorf("--window must not be negative")
	case !slices.Contains(show.Formats(), o.format):
		return fmt.Errorf("-o: %q is not one of %s", o.format, strings.Join(show.Formats(), ", "))
	}
	if err := o.etcd.Check(); err != nil {
		return err
	}
	return o.compile()
}

// compile sets the selection and the condition.
func (o *options) compile() (err error) {
	switch {
	case o.key != "":
		o.selection = keys.Key(o.key)
	case o.match != "":
		if o.selection, err = keys.Glob(o.match); err != nil {
			return fmt.Errorf("--match: %w", err)
		}
	default:
		o.selection = keys.Prefix(o.prefix)
	}
	if o.where != "" {
		if o.condition, err = condition.Compile(o.where); err != nil {
			return fmt.Errorf("--where: %w", err)
		}
	}
	return nil
}
