package patterns

import (
	"context"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// upgrade allows servers of a pool to upgrade, some at a time.
func upgrade(_ context.Context, tx *controller.Tx, pool *Pool) (controller.Result, error) {
	var waiting []*Server
	upgrading := 0
	for server := range controller.List[*Server](tx, informer.ListOptions{Namespace: pool.Namespace}) {
		switch {
		case server.Spec.Pool != pool.Name:
		case server.Status.Upgrade != "" && server.Status.Upgrade != server.Status.Image:
			upgrading++
		case server.Status.Image != server.Spec.Image:
			waiting = append(waiting, server)
		}
	}
	room := max(0, pool.Spec.MaxUpgrading-upgrading)
	for _, server := range waiting[:min(room, len(waiting))] {
		server = server.DeepCopy()
		server.Status.Upgrade = server.Spec.Image
		tx.UpdateStatus(server)
	}
	tx.Unchanged(pool) // the limit, too, is as it was read
	return controller.Result{}, nil
}

func addUpgrade(m *controller.Manager) (*controller.Controller[controller.Request], error) {
	toPool := func(_ context.Context, server *Server) []controller.Request {
		return []controller.Request{{Key: store.Key{Namespace: server.Namespace, Name: server.Spec.Pool}}}
	}
	return controller.New(m, "upgrade", upgrade, controller.Options{}, controller.Watches(toPool))
}
