package apiserver

import (
	"context"
	"fmt"
	"reflect"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/homeostat/homeostat/pkg/store"
)

// scaleStorage serves the scale subresource of a kind, by the paths of its [Scale].
type scaleStorage struct {
	main                     *storage
	replicas, statusReplicas [][]int
	selector                 [][]int // nil: there is none
}

var (
	_ rest.Patcher                  = (*scaleStorage)(nil)
	_ rest.GroupVersionKindProvider = (*scaleStorage)(nil)
)

func newScaleStorage(main *storage, s Scale) (*scaleStorage, error) {
	t := &scaleStorage{main: main}
	var err error
	if t.replicas, err = integerField(main.kind.goType, s.Replicas); err != nil {
		return nil, fmt.Errorf("scale of %s: %w", main.kind.gvk.Kind, err)
	}
	if t.statusReplicas, err = integerField(main.kind.goType, s.StatusReplicas); err != nil {
		return nil, fmt.Errorf("scale of %s: %w", main.kind.gvk.Kind, err)
	}
	if s.Selector == "" {
		return t, nil
	}
	index, found, err := jsonField(main.kind.goType, s.Selector)
	if err != nil {
		return nil, fmt.Errorf("scale of %s: %w", main.kind.gvk.Kind, err)
	}
	switch found {
	case reflect.TypeFor[string](), reflect.TypeFor[*metav1.LabelSelector](), reflect.TypeFor[metav1.LabelSelector](), reflect.TypeFor[map[string]string]():
	default:
		return nil, fmt.Errorf("scale of %s: %s is %s, and no selector", main.kind.gvk.Kind, s.Selector, found)
	}
	t.selector = index
	return t, nil
}

func integerField(t reflect.Type, path string) ([][]int, error) {
	index, found, err := jsonField(t, path)
	if err != nil {
		return nil, err
	}
	if found.Kind() == reflect.Pointer {
		found = found.Elem()
	}
	if !found.ConvertibleTo(reflect.TypeFor[int32]()) || found.Kind() == reflect.String {
		return nil, fmt.Errorf("%s is %s, and no integer", path, found)
	}
	return index, nil
}

func (s *scaleStorage) New() runtime.Object { return &autoscalingv1.Scale{} }
func (s *scaleStorage) Destroy()            {}

// GroupVersionKind implements rest.GroupVersionKindProvider.
func (s *scaleStorage) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind {
	return autoscalingv1.SchemeGroupVersion.WithKind("Scale")
}

// ConvertToTable implements rest.TableConvertor.
func (s *scaleStorage) ConvertToTable(ctx context.Context, obj runtime.Object, o runtime.Object) (*metav1.Table, error) {
	return rest.NewDefaultTableConvertor(s.main.kind.resource).ConvertToTable(ctx, obj, o)
}

// Get implements rest.Getter.
func (s *scaleStorage) Get(ctx context.Context, name string, o *metav1.GetOptions) (runtime.Object, error) {
	obj, err := s.main.Get(ctx, name, o)
	if err != nil {
		return nil, err
	}
	return s.scaleOf(obj.(store.Object))
}

// Update implements rest.Updater. It writes the desired number of replicas alone.
func (s *scaleStorage) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, _ rest.ValidateObjectFunc,
	validate rest.ValidateObjectUpdateFunc, _ bool, o *metav1.UpdateOptions) (runtime.Object, bool, error) {
	obj, _, err := s.main.update(ctx, name, &scaleInfo{s, info, validate}, nil, o, (*store.Txn).Update, func() (runtime.Object, error) {
		return nil, apierrors.NewNotFound(s.main.kind.resource, name)
	})
	if err != nil {
		return nil, false, err
	}
	scale, err := s.scaleOf(obj.(store.Object))
	return scale, false, err
}

// scaleInfo turns the change of a Scale into that of its object.
type scaleInfo struct {
	storage  *scaleStorage
	of       rest.UpdatedObjectInfo
	validate rest.ValidateObjectUpdateFunc
}

// Preconditions implements rest.UpdatedObjectInfo.
func (i *scaleInfo) Preconditions() *metav1.Preconditions { return i.of.Preconditions() }

// UpdatedObject implements rest.UpdatedObjectInfo.
func (i *scaleInfo) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	was, err := i.storage.scaleOf(old.(store.Object))
	if err != nil {
		return nil, err
	}
	changed, err := i.of.UpdatedObject(ctx, was.DeepCopyObject())
	if err != nil {
		return nil, err
	}
	scale, ok := changed.(*autoscalingv1.Scale)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("expected a Scale and got a %T", changed))
	}
	if scale.Spec.Replicas < 0 {
		return nil, apierrors.NewInvalid(i.storage.GroupVersionKind(schema.GroupVersion{}).GroupKind(), scale.Name,
			field.ErrorList{field.Invalid(field.NewPath("spec", "replicas"), scale.Spec.Replicas, "must be greater than or equal to 0")})
	}
	if i.validate != nil {
		if err := i.validate(ctx, changed, was); err != nil {
			return nil, err
		}
	}
	obj := old.DeepCopyObject().(store.Object)
	obj.SetResourceVersion(scale.ResourceVersion)
	setInteger(obj, i.storage.replicas, scale.Spec.Replicas)
	return obj, nil
}

func (s *scaleStorage) scaleOf(obj store.Object) (*autoscalingv1.Scale, error) {
	scale := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{
			Name: obj.GetName(), Namespace: obj.GetNamespace(), UID: obj.GetUID(),
			ResourceVersion: obj.GetResourceVersion(), CreationTimestamp: obj.GetCreationTimestamp(),
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: integerAt(obj, s.replicas)},
		Status: autoscalingv1.ScaleStatus{Replicas: integerAt(obj, s.statusReplicas)},
	}
	var err error
	scale.Status.Selector, err = s.selectorOf(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("scale of %s: %w", store.KeyOf(obj), err))
	}
	return scale, nil
}

func (s *scaleStorage) selectorOf(obj store.Object) (string, error) {
	if s.selector == nil {
		return "", nil
	}
	v, ok := fieldAt(obj, s.selector, false)
	if !ok {
		return "", nil
	}
	var selector *metav1.LabelSelector
	switch v := v.Interface().(type) {
	case string:
		return v, nil
	case map[string]string:
		selector = &metav1.LabelSelector{MatchLabels: v}
	case metav1.LabelSelector:
		selector = &v
	case *metav1.LabelSelector:
		selector = v
	}
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return "", err
	}
	return parsed.String(), nil
}

func integerAt(obj store.Object, index [][]int) int32 {
	v, ok := fieldAt(obj, index, false)
	if ok && v.Kind() == reflect.Pointer {
		if ok = !v.IsNil(); ok {
			v = v.Elem()
		}
	}
	if !ok {
		return 0
	}
	return int32(v.Convert(reflect.TypeFor[int64]()).Int()) //nolint:gosec // replicas
}

func setInteger(obj store.Object, index [][]int, n int32) {
	v, _ := fieldAt(obj, index, true)
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	v.Set(reflect.ValueOf(n).Convert(v.Type()))
}
