package main

import (
	"bufio"
	"fmt"
	"time"

	"github.com/homeostat/homeostat/examples/watch/internal/batch"
	"github.com/homeostat/homeostat/examples/watch/internal/show"
	"github.com/homeostat/homeostat/examples/watch/internal/stream"
)

// output prints changes, one by one or in batches.
type output struct {
	writer  *bufio.Writer
	printer show.Printer
	batch   *batch.Batch // nil without --window
	due     *time.Timer  // runs while the batch has changes

	at      stream.Position // the end of the last step
	printed stream.Position // everything up to here is printed or filtered out; never after at
}

func newOutput(o options, writer *bufio.Writer) *output {
	out := &output{writer: writer, due: stoppedTimer()}
	out.printer, _ = show.New(o.format, writer) // the format was checked
	if o.window > 0 {
		out.batch = &batch.Batch{Window: o.window}
	}
	return out
}

// step prints or collects the changes of one step.
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

// flush writes the buffer and moves printed to at.
func (o *output) flush() error {
	if err := o.writer.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	o.printed = o.at
	return nil
}

// deliver prints the batch.
func (o *output) deliver() error {
	o.due.Stop()
	if err := o.printer.Batch(o.batch.Take(), o.at.Revision); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return o.flush()
}

// finish prints the unfinished batch, if any.
func (o *output) finish() error {
	if o.batch != nil && !o.batch.Empty() {
		return o.deliver()
	}
	return o.flush()
}
