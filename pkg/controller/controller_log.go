package controller

import (
	"sync"

	"github.com/go-logr/logr"
)

// logFor returns the logger of a reconcile. It formats the causes when it writes its
// first line, since most reconciles log nothing.
func (r *run[R]) logFor(key R, causes *causes) logr.Logger {
	id := r.controller.reconciles.Add(1)
	return lazyLogger(r.controller.log, func() []any {
		values := []any{"key", key, "reconcile", id}
		if causes != nil {
			values = append(values, "causes", causesText(causes))
		}
		return values
	})
}

// lazyLogger returns a logger with values. It calls the function that returns them at
// most once, when a line is written.
func lazyLogger(base logr.Logger, values func() []any) logr.Logger {
	if base.GetSink() == nil {
		return base
	}
	full := sync.OnceValue(func() logr.Logger { return base.WithValues(values()...) })
	return base.WithSink(&lazySink{base.GetSink(), full})
}

// lazySink passes everything on to the logger that has the values.
type lazySink struct {
	base logr.LogSink
	full func() logr.Logger
}

func (s *lazySink) Init(logr.RuntimeInfo)  {} // the base was initialized already
func (s *lazySink) Enabled(level int) bool { return s.base.Enabled(level) }

func (s *lazySink) Info(level int, msg string, keysAndValues ...any) {
	s.full().WithCallDepth(1).GetSink().Info(level, msg, keysAndValues...)
}

func (s *lazySink) Error(err error, msg string, keysAndValues ...any) {
	s.full().WithCallDepth(1).GetSink().Error(err, msg, keysAndValues...)
}

func (s *lazySink) WithValues(keysAndValues ...any) logr.LogSink {
	return s.full().WithValues(keysAndValues...).GetSink()
}

func (s *lazySink) WithName(name string) logr.LogSink {
	return s.full().WithName(name).GetSink()
}

func (s *lazySink) WithCallDepth(depth int) logr.LogSink {
	return s.full().WithCallDepth(depth).GetSink()
}
