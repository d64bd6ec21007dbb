// Command bench compares homeostat with client-go's reflector and shared informer,
// and both with etcd's client alone, on the same etcd:
//
//	go run -C hack/bench . [--run REGEXP] [--scale small|full] [--rounds N] [--json FILE] [--markdown FILE] [--profile DIR]
//
// It prints a table of ratios and their aims. Files are relative to hack/bench. The
// small scale takes some minutes. The full scale adds a million objects and needs
// about 16 GB. docs/performance.md describes the method and has the figures.
//
// Every measurement runs in its own process, and so does etcd. In each round the sides
// of a comparison run one after the other. A ratio is the median over the rounds.
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
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	if len(os.Args) > 3 && os.Args[1] == taskArg {
		os.Exit(doTask(ctx, os.Args[2:]))
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the parsed flags.
type options struct {
	bench          bench
	pattern        *regexp.Regexp
	json, markdown string
}

// run measures and reports, and returns the exit status. A row that misses its aim is
// not a failure.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	report := newReport(o.bench.scale, args)
	begun := time.Now()
	report.Rows, err = o.measure(ctx)
	report.Took = time.Since(begun).Round(time.Second).String()
	if err == nil || len(report.Rows) > 0 { // report what was measured before a failure
		err = errors.Join(err, o.write(report, stdout))
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

// parse parses the flags. It prints an error before it returns it.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{bench: bench{progress: stderr}}
	var pattern, name string
	var rounds int
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&pattern, "run", "", "run only the scenarios whose names match a `regexp`: "+scenarioNames())
	flags.StringVar(&name, "scale", "small", "the `scale` of the measurements: small, full, or tiny (for a quick check)")
	flags.IntVar(&rounds, "rounds", 0, "`number` of measurements of each side (default: depends on the scale)")
	flags.StringVar(&o.json, "json", "", "write the report to a `file`, as JSON")
	flags.StringVar(&o.markdown, "markdown", "", "write the report to a `file`, as Markdown")
	flags.StringVar(&o.bench.profiles, "profile", "", "write CPU profiles of homeostat's side into a `directory`")
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
		err = fmt.Errorf("unknown scale %q", name)
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return nil, err
	}
	o.bench.scale = all[i]
	if rounds > 0 {
		o.bench.scale.rounds = rounds
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
	if o.bench.profiles != "" {
		if err := os.MkdirAll(o.bench.profiles, 0o755); err != nil {
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
		o.bench.logf("%s took %s", s.name, time.Since(begun).Round(100*time.Millisecond))
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
