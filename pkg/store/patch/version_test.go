package patch_test

import (
	"context"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/store"
	"github.com/homeostat/homeostat/pkg/store/patch"
)

// A resourceVersion in the patch is a condition, whatever the object that is passed has.
func TestResourceVersionInPatch(t *testing.T) {
	s, ctx := newStore(t), t.Context()
	old := &site{ObjectMeta: named(), Spec: siteSpec{Size: 1}}
	if _, err := s.Create(ctx, old); err != nil {
		t.Fatal(err)
	}
	now := old.DeepCopy()
	now.Spec.Size = 2
	if _, err := s.Update(ctx, now); err != nil {
		t.Fatal(err)
	}
	merge := func(version, rest string) patch.Patch {
		return patch.Patch{Type: types.MergePatchType, Data: []byte(`{"metadata":{"resourceVersion":"` + version + `"}` + rest + `}`)}
	}
	const size, ready = `,"spec":{"size":9}`, `,"status":{"ready":9}`
	type applied = func(context.Context, *store.Store, store.Object, patch.Patch) (int64, error)
	for name, c := range map[string]struct {
		apply    applied
		object   string // its resourceVersion
		patch    patch.Patch
		conflict bool
	}{
		"old in the patch, present in the object": {patch.Apply, now.ResourceVersion, merge(old.ResourceVersion, size), true},
		"old in the patch, none in the object":    {patch.Apply, "", merge(old.ResourceVersion, size), true},
		"present in the patch, old in the object": {patch.Apply, old.ResourceVersion, merge(now.ResourceVersion, size), true},
		"old in a patch of the status":            {patch.ApplyStatus, now.ResourceVersion, merge(old.ResourceVersion, ready), true},
		"old in a JSON patch": {patch.Apply, now.ResourceVersion, patch.Patch{Type: types.JSONPatchType,
			Data: []byte(`[{"op":"replace","path":"/metadata/resourceVersion","value":"` + old.ResourceVersion + `"}]`)}, true},
		"any in the patch, old in the object":     {patch.Apply, old.ResourceVersion, merge("0", size), true},
		"present in both":                         {patch.Apply, now.ResourceVersion, merge(now.ResourceVersion, ""), false},
		"any in the patch, present in the object": {patch.Apply, now.ResourceVersion, merge("0", ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			obj := &site{ObjectMeta: named()}
			obj.ResourceVersion = c.object
			_, err := c.apply(ctx, s, obj, c.patch)
			if c.conflict != apierrors.IsConflict(err) || !c.conflict && err != nil {
				t.Errorf("%v", err)
			}
		})
	}
	stored, err := store.Get[*site](ctx, s, store.KeyOf(now))
	if err != nil || stored.ResourceVersion != now.ResourceVersion {
		t.Errorf("a patch with a conflict was written: %+v, %v", stored, err)
	}
}

// Writers that patch one object at the same time all succeed, each once.
func TestConcurrentPatches(t *testing.T) {
	s, ctx := newStore(t), t.Context()
	if _, err := s.Create(ctx, &site{ObjectMeta: named(), Spec: siteSpec{Tags: []string{"first"}}}); err != nil {
		t.Fatal(err)
	}
	const n = 16
	tag := patch.Patch{Type: types.JSONPatchType, Data: []byte(`[{"op":"add","path":"/spec/tags/-","value":"x"}]`)}
	var writers sync.WaitGroup
	for range n {
		writers.Go(func() {
			if _, err := patch.Apply(ctx, s, &site{ObjectMeta: named()}, tag); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	stored, err := store.Get[*site](ctx, s, store.Key{Namespace: "default", Name: "a"})
	if err != nil || len(stored.Spec.Tags) != n+1 {
		t.Errorf("%v, %v", stored, err)
	}
}
