package patterns

import (
	"context"
	"fmt"

	"github.com/homeostat/homeostat/pkg/controller"
)

// pay pays once for each generation of a server.
func (s *servers) pay(ctx context.Context, tx *controller.Tx, server *Server) (controller.Result, error) {
	if server.Status.Paid == server.Generation {
		return controller.Result{}, nil
	}
	token := fmt.Sprintf("%s-%d", server.UID, server.Generation)
	receipt, err := s.cloud.Pay(ctx, token, server.Spec.Price)
	if err != nil {
		return controller.Result{}, err
	}
	server.Status.Paid, server.Status.Receipt = server.Generation, receipt
	tx.UpdateStatus(server)
	return controller.Result{}, nil
}
