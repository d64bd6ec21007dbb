package store

import (
	"context"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
)

// Create writes a new object and returns the revision that it made. It fills
// obj in with what the store decides: uid, creationTimestamp, generation,
// resourceVersion, the name where generateName asked for one, and defaults. The
// status is dropped, as Kubernetes does: write it with [Store.UpdateStatus].
//
// The error is an AlreadyExists when there is an object of that name, an
// Invalid when a field is wrong, and a BadRequest when obj has a
// resourceVersion. When Create fails, obj is as it was.
func (s *Store) Create(ctx context.Context, obj Object) (int64, error) {
	t := s.Txn()
	t.Create(obj)
	return t.Commit(ctx)
}

// maxGenerateNames is how many taken names a generateName may meet. With five
// characters of 27 each, more than a few say that something else is wrong.
const maxGenerateNames = 8

type createVerb struct{}

func (createVerb) String() string { return "create" }

func (createVerb) prepare(o *op) error {
	if o.obj.GetResourceVersion() != "" {
		return apierrors.NewBadRequest("resourceVersion must not be set on an object to be created")
	}
	if o.name.Name == "" && o.obj.GetGenerateName() == "" {
		return apierrors.NewBadRequest("name or generateName is missing")
	}
	o.learn(nil) // believed until etcd says otherwise
	return o.checkWhole()
}

func (v createVerb) plan(s *Store, o *op, prior *stored) (effect, error) {
	if o.obj.GetName() == "" {
		if err := v.generateName(s, o, prior); err != nil {
			return effect{}, err
		}
	} else if prior != nil {
		return effect{}, apierrors.NewAlreadyExists(o.kind.resource, o.name.Name)
	}
	obj := o.obj.DeepCopyObject().(Object)
	obj.SetName(o.name.Name)
	s.stamp(obj)
	if o.kind.spec != nil {
		obj.SetGeneration(1)
	}
	if o.kind.status != nil {
		o.kind.clearField(o.kind.status, obj)
	}
	if o.status != nil {
		o.mergeStatus(obj, nil)
	}
	if o.kind.defaults != nil {
		o.kind.defaults(obj)
	}
	if err := o.kind.checkCreate(obj); err != nil {
		return effect{}, err
	}
	value, err := o.kind.encode(obj)
	return effect{action: put, value: value, result: obj}, err
}

// generateName picks a name, and another one when etcd has said that the last
// one is taken.
func (createVerb) generateName(s *Store, o *op, prior *stored) (err error) {
	if prior == nil && o.etcdKey != "" {
		return nil
	}
	if o.generated++; o.generated > maxGenerateNames {
		return apierrors.NewGenerateNameConflict(o.kind.resource, o.name.Name, 1)
	}
	// Kubernetes' own limits: 63 characters, of which five are random.
	const random, longest = 5, 63
	base := o.obj.GetGenerateName()
	base = base[:min(len(base), longest-random)]
	o.name.Name = base + rand.String(random)
	o.prior = nil
	o.etcdKey, err = s.layout.key(o.kind, o.name)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	return nil
}

// stamp sets what only the store may decide.
func (s *Store) stamp(obj Object) {
	obj.SetUID(types.UID(uuid.NewString()))
	obj.SetCreationTimestamp(timestamp(s.clock.Now()))
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	obj.SetSelfLink("")
	obj.SetGeneration(0)
}
