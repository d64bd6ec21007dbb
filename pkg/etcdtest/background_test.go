package etcdtest

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestBackgroundStopsAndWaits(t *testing.T) {
	ended := false
	t.Run("until stop", func(t *testing.T) {
		stop := Background(t, func(ctx context.Context) error {
			<-ctx.Done()
			ended = true
			return nil
		})
		stop()
		if !ended {
			t.Fatal("stop did not wait")
		}
		stop()
	})
	ended = false
	t.Run("until the test ends", func(t *testing.T) {
		Background(t, func(ctx context.Context) error {
			<-ctx.Done()
			ended = true
			return nil
		})
	})
	if !ended {
		t.Fatal("the test's end did not wait")
	}
}

// noted is a test that records its failure.
type noted struct{ *testing.T }

type failure string

func (noted) Fatalf(format string, args ...any) { panic(failure(format)) }

func TestBackgroundFailsTheTest(t *testing.T) {
	defer func() {
		if p, ok := recover().(failure); !ok || !strings.Contains(string(p), "failed") {
			t.Fatalf("got %v", p)
		}
	}()
	Background(noted{t}, func(context.Context) error { return errors.New("broken") })()
}
