package controller

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// newTracer returns the tracer of a manager: nil without a provider.
func newTracer(p trace.TracerProvider) trace.Tracer {
	if p == nil {
		return nil
	}
	return p.Tracer("github.com/homeostat/homeostat/pkg/controller")
}

// spans are those of one reconcile: the whole, from the key's first cause to the end
// of the reconcile, and within it the reconcile itself. They are nil without a
// tracer.
type spans struct{ whole, reconcile trace.Span }

// startSpans starts the spans of a reconcile that begins now, and records its wait.
func (c *Controller[R]) startSpans(ctx context.Context, key R, causes *causes, now time.Time) (context.Context, spans) {
	if c.manager.spanTracer() == nil {
		return ctx, spans{}
	}
	since := trace.WithTimestamp(causes.Since)
	ctx, whole := c.manager.spanTracer().Start(ctx, c.name, since, trace.WithNewRoot())
	whole.SetAttributes(
		attribute.String("homeostat.controller", c.name),
		attribute.String("homeostat.key", fmt.Sprint(key)),
		attribute.StringSlice("homeostat.causes", causeStrings(causes)),
		attribute.Int("homeostat.causes.total", causes.Total),
	)
	_, wait := c.manager.spanTracer().Start(ctx, "queue", since)
	wait.End(trace.WithTimestamp(now))
	ctx, reconcile := c.manager.spanTracer().Start(ctx, "reconcile", trace.WithTimestamp(now))
	return ctx, spans{whole, reconcile}
}

// end ends the spans of a reconcile with this label. Only a failure is an error; lost
// races and stops are normal.
func (s spans) end(label string, result Result, err error) {
	if s.whole == nil {
		return
	}
	s.whole.SetAttributes(attribute.String("homeostat.result", label))
	if result.RequeueAfter > 0 {
		s.reconcile.SetAttributes(attribute.String("homeostat.requeue_after", result.RequeueAfter.String()))
	}
	switch {
	case label == resultError:
		s.reconcile.RecordError(err)
		s.reconcile.SetStatus(codes.Error, err.Error())
		s.whole.SetStatus(codes.Error, err.Error())
	case err != nil:
		s.reconcile.SetAttributes(attribute.String("homeostat.reason", err.Error()))
	}
	s.reconcile.End()
	s.whole.End()
}
