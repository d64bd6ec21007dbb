package patterns

import (
	"context"
	"maps"
	"slices"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// number gives a server a number that no other server of its pool has.
func number(_ context.Context, tx *controller.Tx, server *Server) (controller.Result, error) {
	pool, ok := controller.Get[*Pool](tx, store.Key{Namespace: server.Namespace, Name: server.Spec.Pool})
	if !ok || pool.Status.Numbers[server.Name] != 0 {
		return controller.Result{}, nil
	}
	pool = pool.DeepCopy()
	maps.DeleteFunc(pool.Status.Numbers, func(name string, _ int) bool {
		_, exists := controller.Get[*Server](tx, store.Key{Namespace: pool.Namespace, Name: name})
		return !exists
	})
	taken := slices.Collect(maps.Values(pool.Status.Numbers))
	free := 1
	for slices.Contains(taken, free) {
		free++
	}
	if pool.Status.Numbers == nil {
		pool.Status.Numbers = map[string]int{}
	}
	pool.Status.Numbers[server.Name] = free
	tx.UpdateStatus(pool) // is refused if another server took a number since
	return controller.Result{}, nil
}

func addNumber(m *controller.Manager) (*controller.Controller[controller.Request], error) {
	servers, err := informer.For[*Server](m.Replica())
	if err != nil {
		return nil, err
	}
	byPool := servers.AddIndex(func(s *Server) []string { return []string{s.Namespace + "/" + s.Spec.Pool} })
	members := func(_ context.Context, pool *Pool) (keys []controller.Request) {
		for server := range byPool.Lookup(m.Replica().Snapshot(), store.KeyOf(pool).String()) {
			keys = append(keys, controller.Request{Key: store.KeyOf(server)})
		}
		return keys
	}
	return controller.New(m, "number", number, controller.Options{Workers: 8},
		controller.For(informer.GenerationChanged[*Server]()),
		controller.Watches(members, informer.Operations[*Pool](informer.Create)))
}
