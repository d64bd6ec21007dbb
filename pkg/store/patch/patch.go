// Package patch applies patches to objects in a store, in the forms that kubectl and
// other Kubernetes clients send: JSON patch, merge patch and strategic merge patch.
//
// It is separate from package store because strategic merge patches need a large
// dependency. If the change is Go code, use store.Mutate instead.
package patch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	kjson "sigs.k8s.io/json"

	"github.com/homeostat/homeostat/pkg/internal/retry"
	"github.com/homeostat/homeostat/pkg/store"
	"github.com/homeostat/homeostat/pkg/store/internal/fault"
	"github.com/homeostat/homeostat/pkg/store/internal/kubejson"
)

// Patch is a change of an object in one of the forms that Kubernetes' API accepts.
type Patch struct {
	// Type is types.JSONPatchType, types.MergePatchType or
	// types.StrategicMergePatchType. The last one needs a Go type with patch tags, as
	// Kubernetes' own types have. It finds the elements of a list by one field each, such
	// as a port by its number. A patch with an element that this field does not tell from
	// another one, such as one of two ports with one number and two protocols, is a
	// BadRequest. Kubernetes' API server accepts it and loses one of the two.
	Type types.PatchType
	// Data is the patch in JSON.
	Data []byte
}

// Apply patches the object that has the type, namespace and name of obj. It changes
// everything but the status, as store.Update does, and returns the revision of the
// write. If another writer changes the object meanwhile, Apply patches the new object
// after a pause.
//
// A resourceVersion in obj is a condition, and so is one that the patch sets: if the
// stored object has another one, Apply returns a Conflict. The empty string and "0" are
// no condition.
//
// On success, Apply sets obj to the stored object. On failure, obj is unchanged.
//
// The error is a NotFound, a Conflict or an Invalid as for an update. It is a BadRequest
// if the patch is malformed, cannot be applied, or has a result that does not fit the
// type, for example an unknown field. It is a RequestEntityTooLarge if the patch exceeds
// one of these limits:
//
//   - 3 MiB for the patch
//   - 10,000 operations of a JSON patch, which copy at most 3 MiB in all
//   - 100 million list elements that the operations shift, because they add or remove
//     elements before them
//   - 10,000 levels of nesting
//   - the lists that a strategic merge patch merges: one of 4,000 elements, or several
//     shorter ones
func Apply(ctx context.Context, s *store.Store, obj store.Object, p Patch) (int64, error) {
	return apply(ctx, s, obj, p, (*store.Txn).Update)
}

// ApplyStatus is [Apply] for the status and the annotations: it writes only those, as
// store.UpdateStatus does, and leaves the rest of the object as it is.
func ApplyStatus(ctx context.Context, s *store.Store, obj store.Object, p Patch) (int64, error) {
	return apply(ctx, s, obj, p, (*store.Txn).UpdateStatus)
}

func apply(ctx context.Context, s *store.Store, obj store.Object, p Patch, write func(*store.Txn, store.Object)) (int64, error) {
	wanted := obj.GetResourceVersion()
	if isAny(wanted) {
		wanted = ""
	}
	pauses := retry.NewBackoff(clock.RealClock{}, time.Millisecond, time.Second)
	for {
		there, err := s.GetObject(ctx, obj)
		if err != nil {
			return 0, fmt.Errorf("patch: %w", err)
		}
		next, err := p.result(ctx, there, s.Encrypts())
		if err != nil {
			return 0, fmt.Errorf("patch %T %s: %w", obj, store.KeyOf(obj), err)
		}
		switch {
		case isAny(next.GetResourceVersion()):
			next.SetResourceVersion(cmp.Or(wanted, there.GetResourceVersion()))
		case wanted != "" && next.GetResourceVersion() == there.GetResourceVersion():
			next.SetResourceVersion(wanted)
		} // otherwise the patch names another resourceVersion, which is a Conflict
		// Another uid or resourceVersion would conflict in every attempt.
		fixed := next.GetResourceVersion() != there.GetResourceVersion() || next.GetUID() != "" && next.GetUID() != there.GetUID()
		txn := s.Txn()
		write(txn, next)
		rev, err := txn.Commit(ctx)
		if apierrors.IsConflict(err) && wanted == "" && !fixed && pauses.Wait(ctx) == nil {
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

// result returns what the patch makes of an object, which stays as it is. Errors have
// nothing of the content of the object if hide is set.
func (p Patch) result(ctx context.Context, there store.Object, hide bool) (store.Object, error) {
	before, err := json.Marshal(there)
	if err != nil && hide {
		err = fault.Hide(err)
	}
	if err != nil {
		return nil, err
	}
	after, err := p.applyTo(ctx, there, before)
	var tooLarge *limitError
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return nil, err
	case errors.As(err, &tooLarge):
		return nil, apierrors.NewRequestEntityTooLargeError(err.Error())
	case err != nil && hide:
		return nil, apierrors.NewBadRequest(textOf(err))
	case err != nil:
		return nil, apierrors.NewBadRequest(err.Error())
	}
	next := reflect.New(reflect.TypeOf(there).Elem()).Interface().(store.Object)
	strict, err := kubejson.UnmarshalStrict(after, next)
	if err == nil && len(strict) > 0 {
		err = strict[0]
	}
	if err != nil && hide {
		err = fault.HideJSON(err, after, reflect.TypeOf(next).Elem(), kubejson.Options{Strict: true})
	}
	switch was, is := store.KeyOf(there), store.KeyOf(next); {
	case err != nil:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the patched object: %v", err))
	case was != is && hide:
		return nil, apierrors.NewBadRequest("the patch changes the name")
	case was != is:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the patch changes the name to %s", is))
	}
	switch was, is := there.GetObjectKind().GroupVersionKind(), next.GetObjectKind().GroupVersionKind(); {
	case was != is && hide:
		return nil, apierrors.NewBadRequest("the patch changes the kind")
	case was != is:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the patch changes the kind to %s", is))
	}
	return next, nil
}

// textOf returns the text of an error, without what it may quote of the object.
func textOf(err error) string {
	if _, quotes := errors.AsType[*fault.Error](err); quotes {
		return fault.Of(err)
	}
	return err.Error()
}

// applyTo applies the patch to an object in JSON.
func (p Patch) applyTo(ctx context.Context, obj store.Object, before []byte) ([]byte, error) {
	if n := len(p.Data); n > maxPatch {
		return nil, limit("the patch has %d bytes, more than %d", n, maxPatch)
	}
	var ignored any
	strict, err := kjson.UnmarshalStrict(p.Data, &ignored)
	if err == nil && len(strict) > 0 {
		err = strict[0] // a duplicate field
	}
	switch p.Type {
	case types.JSONPatchType:
		if err != nil {
			return nil, fmt.Errorf("malformed JSON patch: %w", err)
		}
		return applyJSON(ctx, before, p.Data)
	case types.MergePatchType:
		if err != nil {
			return nil, fmt.Errorf("malformed merge patch: %w", err)
		}
		return applyMerge(before, p.Data)
	case types.StrategicMergePatchType:
		if err != nil {
			return nil, fmt.Errorf("malformed strategic merge patch: %w", err)
		}
		return applyStrategic(before, p.Data, obj)
	}
	return nil, fmt.Errorf("type %q is not one of %s, %s and %s", p.Type,
		types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType)
}
