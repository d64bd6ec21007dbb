package store

import (
	"context"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/homeostat/homeostat/pkg/internal/secretdata"
)

// Create writes a new object and returns the revision of the write. In obj, it sets uid,
// creationTimestamp, generation and resourceVersion, applies the defaults of the kind,
// and generates a name if obj has a generateName and no name. Like Kubernetes, it drops the
// status; write that with [Store.UpdateStatus].
//
// Create returns an AlreadyExists if an object of that name exists, an Invalid if a
// field is wrong, and a BadRequest if obj has a resourceVersion. If Create fails, obj is
// unchanged.
func (s *Store) Create(ctx context.Context, obj Object) (int64, error) {
	t := s.Txn()
	t.Create(obj)
	return t.Commit(ctx)
}

// maxGenerateNames is how many generated names may be taken. A name has five random
// characters out of 27 each, so more than a few show that something else is wrong.
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
	secretdata.Fold(o.kind.gvk.GroupKind(), obj)
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
	return effect{action: put, value: value, result: obj, review: o.kind.reviewOf(obj, nil, nil)}, err
}

// generateName generates a name, and another one if etcd refused the last as taken.
func (createVerb) generateName(s *Store, o *op, prior *stored) (err error) {
	if prior == nil && o.etcdKey != "" {
		return nil
	}
	if o.generated++; o.generated > maxGenerateNames {
		return apierrors.NewGenerateNameConflict(o.kind.resource, o.name.Name, 1)
	}
	// These are Kubernetes' limits: 63 characters, of which five are random.
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
