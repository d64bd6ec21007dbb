package informer

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestChangedFilters(t *testing.T) {
	generation, label, annotation := GenerationChanged[*corev1.ConfigMap](), LabelsChanged[*corev1.ConfigMap](), AnnotationsChanged[*corev1.ConfigMap]()
	field := FieldChanged(func(cm *corev1.ConfigMap) string { return cm.Data["v"] })
	red := LabelSelector[*corev1.ConfigMap](labels.SelectorFromSet(labels.Set{"color": "red"}))

	object := func(changes ...func(cm *corev1.ConfigMap)) *entry {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "1", Generation: 1}, Data: map[string]string{"v": "1"}}
		for _, change := range changes {
			change(cm)
		}
		return &entry{key: "a", obj: cm}
	}
	spec := func(cm *corev1.ConfigMap) { cm.Generation++ }
	status := func(cm *corev1.ConfigMap) { cm.Data["status"] = "2" }
	relabel := func(cm *corev1.ConfigMap) { cm.Labels = map[string]string{"color": "red"} }
	annotate := func(cm *corev1.ConfigMap) { cm.Annotations = map[string]string{"a": "b"} }
	setField := func(cm *corev1.ConfigMap) { cm.Data["v"] = "2" }
	deleting := func(cm *corev1.ConfigMap) { cm.DeletionTimestamp = new(metav1.Now()) }
	another := func(cm *corev1.ConfigMap) { cm.UID = "2" }
	noGeneration := func(cm *corev1.ConfigMap) { cm.Generation = 0 }
	created := func(changes ...func(*corev1.ConfigMap)) change { return change{key: "a", new: object(changes...)} }
	deleted := func(changes ...func(*corev1.ConfigMap)) change { return change{key: "a", old: object(changes...)} }
	updated := func(changes ...func(*corev1.ConfigMap)) change {
		return change{key: "a", old: object(), new: object(changes...)}
	}

	for name, c := range map[string]struct {
		filter mapFilter
		change change
		passes string
	}{
		"generation: created":                  {generation, created(), "new"},
		"generation: deleted":                  {generation, deleted(), "old"},
		"generation: spec":                     {generation, updated(spec), "both"},
		"generation: status":                   {generation, updated(status), "none"},
		"generation: marked for deletion":      {generation, updated(deleting), "both"},
		"generation: of a kind without one":    {generation, change{key: "a", old: object(noGeneration), new: object(noGeneration, status)}, "both"},
		"generation: deleted and recreated":    {generation, updated(another), "both"},
		"labels: created":                      {label, created(), "new"},
		"labels: deleted":                      {label, deleted(), "old"},
		"labels: changed":                      {label, updated(relabel), "both"},
		"labels: spec":                         {label, updated(spec), "none"},
		"annotations: created":                 {annotation, created(), "new"},
		"annotations: deleted":                 {annotation, deleted(), "old"},
		"annotations: changed":                 {annotation, updated(annotate), "both"},
		"annotations: labels":                  {annotation, updated(relabel), "none"},
		"field: created":                       {field, created(), "new"},
		"field: deleted":                       {field, deleted(), "old"},
		"field: changed":                       {field, updated(setField), "both"},
		"field: another changed":               {field, updated(status), "none"},
		"or: one":                              {Or(generation, label), updated(relabel), "both"},
		"or: neither":                          {Or(generation, label), updated(annotate), "none"},
		"and: one":                             {And(generation, label), updated(relabel), "none"},
		"and: both":                            {And(generation, label), updated(relabel, spec), "both"},
		"not: unchanged":                       {Not(generation), updated(status), "both"},
		"not: created":                         {Not(generation), created(), "none"},
		"and an object leaf: enters":           {And(red, generation), updated(relabel), "none"},
		"and an object leaf: enters, changed":  {And(red, generation), updated(relabel, spec), "new"},
		"and an object leaf: of another":       {And(red, generation), updated(spec), "none"},
		"and an object leaf: creation matches": {And(red, generation), created(relabel), "new"},
	} {
		left, err := c.filter.apply(c.change)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		passes := "none"
		switch {
		case left.old != nil && left.new != nil:
			passes = "both"
		case left.old != nil:
			passes = "old"
		case left.new != nil:
			passes = "new"
		}
		if passes != c.passes {
			t.Errorf("%s: passes %s, want %s", name, passes, c.passes)
		}
	}
}
