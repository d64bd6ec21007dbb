package patterns

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/homeostat/homeostat/pkg/store"
)

// serverKind has the rule that a server's pool must exist.
func serverKind() store.Kind[*Server] {
	return store.Kind[*Server]{
		GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Server"},
		ValidateAcross: func(ctx context.Context, r *store.Reader, server, _ *Server) (field.ErrorList, error) {
			if server == nil || server.Spec.Pool == "" {
				return nil, nil // a deletion, or no pool
			}
			_, err := store.Read[*Pool](ctx, r, store.Key{Namespace: server.Namespace, Name: server.Spec.Pool})
			if apierrors.IsNotFound(err) {
				return field.ErrorList{field.NotFound(field.NewPath("spec", "pool"), server.Spec.Pool)}, nil
			}
			return nil, err
		},
	}
}
