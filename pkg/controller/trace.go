package controller

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// newTracer returns what spans are made with: nil without a provider.
func newTracer(p trace.TracerProvider) trace.Tracer {
	if p == nil {
		return nil
	}
	return p.Tracer("github.com/homeostat/homeostat/pkg/controller")
}

// spans are those of one reconcile: the whole, from the key's first cause to the
// reconcile's end, and within it the wait and the reconcile itself. They are nil
// where nothing is traced.
type spans struct{ whole, reconcile trace.Span }

// startSpans begins the spans of a reconcile that begins now.
func (r *run[R]) startSpans(ctx context.Context, key R, why *reasons, now time.Time) (context.Context, spans) {
	if r.manager.tracer == nil {
		return ctx, spans{}
	}
	since := trace.WithTimestamp(time.Unix(0, why.since))
	ctx, whole := r.manager.tracer.Start(ctx, r.name, since, trace.WithNewRoot())
	whole.SetAttributes(
		attribute.String("homeostat.controller", r.name),
		attribute.String("homeostat.key", fmt.Sprint(key)),
		attribute.StringSlice("homeostat.causes", why.strings()),
		attribute.Int("homeostat.causes.total", why.total),
	)
	_, wait := r.manager.tracer.Start(ctx, "queue", since)
	wait.End(trace.WithTimestamp(now))
	ctx, reconcile := r.manager.tracer.Start(ctx, "reconcile", trace.WithTimestamp(now))
	return ctx, spans{whole, reconcile}
}

// end ends the spans of a reconcile with this label. Only a failure is an error: a
// lost race and a stop are what goes on all the time.
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
