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

// Mutation is a change that somebody made to an object of a replica. That is an
// error: all readers share the object.
type Mutation struct {
	// Kind and Key name the object. Revision is its ModRevision in etcd.
	Kind     string
	Key      store.Key
	Revision int64
	// Diff shows the change as a unified diff of the object's JSON. If the store
	// encrypts values, Diff only says so.
	Diff string
}

// String names the object and shows the change.
func (m Mutation) String() string {
	return fmt.Sprintf("%s %s of revision %d was changed though it is shared:\n%s", m.Kind, m.Key, m.Revision, m.Diff)
}

// mutations finds changes of a replica's objects. It holds the encoded form of each,
// from when it was decoded. It is guarded by Replica.mu. A nil *mutations does nothing.
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

// drop checks an object for the last time, when the replica removes it.
func (m *mutations) drop(e *entry) {
	if m == nil {
		return
	}
	m.check(e)
	delete(m.known, e)
}

// replace checks and drops the objects of a kind that a list has removed.
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

// check compares an object with what it was. It reports each change once.
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
		Diff: m.diff(was, is),
	})
	m.known[e] = remembered{was.kind, is}
}

func (m *mutations) diff(was remembered, is []byte) string {
	if was.kind.replica.store.Encrypts() {
		return "the difference " + withheld
	}
	return diff.Diff(json.RawMessage(was.json), json.RawMessage(is))
}

// encodeObject returns an error as JSON if the object cannot be encoded.
func encodeObject(obj store.Object) []byte {
	value, err := json.Marshal(obj)
	if err != nil {
		value, _ = json.Marshal(err.Error()) // a string always can
	}
	return value
}

// startMutations starts a goroutine that checks objects for changes. stop makes it
// check all objects once more, and waits for its end.
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

// mutationSample is the number of objects in one check, other than the last, so that
// the check does not keep the replica waiting.
const mutationSample = 200

// sample checks some objects, in random order, or all of them. It returns the changes
// since the last sample.
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
			r.log.Error(nil, "OnMutation panicked", "panic", r.panicText(p), "stack", string(debug.Stack()))
		}
	}()
	r.mutations.report(m)
}
