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

// startSpan begins an OpenTelemetry span for a transaction, as a child of the one
// in ctx and with that one's provider; where there is none, it costs nothing. end
// is told what came of it.
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
		attribute.Int("homeostat.fences", len(t.fences)))
	switch {
	case err == nil:
	case isRefusal(err), ctx.Err() == context.Canceled:
		span.SetAttributes(attribute.String("homeostat.reason", err.Error()))
	default:
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
}

// isRefusal reports whether a transaction was not committed because what is there
// is not what it was made for. Whether that is a fault only its maker knows: mostly
// somebody else was faster.
func isRefusal(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || IsFenced(err)
}
