package main

import (
	"context"
	"maps"
	"time"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/progress"
	"github.com/homeostat/homeostat/pkg/store"
)

// drawInterval is the pause between two draws.
const drawInterval = 250 * time.Millisecond

// board keeps the screen up to date. It looks only at Deployments that have changed.
type board struct {
	program *program
	dirty   *dirtyKeys
}

// run draws changes, a few times a second, until ctx is done.
func (b *board) run(ctx context.Context) error {
	defer b.program.view.watch(b.dirty)()
	for ctx.Err() == nil {
		select {
		case <-b.dirty.wake:
			b.draw()
		case <-ctx.Done():
		}
		select {
		case <-time.After(drawInterval):
		case <-ctx.Done():
		}
	}
	b.draw()
	return nil
}

// draw shows what has changed since the last draw. It may be called concurrently with run.
func (b *board) draw() {
	keys := b.dirty.take()
	if b.program.onlyNamed() {
		maps.DeleteFunc(keys, func(key store.Key, _ struct{}) bool { return !b.program.named[key] })
	}
	if len(keys) > 0 {
		b.program.screen.show(func() progress.State { return b.program.view.state(keys) })
	}
}
