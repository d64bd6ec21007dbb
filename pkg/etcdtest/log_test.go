package etcdtest

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"go.uber.org/zap"
)

func TestLog(t *testing.T) {
	var got []string
	to := funcr.New(func(prefix, args string) { got = append(got, args) }, funcr.Options{})
	lg, mute := newLog(to)

	lg.Warn("dull")
	lg.With(zap.Int("n", 1)).Error("bad", zap.Error(errors.New("cause")), zap.String("s", "x"))
	mute.Store(true)
	lg.Error("expected")

	if len(got) != 1 {
		t.Fatalf("logged %q", got)
	}
	for _, part := range []string{`"bad"`, `"error"="cause"`, `"n"=1`, `"s"="x"`} {
		if !strings.Contains(got[0], part) {
			t.Errorf("%q lacks %s", got[0], part)
		}
	}
}

func TestFatalPanics(t *testing.T) {
	for _, to := range []logr.Logger{{}, logr.Discard()} {
		lg, _ := newLog(to)
		func() {
			defer func() {
				if r := recover(); r != "the end" {
					t.Errorf("recovered %v", r)
				}
			}()
			lg.Fatal("the end")
		}()
	}
}
