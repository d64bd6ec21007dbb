package main

import (
	"bufio"
	"fmt"
	"time"

	"github.com/homeostat/homeostat/examples/watch/internal/batch"
	"github.com/homeostat/homeostat/examples/watch/internal/show"
	"github.com/homeostat/homeostat/examples/watch/internal/stream"
)

// output prints changes, at once or in batches.
type output struct {
	writer  *bufio.Writer
	printer show.Printer
	batch   *batch.Batch // nil: at once
	due     *time.Timer  // runs while something is collected

	at      stream.Position // what was taken
	printed stream.Position // what is printed, or needs not be: never beyond at
}

func newOutput(o options, writer *bufio.Writer) *output {
	out := &output{writer: writer, due: stopped()}
	out.printer, _ = show.New(o.format, writer) // the format was checked
	if o.window > 0 {
		out.batch = &batch.Batch{Window: o.window}
	}
	return out
}

// step takes a step of the stream: whole revisions.
func (o *output) step(step stream.Step, f *filter) error {
	for _, ev := range step.Events {
		c, ok := f.pass(ev)
		if !ok {
			continue
		}
		if o.batch == nil {
			if err := o.printer.Change(c); err != nil {
				return fmt.Errorf("print: %w", err)
			}
			continue
		}
		o.batch.Add(c, time.Now())
	}
	o.at = step.Position
	if o.batch == nil || o.batch.Empty() {
		return o.flush()
	}
	left := time.Until(o.batch.Due())
	if left <= 0 {
		return o.deliver()
	}
	o.due.Reset(left)
	return nil
}

// flush makes printed what was taken.
func (o *output) flush() error {
	if err := o.writer.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	o.printed = o.at
	return nil
}

// deliver prints what was collected.
func (o *output) deliver() error {
	o.due.Stop()
	if err := o.printer.Batch(o.batch.Take(), o.at.Revision); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return o.flush()
}

// finish prints what is left.
func (o *output) finish() error {
	if o.batch != nil && !o.batch.Empty() {
		return o.deliver()
	}
	return o.flush()
}
