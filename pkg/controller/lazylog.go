package controller

import (
	"sync"

	"github.com/go-logr/logr"
)

// logOf returns the logger of a reconcile. What it says of the reconcile is
// worked out at its first line: most reconciles log nothing.
func (r *run[R]) logOf(key R, why *reasons) logr.Logger {
	id := r.ids.Add(1)
	return lazyLogger(r.log, func() []any {
		values := []any{"key", key, "reconcile", id}
		if why.total > 0 {
			values = append(values, "causes", why.String())
		}
		return values
	})
}

// lazyLogger returns a logger with values that are asked for at most once, when
// it is used first.
func lazyLogger(base logr.Logger, values func() []any) logr.Logger {
	if base.GetSink() == nil {
		return base
	}
	full := sync.OnceValue(func() logr.Logger { return base.WithValues(values()...) })
	return base.WithSink(&lazySink{base.GetSink(), full})
}

// lazySink hands everything on to the logger that has the values.
type lazySink struct {
	base logr.LogSink
	full func() logr.Logger
}

func (s *lazySink) Init(logr.RuntimeInfo)  {} // the base was told
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
