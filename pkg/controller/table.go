package controller

// tableKept is how many elements a table may have had and still keep their
// memory when it is empty.
const tableKept = 4096

// table is a map that gives back what it has grown to once it is empty, which
// Go's do not: a controller has all its keys queued at its start, and hardly ever
// again.
type table[K comparable, V any] struct {
	m    map[K]V
	most int
}

func (t *table[K, V]) len() int { return len(t.m) }

func (t *table[K, V]) get(key K) (V, bool) {
	v, ok := t.m[key]
	return v, ok
}

func (t *table[K, V]) set(key K, v V) {
	if t.m == nil {
		t.m = map[K]V{}
	}
	t.m[key] = v
	t.most = max(t.most, len(t.m))
}

func (t *table[K, V]) delete(key K) {
	delete(t.m, key)
	if len(t.m) == 0 && t.most > tableKept {
		t.m, t.most = nil, 0
	}
}
