package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/examples/watch/internal/record"
	"github.com/homeostat/homeostat/examples/watch/internal/stream"
	"github.com/homeostat/homeostat/pkg/etcd"
)

// recordInterval is the shortest time between two records of the position.
const recordInterval = time.Second

// program is one run of the command.
type program struct {
	options options
	say     func(what string)
	filter  *filter
	output  *output

	cluster  uint64
	recorded int64 // the revision in the --resume file
	saving   *time.Timer
	armed    bool // saving is running: there is something to record
}

func newProgram(o options, stdout io.Writer, say func(string)) *program {
	return &program{
		options: o, say: say,
		filter: &filter{options: o, say: say},
		output: newOutput(o, bufio.NewWriterSize(stdout, 64<<10)),
		saving: stoppedTimer(),
	}
}

// stoppedTimer returns a timer that is not running.
func stoppedTimer() *time.Timer {
	timer := time.NewTimer(0)
	timer.Stop()
	return timer
}

func (p *program) run(ctx context.Context) error {
	client, header, err := dial(ctx, p.options)
	if err != nil {
		if ctx.Err() != nil {
			return nil // interrupted while connecting
		}
		return err
	}
	defer client.Close()
	from, err := p.start(header)
	if err != nil {
		return err
	}
	p.say(fmt.Sprintf("following %s from revision %d on", p.options.selection, from.Revision+1))
	err = p.follow(ctx, client, from)
	p.filter.summarize()
	return p.explain(err)
}

// start chooses the starting position and records it.
func (p *program) start(now *clientv3.GetResponse) (stream.Position, error) {
	p.cluster = now.Header.ClusterId
	from, err := p.recordedPosition(now)
	switch {
	case err != nil:
		return from, err
	case from.Revision > 0:
	case p.options.rev == 0:
		from.Revision = now.Header.Revision
	case p.options.rev > now.Header.Revision+1:
		return from, fmt.Errorf("--rev %d is in the future: etcd is at revision %d", p.options.rev, now.Header.Revision)
	default:
		from.Revision = p.options.rev - 1
	}
	p.output.at, p.output.printed = from, from
	return from, p.record()
}

// recordedPosition returns the position in the --resume file, or the zero Position
// if there is none.
func (p *program) recordedPosition(now *clientv3.GetResponse) (stream.Position, error) {
	if p.options.resume == "" {
		return stream.Position{}, nil
	}
	r, ok, err := record.Read(p.options.resume)
	if !ok || err != nil {
		return stream.Position{}, err
	}
	if err := r.Fits(p.cluster, p.options.selection.Range, now.Header.Revision); err != nil {
		return stream.Position{}, fmt.Errorf("the record in %s %w; name another file, or remove this one to start over", p.options.resume, err)
	}
	p.recorded = r.Position.Revision
	return r.Position, nil
}

// follow prints the stream's changes until the stream ends or ctx is done. Before
// it returns, it prints the unfinished batch and records the position.
func (p *program) follow(ctx context.Context, client *clientv3.Client, from stream.Position) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &stream.Stream{
		Client: client, Range: p.options.selection.Range, Cluster: p.cluster, From: from,
		Old: p.filter.needsOld(), Report: p.say,
	}
	steps, ended := stream.NewSteps(), make(chan error, 1)
	go func() { ended <- s.Run(ctx, steps) }()
	err := p.print(ctx, steps)
	cancel()
	if err == nil {
		err = p.output.finish()
	}
	if err == nil {
		err = p.record()
	}
	return errors.Join(err, <-ended)
}

func (p *program) print(ctx context.Context, steps stream.Steps) error {
	for {
		var err error
		select {
		case step, ok := <-steps:
			if !ok {
				return nil
			}
			err = p.output.step(step, p.filter)
			step.Done()
			p.recordSoon()
		case <-p.output.due.C:
			err = p.output.deliver()
			p.recordSoon()
		case <-p.saving.C:
			err = p.record()
		case <-ctx.Done():
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// recordSoon schedules a record of the position within recordInterval.
func (p *program) recordSoon() {
	if p.options.resume != "" && p.recorded < p.output.printed.Revision && !p.armed {
		p.armed = true
		p.saving.Reset(recordInterval)
	}
}

// record writes the printed position to the --resume file.
func (p *program) record() error {
	p.armed = false
	if p.options.resume == "" || p.recorded == p.output.printed.Revision {
		return nil
	}
	p.recorded = p.output.printed.Revision
	return record.Write(p.options.resume, record.Record{
		Cluster: p.cluster, Range: p.options.selection.Range, Position: p.output.printed,
	})
}

// explain adds to an error about compacted revisions what the user can do.
func (p *program) explain(err error) error {
	var compacted *etcd.CompactedError
	if !errors.As(err, &compacted) {
		return err
	}
	next := p.output.at.Revision + 1
	if p.options.resume == "" {
		return fmt.Errorf("revision %d is compacted; the oldest left is %d: use --rev %d to start there",
			next, compacted.Revision, compacted.Revision)
	}
	return fmt.Errorf("revision %d, where %s continues, is compacted; the oldest left is %d, and the changes between them are lost: remove the file and use --rev %d to start there",
		next, p.options.resume, compacted.Revision, compacted.Revision)
}
