package patterns

import (
	"context"

	"github.com/homeostat/homeostat/pkg/controller"
)

const finalizer = "example.com/machine"

func (s *servers) createAndDelete(ctx context.Context, tx *controller.Tx, server *Server) (controller.Result, error) {
	if server.DeletionTimestamp != nil {
		if err := s.cloud.Delete(ctx, string(server.UID)); err != nil {
			return controller.Result{}, err
		}
		tx.RemoveFinalizer(server, finalizer)
		return controller.Result{}, nil
	}
	if tx.AddFinalizer(server, finalizer) {
		return controller.Result{}, nil // commit the finalizer; the next reconcile creates the machine
	}
	_, err := s.cloud.Start(ctx, string(server.UID), server.Spec.Image)
	return controller.Result{}, err
}
