package controller

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// SignalContext returns a context that is done when the process is asked to
// end, by an interrupt or SIGTERM. A second such signal ends it at once.
func SignalContext() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx
}
