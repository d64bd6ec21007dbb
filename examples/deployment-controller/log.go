package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
)

// logSink writes lines for people to read: time, logger, message, and values.
//
//	15:04:05.000 deployment: Scaled up replica set web-5d4f from 0 to 3  key=default/web reconcile=1
type logSink struct {
	write     func(line string)
	verbosity int
	name      string // ends in ": " unless empty
	values    string // each value follows a space
}

var _ logr.LogSink = logSink{}

func (s logSink) Init(logr.RuntimeInfo)  {}
func (s logSink) Enabled(level int) bool { return level <= s.verbosity }

func (s logSink) Info(_ int, msg string, keysAndValues ...any) { s.line(msg, keysAndValues) }

func (s logSink) Error(err error, msg string, keysAndValues ...any) {
	if err != nil {
		msg += ": " + err.Error()
	}
	s.line(msg, keysAndValues)
}

func (s logSink) WithValues(keysAndValues ...any) logr.LogSink {
	s.values += valuesText(keysAndValues)
	return s
}

func (s logSink) WithName(name string) logr.LogSink {
	s.name = strings.Replace(s.name, ": ", ".", 1) + name + ": "
	return s
}

func (s logSink) line(msg string, keysAndValues []any) {
	line := time.Now().Format("15:04:05.000 ") + s.name + msg
	if values := s.values + valuesText(keysAndValues); values != "" {
		line += " " + values
	}
	s.write(line)
}

// valuesText formats keys and values. It quotes values that contain spaces or quotes.
func valuesText(keysAndValues []any) string {
	var b strings.Builder
	for i := 0; i+1 < len(keysAndValues); i += 2 {
		value := fmt.Sprint(keysAndValues[i+1])
		if value == "" || strings.ContainsAny(value, " \t\n\"") {
			value = strconv.Quote(value)
		}
		fmt.Fprintf(&b, " %v=%s", keysAndValues[i], value)
	}
	return b.String()
}
