package etcdtest

import (
	"sync/atomic"

	"github.com/go-logr/logr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logCore passes zap's errors on to a logr.Logger until it is muted. An etcd that stops
// reports every listener that it closes as an error.
type logCore struct {
	to     logr.Logger
	fields []zapcore.Field
	muted  *atomic.Bool
}

// newLog returns a logger for etcd, and the switch that mutes it. Fatal panics rather than
// ends the process, so that the reason is seen even when the log is silent.
func newLog(to logr.Logger) (*zap.Logger, *atomic.Bool) {
	muted := new(atomic.Bool)
	core := &logCore{to: to, muted: muted}
	return zap.New(core, zap.WithFatalHook(zapcore.WriteThenPanic)), muted
}

func (c *logCore) Enabled(l zapcore.Level) bool {
	return l >= zapcore.ErrorLevel && !c.muted.Load()
}

func (c *logCore) With(fields []zapcore.Field) zapcore.Core {
	all := append(append([]zapcore.Field{}, c.fields...), fields...)
	return &logCore{to: c.to, fields: all, muted: c.muted}
}

func (c *logCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(e.Level) {
		return ce
	}
	return ce.AddCore(e, c)
}

func (c *logCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	var cause error
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range append(append([]zapcore.Field{}, c.fields...), fields...) {
		if err, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			cause = err
			continue
		}
		f.AddTo(enc)
	}
	kv := make([]any, 0, 2*len(enc.Fields))
	for k, v := range enc.Fields {
		kv = append(kv, k, v)
	}
	c.to.Error(cause, e.Message, kv...)
	return nil
}

func (c *logCore) Sync() error { return nil }
