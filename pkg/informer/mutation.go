package informer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/diff"

	"github.com/homeostat/homeostat/pkg/store"
)

// Mutation is a change of an object that a replica has handed out, which nobody
// may change: other readers have the same object.
type Mutation struct {
	// Kind and Key name the object, and Revision is that of the object's value.
	Kind     string
	Key      store.Key
	Revision int64
	// Diff shows what was changed, in the form of a unified diff of the object's
	// JSON.
	Diff string
}

// String names the object and shows what was changed.
func (m Mutation) String() string {
	return fmt.Sprintf("%s %s of revision %d was changed though it is shared:\n%s", m.Kind, m.Key, m.Revision, m.Diff)
}

// mutations finds changes of the objects of a replica: it has their encoded forms
// as they were when they came in. It belongs to whoever holds Replica.mu. A nil one
// does nothing.
type mutations struct {
	report  func(Mutation)
	known   map[*entry]remembered
	changed []Mutation // to be reported
}

type remembered struct {
	kind *kind
	json []byte
}

func newMutations(report func(Mutation)) *mutations {
	if report == nil {
		return nil
	}
	return &mutations{report: report, known: map[*entry]remembered{}}
}

// add remembers an object as it is.
func (m *mutations) add(k *kind, e *entry) {
	if m == nil {
		return
	}
	if _, known := m.known[e]; !known {
		m.known[e] = remembered{k, encodeObject(e.obj)}
	}
}

// drop takes a last look at an object that the replica no longer has.
func (m *mutations) drop(e *entry) {
	if m == nil {
		return
	}
	m.check(e)
	delete(m.known, e)
}

// replace is told of a list: what objects a kind has now.
func (m *mutations) replace(k *kind, has func(*entry) bool) {
	if m == nil {
		return
	}
	for e, was := range m.known {
		if was.kind == k && !has(e) {
			m.check(e)
			delete(m.known, e)
		}
	}
}

// check compares an object with what it was. A change is found once.
func (m *mutations) check(e *entry) {
	was := m.known[e]
	is := encodeObject(e.obj)
	if bytes.Equal(was.json, is) {
		return
	}
	namespace, name, namespaced := strings.Cut(e.key, "/")
	if !namespaced {
		namespace, name = "", e.key
	}
	m.changed = append(m.changed, Mutation{
		Kind: was.kind.info.GroupVersionKind.Kind, Key: store.Key{Namespace: namespace, Name: name}, Revision: e.rev,
		Diff: diff.Diff(json.RawMessage(was.json), json.RawMessage(is)),
	})
	m.known[e] = remembered{was.kind, is}
}

// encodeObject returns an error, as JSON, where an object cannot be encoded.
func encodeObject(obj store.Object) []byte {
	value, err := json.Marshal(obj)
	if err != nil {
		value, _ = json.Marshal(err.Error()) // a string always can
	}
	return value
}

// startMutations looks for changes of objects until stop is called, which looks
// once more.
func (r *Replica) startMutations() (stop func()) {
	done := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		tick := r.clock.NewTicker(r.timing.mutation)
		defer tick.Stop()
		for stopping := false; !stopping; {
			select {
			case <-tick.C():
			case <-done:
				stopping = true
			}
			r.mu.Lock()
			found := r.mutations.sample(stopping)
			r.mu.Unlock()
			for _, m := range found {
				r.reportMutation(m)
			}
		}
	})
	return func() {
		close(done)
		looking.Wait()
	}
}

// lookAt is how many objects are looked at in one look that is not the last, so
// that it does not keep the replica waiting.
const mutationSample = 200

// look returns what was found since the last look. It looks at some objects, by
// chance, or at all.
func (m *mutations) sample(all bool) []Mutation {
	n := 0
	for e := range m.known {
		m.check(e)
		if n++; n == mutationSample && !all {
			break
		}
	}
	found := m.changed
	m.changed = nil
	return found
}

func (r *Replica) reportMutation(m Mutation) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error(nil, "the function that is told of mutations panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	r.mutations.report(m)
}
