// Package patch changes objects in a store by patches, as kubectl and other
// clients of Kubernetes send them. It is a package of its own since strategic
// merge patches bring a large dependency, which most controllers do without:
// where the change is written in Go, use store.Mutate.
package patch

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	kjson "sigs.k8s.io/json"

	"github.com/homeostat/homeostat/pkg/store"
)

// Patch is a change to an object, written down.
type Patch struct {
	// Type is types.JSONPatchType, types.MergePatchType or
	// types.StrategicMergePatchType. The last needs the patch tags that
	// Kubernetes' own types have.
	Type types.PatchType
	// Data is the patch, as JSON.
	Data []byte
}

// Apply changes everything of an object but its status, as store.Update does,
// and returns the revision that it made. obj names the object. The patch works
// on what is there now, and is applied again when another writer comes in
// between, unless it, or obj, names a resourceVersion: then the object must be
// at that. When Apply succeeds, obj is the object as it is now; otherwise it is
// as it was.
//
// The error is a NotFound, a Conflict or an Invalid as for an update, and a
// BadRequest when the patch is malformed, cannot be applied, or makes of the
// object what its type cannot be, which includes fields that it does not have.
func Apply(ctx context.Context, s *store.Store, obj store.Object, p Patch) (int64, error) {
	return apply(ctx, s, obj, p, (*store.Txn).Update)
}

// ApplyStatus is [Apply] for the status and the annotations, as
// store.UpdateStatus writes them.
func ApplyStatus(ctx context.Context, s *store.Store, obj store.Object, p Patch) (int64, error) {
	return apply(ctx, s, obj, p, (*store.Txn).UpdateStatus)
}

func apply(ctx context.Context, s *store.Store, obj store.Object, p Patch, write func(*store.Txn, store.Object)) (int64, error) {
	wanted := obj.GetResourceVersion()
	if isAny(wanted) {
		wanted = ""
	}
	for {
		there, err := s.GetObject(ctx, obj)
		if err != nil {
			return 0, fmt.Errorf("patch: %w", err)
		}
		next, err := p.result(there)
		if err != nil {
			return 0, fmt.Errorf("patch %T %s: %w", obj, store.KeyOf(obj), err)
		}
		if wanted != "" {
			next.SetResourceVersion(wanted)
		}
		if isAny(next.GetResourceVersion()) { // the patch was made for what is there, and for nothing else
			next.SetResourceVersion(there.GetResourceVersion())
		}
		// Another identity would conflict for ever, however often it is tried.
		fixed := next.GetResourceVersion() != there.GetResourceVersion() || next.GetUID() != "" && next.GetUID() != there.GetUID()
		txn := s.Txn()
		write(txn, next)
		rev, err := txn.Commit(ctx)
		if apierrors.IsConflict(err) && wanted == "" && !fixed {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("patch: %w", err)
		}
		reflect.ValueOf(obj).Elem().Set(reflect.ValueOf(next).Elem())
		return rev, nil
	}
}

// isAny reports whether a resourceVersion names none.
func isAny(resourceVersion string) bool {
	rev, err := store.ParseRevision(resourceVersion)
	return err == nil && rev == 0
}

// result returns what the patch makes of an object, which stays as it is.
func (p Patch) result(there store.Object) (store.Object, error) {
	before, err := json.Marshal(there)
	if err != nil {
		return nil, err
	}
	after, err := p.applyTo(there, before)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	next := reflect.New(reflect.TypeOf(there).Elem()).Interface().(store.Object)
	strict, err := kjson.UnmarshalStrict(after, next)
	if err == nil && len(strict) > 0 {
		err = strict[0]
	}
	switch {
	case err != nil:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the patched object: %v", err))
	case store.KeyOf(next) != store.KeyOf(there):
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the patch changes the name to %s", store.KeyOf(next)))
	case next.GetObjectKind().GroupVersionKind() != there.GetObjectKind().GroupVersionKind():
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the patch changes the kind to %s", next.GetObjectKind().GroupVersionKind()))
	}
	return next, nil
}

func (p Patch) applyTo(obj store.Object, before []byte) ([]byte, error) {
	switch p.Type {
	case types.JSONPatchType:
		patch, err := jsonpatch.DecodePatch(p.Data)
		if err != nil {
			return nil, fmt.Errorf("malformed JSON patch: %w", err)
		}
		return patch.Apply(before)
	case types.MergePatchType:
		return jsonpatch.MergePatch(before, p.Data)
	case types.StrategicMergePatchType:
		return strategicpatch.StrategicMergePatch(before, p.Data, obj)
	}
	return nil, fmt.Errorf("type %q is not one of %s, %s and %s", p.Type,
		types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType)
}
