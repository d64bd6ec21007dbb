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

// Snapshot is the state of all kinds of a replica at one revision of etcd. It never
// changes, and stays readable as long as it is held. Reading it takes no lock. Its
// objects are shared: make a DeepCopy to change one.
//
// Read a snapshot through an [Informer] or an [Index] of the same replica. One of
// another replica panics.
type Snapshot struct {
	replica  *Replica
	revision int64
	epoch    int         // revisions are comparable only within one epoch
	epochID  epochID     // whose data it shows
	kinds    []kindState // by kind.slot; kinds registered later are missing
}

// Revision returns the revision of etcd that the snapshot shows. It is 0 before the
// first list, and for the state of a checkpoint that was written for data that etcd
// has lost.
func (s *Snapshot) Revision() int64 { return s.revision }

// kindState is the state of one kind in a snapshot.
type kindState struct {
	objects *btree.Map[string, *entry] // nil if the kind was not listed yet
	indexes []*btree.BTreeG[indexItem] // by index slot; indexes added later are missing
}

// entry is an object with its metadata in etcd. It never changes.
type entry struct {
	key  string // namespace/name, or name
	obj  store.Object
	rev  int64      // ModRevision
	sum  uint64     // of the encoded value
	size int        // of key and value in etcd, in bytes
	form *valueForm // interned by kind.form
}

// kind returns the state of a kind in this snapshot.
func (s *Snapshot) kind(k *kind) kindState {
	if s.replica != k.replica {
		panic("informer: the snapshot belongs to another replica")
	}
	if k.slot >= len(s.kinds) {
		return kindState{}
	}
	return s.kinds[k.slot]
}

// get finds an object. It does not allocate if the key is within Kubernetes' limits
// for names.
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

// ListOptions select the objects that a list yields. The zero value selects all.
type ListOptions struct {
	// Namespace selects the objects of one namespace; the list then costs no more
	// than that namespace. Defaults to all namespaces.
	Namespace string
	// Selector selects objects by their labels. Defaults to all objects.
	Selector labels.Selector
}

// Selects reports whether the options select obj. Use it for objects that are in no
// snapshot.
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
