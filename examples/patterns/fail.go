package patterns

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
)

func (s *servers) createOrReport(ctx context.Context, tx *controller.Tx, server *Server) (controller.Result, error) {
	created := metav1.Condition{Type: "Created", Status: metav1.ConditionTrue, Reason: "Created"}
	_, err := s.cloud.Start(ctx, string(server.UID), server.Spec.Image)
	if err != nil {
		created.Status, created.Reason, created.Message = metav1.ConditionFalse, "CloudFailed", err.Error()
	}
	tx.SetCondition(server, &server.Status.Conditions, created)
	if err != nil {
		return controller.Result{}, tx.Fail(ctx, err)
	}
	return controller.Result{}, nil
}
