package patterns

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// disks gives a server a claim for each disk.
func disks(_ context.Context, tx *controller.Tx, server *Server) (controller.Result, error) {
	claims := make([]*corev1.PersistentVolumeClaim, len(server.Spec.Disks))
	for i, disk := range server.Spec.Disks {
		claims[i] = &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: server.Name + "-" + disk}}
	}
	tx.AllowSplit()
	_, err := controller.Apply(tx, server, claims...)
	return controller.Result{}, err
}

// addDisks reconciles all servers that name a ConfigMap when that changes.
func addDisks(m *controller.Manager) (*controller.Controller[controller.Request], error) {
	servers, err := informer.For[*Server](m.Replica())
	if err != nil {
		return nil, err
	}
	byConfig := servers.AddIndex(func(s *Server) []string { return []string{s.Namespace + "/" + s.Spec.Config} })
	users := func(_ context.Context, config *corev1.ConfigMap) (keys []controller.Request) {
		for server := range byConfig.Lookup(m.Replica().Snapshot(), store.KeyOf(config).String()) {
			keys = append(keys, controller.Request{Key: store.KeyOf(server)})
		}
		return keys
	}
	return controller.New(m, "disks", disks, controller.Options{},
		controller.Owns[*corev1.PersistentVolumeClaim](), controller.Watches(users))
}
