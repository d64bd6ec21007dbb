package main

import (
	"context"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/controllers"
	"github.com/homeostat/homeostat/examples/deployment-controller/internal/manifest"
	"github.com/homeostat/homeostat/pkg/store"
)

// apply creates or updates the object of a document and prints what it did. It
// returns the stored object.
func (p *program) apply(ctx context.Context, doc manifest.Document) (store.Object, error) {
	obj := doc.Object.(store.Object)
	kind, err := p.store.KindOf(obj)
	if err != nil {
		return nil, err
	}
	if !kind.ClusterScoped && obj.GetNamespace() == "" {
		obj.SetNamespace("default")
	}
	what, err := p.createOrUpdate(ctx, obj)
	if err != nil {
		return nil, err
	}
	p.say("%s/%s %s", kind.Resource, obj.GetName(), what)
	if !controllers.Acts(obj) {
		p.screen.warn(fmt.Sprintf("%s/%s is only stored: no controller here acts on a %s",
			kind.Resource, obj.GetName(), kind.GroupVersionKind.Kind))
	}
	return obj, nil
}

// createOrUpdate stores obj, updates it in place, and returns "created", "configured"
// or "unchanged".
func (p *program) createOrUpdate(ctx context.Context, obj store.Object) (string, error) {
	for {
		_, err := p.store.Create(ctx, obj)
		if err == nil {
			return "created", nil
		}
		if !apierrors.IsAlreadyExists(err) || obj.GetName() == "" {
			return "", err
		}
		what, err := p.update(ctx, obj)
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			obj.SetResourceVersion("")
			continue // another client was faster
		}
		return what, err
	}
}

// update replaces everything except the status and the metadata that controllers
// write: annotations that obj lacks, finalizers, and owner references.
func (p *program) update(ctx context.Context, obj store.Object) (string, error) {
	there, err := p.store.GetObject(ctx, obj)
	if err != nil {
		return "", err
	}
	before := there.GetResourceVersion()
	annotations := map[string]string{}
	maps.Copy(annotations, there.GetAnnotations())
	maps.Copy(annotations, obj.GetAnnotations())
	obj.SetAnnotations(annotations)
	obj.SetFinalizers(there.GetFinalizers())
	obj.SetOwnerReferences(there.GetOwnerReferences())
	obj.SetResourceVersion(before)
	if _, err := p.store.Update(ctx, obj); err != nil {
		return "", err
	}
	if obj.GetResourceVersion() == before {
		return "unchanged", nil
	}
	return "configured", nil
}

// failure is the error for a Deployment that cannot complete.
type failure struct {
	deployment *appsv1.Deployment
	reason     string
}

func (f failure) Error() string {
	return fmt.Sprintf("deployment %s failed: %s", store.KeyOf(f.deployment), f.reason)
}
