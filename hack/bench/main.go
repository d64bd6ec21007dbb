// Command bench compares this project with client-go's reflector and shared
// informer, and both with etcd's client alone, on one etcd:
//
//	go run -C hack/bench . [--run REGEXP] [--scale small|full] [--rounds N] [--json FILE] [--markdown FILE] [--profile DIR]
//
// It prints a table of ratios, each beside its aim. Files are relative to
// hack/bench. The small scale takes some
// minutes; the full one has a million objects too, and needs about 16 GB. What is
// measured stands in docs/performance.md.
//
// Every measurement runs in a process of its own, and so does etcd. The sides of
// a comparison are measured in turn, round after round; a ratio is the median of
// those of the rounds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	if len(os.Args) > 3 && os.Args[1] == taskArg {
		os.Exit(doTask(ctx, os.Args[2:]))
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are what the command line says.
type options struct {
	bench
	pattern        *regexp.Regexp
	json, markdown string
}

// run measures and reports, and returns the exit code. A row that misses its aim
// is no failure.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	report := newReport(o.scale, args)
	begun := time.Now()
	report.Rows, err = o.measure(ctx)
	report.Took = time.Since(begun).Round(time.Second).String()
	if err == nil || len(report.Rows) > 0 { // what was measured before a failure counts
		err = errors.Join(err, o.write(report, stdout))
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

// parse prints what is wrong with the arguments before it returns an error.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{bench: bench{progress: stderr}}
	var pattern, name string
	var rounds int
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&pattern, "run", "", "run only the scenarios whose names match a `regexp`: "+scenarioNames())
	flags.StringVar(&name, "scale", "small", "`how much` to measure: small, full or, to see that it works, tiny")
	flags.IntVar(&rounds, "rounds", 0, "how `often` each side is measured (default: as the scale says)")
	flags.StringVar(&o.json, "json", "", "write the report to a `file`, as JSON")
	flags.StringVar(&o.markdown, "markdown", "", "write the report to a `file`, as Markdown")
	flags.StringVar(&o.profiles, "profile", "", "write CPU profiles of this project's side into a `directory`")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	var err error
	o.pattern, err = regexp.Compile(pattern)
	if flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	all := scales()
	i := slices.IndexFunc(all, func(s scale) bool { return s.name == name })
	if err == nil && i < 0 {
		err = fmt.Errorf("there is no scale %q", name)
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return nil, err
	}
	o.scale = all[i]
	if rounds > 0 {
		o.scale.rounds = rounds
	}
	return o, nil
}

func scenarioNames() string {
	names := ""
	for i, s := range scenarios() {
		if i > 0 {
			names += ", "
		}
		names += s.name
	}
	return names
}

func (o *options) measure(ctx context.Context) ([]Row, error) {
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return nil, err
		}
	}
	var all []Row
	for _, s := range scenarios() {
		if !o.pattern.MatchString(s.name) {
			continue
		}
		begun := time.Now()
		rows, err := s.run(ctx, &o.bench)
		if err != nil {
			return all, fmt.Errorf("%s: %w", s.name, err)
		}
		for i := range rows {
			rows[i].Scenario = s.name
		}
		all = append(all, rows...)
		o.logf("%s took %s", s.name, time.Since(begun).Round(100*time.Millisecond))
	}
	return all, nil
}

func (o *options) write(r Report, stdout io.Writer) error {
	if err := r.writeMarkdown(stdout); err != nil {
		return err
	}
	if err := toFile(o.markdown, r.writeMarkdown); err != nil {
		return err
	}
	return toFile(o.json, r.writeJSON)
}

func toFile(path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
