package storetest

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/store"
)

// ownRules are the rules for kinds with hooks, and for cluster-scoped kinds.
func ownRules() []rule[*widget] {
	return []rule[*widget]{
		{"defaults are filled in before validation", ownDefaults},
		{"a kind's own validation refuses each verb", ownValidation},
		{"a cluster-scoped kind has no namespace", ownClusterScoped},
	}
}

// plainRules are the rules for a kind without spec and status.
func plainRules() []rule[*corev1.ConfigMap] {
	return []rule[*corev1.ConfigMap]{
		{"a kind without a spec has no generation", plainGeneration},
		{"a kind without a status takes annotations by status update", plainStatus},
		{"rewrite of a value with the current encoding writes nothing", plainRewrite},
	}
}

func ownDefaults(e *env[*widget]) {
	w := e.created("a")
	equal(e.t, "color", w.Spec.Color, defaultColor)
	w.Spec.Color = ""
	before := e.revision()
	e.done(e.s.Update(e.t.Context(), w))
	equal(e.t, "color", w.Spec.Color, defaultColor)
	e.stillAt(before)
}

func ownValidation(e *env[*widget]) {
	e.refuses(e.s.Create, e.kind.sized("b", -1), saying(isInvalid, "spec.size"))
	w := e.created("a", func(w *widget) { w.Labels = map[string]string{protected: ""} })
	e.refuses(e.deleted(store.DeleteOptions{}), e.kind.named("a"), saying(isInvalid, protected))
	w.Spec.Color = "red"
	e.refuses(e.s.Update, w, saying(isInvalid, "spec.color"))
}

func ownClusterScoped(e *env[*widget]) {
	z := &zone{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	e.done(e.s.Create(e.t.Context(), z))
	e.interrupt()
	there, err := store.Get[*zone](e.t.Context(), e.s, store.Key{Name: "a"})
	e.must(err)
	e.same(there, z)
	e.refuses(e.s.Create, &zone{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "b"}}, isBadRequest)
	if _, err := store.List[*zone](e.t.Context(), e.s, store.ListOptions{Namespace: "default"}); err == nil {
		e.t.Fatal("a list of a namespace is not refused")
	}
	e.done(e.s.Delete(e.t.Context(), there, store.DeleteOptions{}))
}

func plainGeneration(e *env[*corev1.ConfigMap]) {
	cm := e.created("a")
	cm.Data = map[string]string{"a": "b"}
	cm.BinaryData = map[string][]byte{"c": {0, 255}}
	e.done(e.s.Update(e.t.Context(), cm))
	e.same(e.get("a"), cm)
	equal(e.t, "generation", cm.Generation, 0)
}

func plainStatus(e *env[*corev1.ConfigMap]) {
	cm := e.created("a", func(cm *corev1.ConfigMap) { cm.Data = map[string]string{"a": "1"} })
	cm.Data, cm.Annotations = nil, map[string]string{"note": "x"}
	e.done(e.s.UpdateStatus(e.t.Context(), cm))
	equal(e.t, "data", cm.Data["a"], "1")
	equal(e.t, "annotation", e.get("a").Annotations["note"], "x")
}

func plainRewrite(e *env[*corev1.ConfigMap]) {
	cm := e.created("a")
	before := e.revision()
	n, err := store.Rewrite[*corev1.ConfigMap](e.t.Context(), e.s)
	e.must(err)
	equal(e.t, "rewritten", n, 0)
	e.stillAt(before)
	e.same(e.get("a"), cm)
}
