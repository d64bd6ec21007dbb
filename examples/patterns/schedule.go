package patterns

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/controller"
)

type scheduler struct{ clock clock.PassiveClock }

// backup creates a Job each time the server's interval has passed.
func (s scheduler) backup(_ context.Context, tx *controller.Tx, server *Server) (controller.Result, error) {
	every := server.Spec.Backups.Duration
	if every <= 0 {
		return controller.Result{}, nil
	}
	last := server.Status.LastBackup.Time
	if last.IsZero() {
		last = server.CreationTimestamp.Time
	}
	now := s.clock.Now()
	missed := now.Sub(last) / every
	if missed > 0 { // one run for all that were missed
		last = last.Add(missed * every)
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
			Namespace: server.Namespace, Name: fmt.Sprintf("%s-%d", server.Name, last.Unix()),
		}}
		if err := tx.Own(server, job); err != nil {
			return controller.Result{}, err
		}
		tx.Create(job)
		server.Status.LastBackup = metav1.NewTime(last)
		tx.UpdateStatus(server)
	}
	return controller.Result{RequeueAfter: last.Add(every).Sub(now)}, nil
}
