package patterns

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Beat runs in the agent of a server, every 10 seconds.
func Beat(ctx context.Context, s *store.Store, server store.Key) error {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: server.Namespace, Name: server.Name}}
	there, err := store.Get[*coordinationv1.Lease](ctx, s, server)
	t := s.Txn()
	switch {
	case apierrors.IsNotFound(err):
		t.Create(lease)
	case err != nil:
		return err
	default:
		lease = there
	}
	t.Expire(lease, 40*time.Second)
	_, err = t.Commit(ctx)
	return err
}

func alive(_ context.Context, tx *controller.Tx, server *Server) (controller.Result, error) {
	c := metav1.Condition{Type: "Alive", Status: metav1.ConditionFalse, Reason: "NoHeartbeat"}
	if _, ok := controller.Get[*coordinationv1.Lease](tx, store.KeyOf(server)); ok {
		c.Status, c.Reason = metav1.ConditionTrue, "Heartbeat"
	}
	tx.SetCondition(server, &server.Status.Conditions, c)
	return controller.Result{}, nil
}

func addAlive(m *controller.Manager) (*controller.Controller[controller.Request], error) {
	sameName := func(_ context.Context, lease *coordinationv1.Lease) []controller.Request {
		return []controller.Request{{Key: store.KeyOf(lease)}}
	}
	return controller.New(m, "alive", alive, controller.Options{}, controller.Watches(sameName,
		informer.Operations[*coordinationv1.Lease](informer.Create, informer.Delete)))
}
