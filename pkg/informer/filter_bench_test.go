package informer

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// BenchmarkFilter measures the time that a filter adds to each change in the
// replica's goroutine.
func BenchmarkFilter(b *testing.B) {
	glob, err := KeyGlob[*corev1.ConfigMap]("team-*/web-?")
	if err != nil {
		b.Fatal(err)
	}
	label := LabelSelector[*corev1.ConfigMap](labels.SelectorFromSet(labels.Set{"color": "red"}))
	where := Where(func(cm *corev1.ConfigMap) bool { return cm.Data["v"] == "2" })
	grows := Transition(func(old, new *corev1.ConfigMap) bool {
		return old != nil && new != nil && old.Data["v"] < new.Data["v"]
	})
	state := func(v string) *entry {
		return &entry{key: "team-a/web-1", obj: &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "web-1", UID: "u", Labels: map[string]string{"color": "red"}},
			Data:       map[string]string{"v": v},
		}}
	}
	c := change{key: "team-a/web-1", old: state("1"), new: state("2")}
	for _, bench := range []struct {
		name   string
		filter Filter[*corev1.ConfigMap]
	}{
		{"KeyGlob", glob},
		{"LabelSelector", label},
		{"Where", where},
		{"Transition", grows},
		{"Operations", Operations[*corev1.ConfigMap](Update)},
		{"Composed", Or(And(glob, label, Not(where)), grows)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if left, err := bench.filter.apply(c); err != nil || left.new == nil && left.old == nil {
					b.Fatal(left, err)
				}
			}
		})
	}
}
