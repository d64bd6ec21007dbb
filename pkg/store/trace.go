package store

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// tracedKeys is how many of a transaction's keys its span names.
const tracedKeys = 8

// startSpan starts an OpenTelemetry span for a transaction: a child of the span in ctx,
// from the same provider. Without a span in ctx it does nothing. end ends the span with
// the result.
func (t *Txn) startSpan(ctx context.Context) (_ context.Context, end func(revision int64, err error)) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, func(int64, error) {}
	}
	tracer := parent.TracerProvider().Tracer("github.com/homeostat/homeostat/pkg/store")
	ctx, span := tracer.Start(ctx, "etcd transaction", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("db.system.name", "etcd"),
		attribute.Int("homeostat.objects", len(t.ops)),
	))
	return ctx, func(revision int64, err error) { t.endSpan(ctx, span, revision, err) }
}

func (t *Txn) endSpan(ctx context.Context, span trace.Span, revision int64, err error) {
	defer span.End()
	var keys []string // some have none before the transaction: their names are generated
	for _, o := range t.ops[:min(len(t.ops), tracedKeys)] {
		keys = append(keys, o.etcdKey)
	}
	span.SetAttributes(attribute.StringSlice("homeostat.keys", keys), attribute.Int64("homeostat.revision", revision),
		attribute.Int("homeostat.fences", len(t.fences)), attribute.Int("homeostat.group_size", t.groupSize))
	switch {
	case err == nil:
	case isRefusal(err), ctx.Err() == context.Canceled:
		span.SetAttributes(attribute.String("homeostat.reason", err.Error()))
	default:
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
}

// isRefusal reports whether etcd refused a transaction because of the present state.
// Usually another writer was faster, so it is not a fault of its own.
func isRefusal(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || IsFenced(err)
}
