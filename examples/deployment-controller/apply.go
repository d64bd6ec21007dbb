package main

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/controllers"
	"github.com/homeostat/homeostat/pkg/manifest"
	"github.com/homeostat/homeostat/pkg/store"
)

// apply applies the object of a document and prints what it did. It returns the stored
// object.
func (p *program) apply(ctx context.Context, doc manifest.Document) (store.Object, error) {
	applied, err := manifest.Apply(ctx, p.store, doc, manifest.ApplyOptions{})
	if err != nil {
		return nil, err
	}
	obj := applied.Object
	kind, err := p.store.KindOf(obj)
	if err != nil {
		return nil, err
	}
	p.say("%s/%s %s", kind.Resource, obj.GetName(), applied.Action)
	if !controllers.Acts(obj) {
		p.screen.warn(fmt.Sprintf("%s/%s is only stored: no controller here acts on a %s",
			kind.Resource, obj.GetName(), kind.GroupVersionKind.Kind))
	}
	return obj, nil
}

// failure is the error for a Deployment that cannot complete.
type failure struct {
	deployment *appsv1.Deployment
	reason     string
}

func (f failure) Error() string {
	return fmt.Sprintf("deployment %s failed: %s", store.KeyOf(f.deployment), f.reason)
}
