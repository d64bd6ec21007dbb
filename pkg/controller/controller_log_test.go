package controller

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

func TestLazyLogger(t *testing.T) {
	for name, test := range map[string]struct {
		log  func(logr.Logger)
		want []string // in the line, in this order
	}{
		"info":                 {func(l logr.Logger) { l.Info("hello", "x", 1) }, []string{`"level"=0`, `"msg"="hello"`, `"a"=1`, `"x"=1`}},
		"error":                {func(l logr.Logger) { l.Error(errors.New("no"), "hello") }, []string{`"error"="no"`, `"a"=1`}},
		"verbose":              {func(l logr.Logger) { l.V(1).Info("hello") }, []string{`"level"=1`, `"a"=1`}},
		"with values":          {func(l logr.Logger) { l.WithValues("b", 2).Info("hello") }, []string{`"a"=1`, `"b"=2`}},
		"with a name":          {func(l logr.Logger) { l.WithName("n").Info("hello") }, []string{`"logger"="base/n"`, `"a"=1`}},
		"with a call depth":    {func(l logr.Logger) { func() { l.WithCallDepth(1).Info("hello") }() }, []string{`"a"=1`}},
		"too verbose":          {func(l logr.Logger) { l.V(2).Info("hello") }, nil},
		"derived, but no line": {func(l logr.Logger) { l.V(2).WithValues("b", 2).Info("hello") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			asked, lines := 0, []string{}
			base := funcr.NewJSON(func(line string) { lines = append(lines, line) }, funcr.Options{Verbosity: 1, LogCaller: funcr.All}).WithName("base")
			l := lazyLogger(base, func() []any { asked++; return []any{"a", 1} })
			if test.log(l); len(test.want) == 0 {
				if len(lines) > 0 {
					t.Fatalf("got %v", lines)
				}
				return
			}
			test.log(l)
			if len(lines) != 2 || asked != 1 || lines[0] != lines[1] {
				t.Fatalf("asked %d times for %v", asked, lines)
			}
			for _, want := range append(test.want, "controller_log_test.go") {
				if !strings.Contains(strings.ReplaceAll(lines[0], ":", "="), want) {
					t.Errorf("no %s in %s", want, lines[0])
				}
			}
		})
	}
}

func TestLazyLoggerIsNotAsked(t *testing.T) {
	never := func() []any { t.Error("it was asked for its values"); return nil }
	base := funcr.New(func(_, _ string) {}, funcr.Options{})
	if lazyLogger(base, never).V(1).Enabled() || lazyLogger(logr.Discard(), never).Enabled() {
		t.Error("it is enabled where its base is not")
	}
	lazyLogger(logr.Discard(), never).Info("hello")
	lazyLogger(base, never).V(1).Info("hello")
}
