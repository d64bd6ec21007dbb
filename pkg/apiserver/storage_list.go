package apiserver

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/homeostat/homeostat/pkg/store"
)

// List implements rest.Lister.
func (s *storage) List(ctx context.Context, o *metainternalversion.ListOptions) (runtime.Object, error) {
	result, err := s.read(ctx, o)
	if err != nil {
		return nil, err
	}
	return s.list(result), nil
}

// read lists objects from the store.
func (s *storage) read(ctx context.Context, o *metainternalversion.ListOptions) (store.ListResult[store.Object], error) {
	l, err := s.listOptions(ctx, o)
	if err != nil {
		return store.ListResult[store.Object]{}, err
	}
	result, err := s.kind.access.List(ctx, l)
	if err != nil {
		return result, statusOf(err)
	}
	return result, nil
}

// listOptions translates the options of a request. A list that is to be not older than a
// revision is the newest one, once etcd is known to have the revision.
func (s *storage) listOptions(ctx context.Context, o *metainternalversion.ListOptions) (store.ListOptions, error) {
	l := store.ListOptions{Namespace: request.NamespaceValue(ctx)}
	if o == nil {
		return l, nil
	}
	l.Selector, l.Fields, l.Limit, l.Continue = o.LabelSelector, o.FieldSelector, o.Limit, o.Continue
	revision, err := parseRevision(o.ResourceVersion)
	switch {
	case err != nil || revision == 0:
		return l, err
	case o.ResourceVersionMatch == metav1.ResourceVersionMatchExact || o.ResourceVersionMatch == "" && o.Limit > 0:
		l.Revision = revision
		return l, nil
	}
	return l, s.reached(ctx, revision)
}

func parseRevision(resourceVersion string) (int64, error) {
	revision, err := store.ParseRevision(resourceVersion)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("invalid resource version: %v", err))
	}
	return revision, nil
}

// reached returns a Timeout if etcd has not reached a revision.
func (s *storage) reached(ctx context.Context, revision int64) error {
	now, err := s.store.Revision(ctx)
	if err != nil {
		return statusOf(err)
	}
	if now >= revision {
		return nil
	}
	tooLarge := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", revision, now), 1)
	tooLarge.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
	return tooLarge
}

func (s *storage) list(result store.ListResult[store.Object]) runtime.Object {
	list := s.kind.newList()
	setItems(list, result.Items)
	l, err := meta.ListAccessor(list)
	if err != nil {
		panic(err) // every list type has metadata
	}
	l.SetResourceVersion(store.FormatRevision(result.Revision))
	l.SetContinue(result.Continue)
	l.SetRemainingItemCount(result.Remaining)
	return list
}

// oneName returns the name that a field selector asks for, if it asks for one alone.
func oneName(selector fields.Selector) (string, bool) {
	if selector == nil {
		return "", false
	}
	return selector.RequiresExactMatch("metadata.name")
}
