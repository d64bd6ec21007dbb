package controller

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// knownInformer is informer.For with a cache. informer.For takes a lock that the
// replica holds while it applies changes.
func knownInformer[T store.Object](m *Manager) (*informer.Informer[T], error) {
	if inf, ok := m.informers.Load(reflect.TypeFor[T]()); ok {
		return inf.(*informer.Informer[T]), nil
	}
	inf, err := informer.For[T](m.Replica())
	if err == nil {
		m.informers.Store(reflect.TypeFor[T](), inf)
	}
	return inf, err
}

// ownedIndex returns the index of a kind's objects by the uids of their controllers.
func ownedIndex[T store.Object](m *Manager) (*informer.Index[T], error) {
	if x, ok := m.owned.Load(reflect.TypeFor[T]()); ok {
		return x.(*informer.Index[T]), nil
	}
	inf, err := knownInformer[T](m)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if x, ok := m.owned.Load(reflect.TypeFor[T]()); ok {
		return x.(*informer.Index[T]), nil
	}
	x := inf.AddIndex(func(obj T) []string {
		if ref := metav1.GetControllerOfNoCopy(obj); ref != nil {
			return []string{string(ref.UID)}
		}
		return nil
	})
	m.owned.Store(reflect.TypeFor[T](), x)
	return x, nil
}
