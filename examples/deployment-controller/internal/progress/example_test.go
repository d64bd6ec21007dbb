package progress_test

import (
	"os"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/progress"
)

func ExampleDisplay() {
	noon := func() time.Time { return time.Date(2026, 1, 2, 12, 0, 1, 234e6, time.UTC) }
	display := progress.New(os.Stdout, false, nil, noon)
	defer display.Close() //nolint:errcheck // An example's output.

	display.Note("applied default/nginx")
	display.Update(progress.State{Revision: 42, Deployments: []*appsv1.Deployment{
		deployment("nginx", 1, 3, status{updated: 2, ready: 1, available: 1, total: 2, reason: "ReplicaSetUpdated"}),
	}})
	// Output:
	// applied default/nginx
	// 12:00:01.234 rev 42  default/nginx  revision 1  updated 2/3  ready 1/3  available 1/3  old 0  Progressing: ReplicaSetUpdated
}
