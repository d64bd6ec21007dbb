package patterns

import (
	"context"
	"time"

	"github.com/homeostat/homeostat/pkg/controller"
)

func (s *servers) create(ctx context.Context, tx *controller.Tx, server *Server) (controller.Result, error) {
	if server.Status.Operation == "" {
		if server.Status.Image != "" {
			return controller.Result{}, nil
		}
		operation, err := s.cloud.Start(ctx, string(server.UID), server.Spec.Image)
		if err != nil {
			return controller.Result{}, err
		}
		server.Status.Operation = operation
		tx.UpdateStatus(server)
		return controller.Result{RequeueAfter: pollInterval}, nil
	}
	done, err := s.cloud.Done(ctx, server.Status.Operation)
	if err != nil || !done {
		return controller.Result{RequeueAfter: pollInterval}, err
	}
	server.Status.Operation, server.Status.Image = "", server.Spec.Image
	tx.UpdateStatus(server)
	return controller.Result{}, nil
}

func addCreate(m *controller.Manager, s *servers) (*controller.Controller[controller.Request], error) {
	return controller.New(m, "create", s.create, controller.Options{Workers: 16, Timeout: 30 * time.Second})
}
