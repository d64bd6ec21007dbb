package condition_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/condition"
)

// BenchmarkForObjects measures the cost of an expression as a filter. In the first one
// op decides, so the objects are not read; the second one reads both.
func BenchmarkForObjects(b *testing.B) {
	for _, expr := range []string{
		`op == "create" && new.status.phase == "Failed"`,
		`old.status.phase == "Pending" && new.status.phase == "Failed"`,
	} {
		matches, err := condition.ForObjects[*corev1.Pod](expr)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(expr, func(b *testing.B) {
			b.ReportAllocs()
			was, is := pod("Pending"), pod("Failed")
			for b.Loop() {
				if _, err := matches(was, is); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
