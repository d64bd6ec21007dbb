package informer

import (
	"iter"
	"strings"
	"unsafe"

	"github.com/tidwall/btree"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/store"
)

// Snapshot is the state of all kinds of a replica at one revision of etcd. It
// never changes and stays readable for as long as it is held; reading takes no
// lock. The objects in it are shared: changing one needs a DeepCopy.
//
// A snapshot is read through the [Informer] or the [Index] of the same replica.
type Snapshot struct {
	replica  *Replica
	revision int64
	epoch    int         // revisions compare within one only
	epochID  epochID     // whose data it shows
	kinds    []kindState // by kind.slot; kinds registered later are missing
}

// Revision is etcd's revision that the snapshot shows; 0 before the first list,
// and for the state of a checkpoint that was taken of other data than etcd's.
func (s *Snapshot) Revision() int64 { return s.revision }

// kindState is one kind's part of a snapshot.
type kindState struct {
	objects *btree.Map[string, *entry] // nil when the kind was not listed yet
	indexes []*btree.BTreeG[indexItem] // by index slot; indexes added later are missing
}

// entry is an object with what etcd says of it. It never changes.
type entry struct {
	key  string // namespace/name, or name
	obj  store.Object
	rev  int64  // ModRevision
	sum  uint64 // of the encoded value
	size int    // of key and value in etcd, in bytes
}

// kind returns the state of a kind as of this snapshot.
func (s *Snapshot) kind(k *kind) kindState {
	if s.replica != k.replica {
		panic("informer: the snapshot is one of another replica")
	}
	if k.slot >= len(s.kinds) {
		return kindState{}
	}
	return s.kinds[k.slot]
}

// get finds an object without allocating, as long as its key is shorter than
// Kubernetes' limits for names allow.
func (s kindState) get(key store.Key) (*entry, bool) {
	if s.objects == nil {
		return nil, false
	}
	var buf [320]byte
	b := appendKey(buf[:0], key)
	return s.objects.Get(unsafe.String(unsafe.SliceData(b), len(b)))
}

func appendKey(b []byte, key store.Key) []byte {
	if key.Namespace != "" {
		b = append(append(b, key.Namespace...), '/')
	}
	return append(b, key.Name...)
}

// ListOptions select what a list yields. The zero value selects all.
type ListOptions struct {
	// Namespace, when set, leaves out the objects of other namespaces; the cost
	// is then that of the namespace alone.
	Namespace string
	// Selector, when set, leaves out the objects whose labels do not match.
	Selector labels.Selector
}

// Selects reports whether the options select an object.
func (o ListOptions) Selects(obj metav1.Object) bool {
	return (o.Namespace == "" || o.Namespace == obj.GetNamespace()) &&
		(o.Selector == nil || o.Selector.Matches(labels.Set(obj.GetLabels())))
}

func (s kindState) list(o ListOptions) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		if s.objects == nil {
			return
		}
		prefix := ""
		if o.Namespace != "" {
			prefix = o.Namespace + "/"
		}
		s.objects.Ascend(prefix, func(key string, e *entry) bool {
			if !strings.HasPrefix(key, prefix) {
				return false
			}
			if o.Selector != nil && !o.Selector.Matches(labels.Set(e.obj.GetLabels())) {
				return true
			}
			return yield(e)
		})
	}
}

func (s kindState) len() int {
	if s.objects == nil {
		return 0
	}
	return s.objects.Len()
}
