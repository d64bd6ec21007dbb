package informer

import (
	"fmt"
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

func newEntry(key string, rev int64) *entry {
	cm := &corev1.ConfigMap{}
	cm.Name, cm.UID = key, types.UID(key)
	return &entry{key: key, obj: cm, rev: rev}
}

// backlogModel drives a backlog, and knows what its reader was told.
type backlogModel struct {
	t       *testing.T
	backlog backlog
	now     map[string]*entry // what is
	told    map[string]*entry // what the reader knows
	rev     int64
	toldRev int64
	most    int // that ever waited

	marked map[string]*entry // what was, at the last mark; nil once the reader was told it
	owed   int               // how many changes the reader is not told of it
}

func newBacklogModel(t *testing.T, limit int) *backlogModel {
	return &backlogModel{t: t, backlog: newBacklog(limit), now: map[string]*entry{}, told: map[string]*entry{}}
}

// change changes a key: it comes, goes, or gets another value.
func (m *backlogModel) change(key string, remove bool) {
	m.rev++
	c := change{key: key, old: m.now[key], revision: m.rev}
	if remove && c.old == nil {
		return
	}
	if !remove {
		c.new = newEntry(key, m.rev)
		m.now[key] = c.new
	} else {
		delete(m.now, key)
	}
	m.backlog.push(c)
	m.check()
}

func (m *backlogModel) pop() bool {
	m.t.Helper()
	c, ok := m.backlog.pop()
	if !ok {
		return false
	}
	if c.old != m.told[c.key] {
		m.t.Fatalf("%s at %d: old is %v, told was %v", c.key, c.revision, c.old, m.told[c.key])
	}
	if c.revision < m.toldRev {
		m.t.Fatalf("%s: revision %d after %d", c.key, c.revision, m.toldRev)
	}
	m.toldRev = c.revision
	if c.new == nil {
		delete(m.told, c.key)
	} else {
		m.told[c.key] = c.new
	}
	m.owed--
	m.checkMark()
	m.check()
	return true
}

// mark has the model see to it that the reader comes to know just what is.
func (m *backlogModel) mark() {
	m.owed, m.marked = m.backlog.setWatermark(), maps.Clone(m.now)
	m.checkMark()
}

func (m *backlogModel) checkMark() {
	m.t.Helper()
	if m.marked == nil || m.owed > 0 {
		return
	}
	if !maps.Equal(m.told, m.marked) {
		m.t.Fatalf("told up to the mark, the reader knows %v, marked was %v", m.told, m.marked)
	}
	m.marked = nil
}

// check checks the bounds that hold at any time.
func (m *backlogModel) check() {
	m.t.Helper()
	keys := map[string]bool{}
	live := 0
	for _, c := range m.backlog.queue {
		if c.key != "" {
			live++
			keys[c.key] = true
		}
	}
	if live != m.backlog.live {
		m.t.Fatalf("live is %d, %d are", m.backlog.live, live)
	}
	if live > m.backlog.limit+2*len(keys) {
		m.t.Fatalf("%d changes of %d keys wait, the limit is %d", live, len(keys), m.backlog.limit)
	}
	m.most = max(m.most, live)
	if n := len(m.backlog.queue); n > m.backlog.limit+1 && n > 2*m.most+1 {
		m.t.Fatalf("%d places, where at most %d changes waited", n, m.most)
	}
	if len(m.backlog.last) > len(keys) {
		m.t.Fatalf("%d keys are known, %d wait", len(m.backlog.last), len(keys))
	}
}

// finish reads the rest, after which the reader must know what is.
func (m *backlogModel) finish() {
	m.t.Helper()
	for m.pop() {
	}
	if len(m.told) != len(m.now) {
		m.t.Fatalf("told of %d objects, there are %d", len(m.told), len(m.now))
	}
	for key, e := range m.now {
		if m.told[key] != e {
			m.t.Fatalf("%s: told was %v, it is %v", key, m.told[key], e)
		}
	}
}

// Each byte is a step: a key comes or goes, changes are read, or are marked.
func FuzzBacklog(f *testing.F) {
	f.Add(uint8(0), []byte("abcabcABCabc"))
	f.Add(uint8(3), []byte("aaaaAAaA~bbBBaab~~~~cccaaabbb"))
	f.Add(uint8(2), []byte("abABabABabABab~ab~AB~ab"))
	f.Add(uint8(1), []byte("abab\xffabABab\xffab~~~~~~~~~~\xffab"))
	f.Fuzz(func(t *testing.T, limit uint8, steps []byte) {
		m := newBacklogModel(t, int(limit%16))
		for _, step := range steps {
			switch {
			case step == 255:
				if m.owed <= 0 { // there is one mark at a time
					m.mark()
				}
			case step%4 == 3:
				m.pop()
			default:
				m.change(fmt.Sprint(step>>2%8), step%4 == 0)
			}
		}
		m.finish()
	})
}

func TestBacklogIsBounded(t *testing.T) {
	const keys, changes = 100, 100_000
	m := newBacklog(backlogLimit)
	known := map[string]*entry{}
	for i := range changes {
		key := fmt.Sprint(i % keys)
		e := newEntry(key, int64(i+1))
		m.push(change{key: key, old: known[key], new: e, revision: e.rev})
		known[key] = e
		if m.live > backlogLimit+keys || len(m.queue) > 2*(backlogLimit+keys)+1 {
			t.Fatalf("after %d changes %d wait, in %d places", i+1, m.live, len(m.queue))
		}
	}
	n := 0
	for last := int64(0); ; n++ {
		c, ok := m.pop()
		if !ok {
			break
		}
		if c.revision <= last {
			t.Fatalf("revision %d after %d", c.revision, last)
		}
		last = c.revision
	}
	if n < keys || n > backlogLimit+keys {
		t.Fatalf("%d changes were told", n)
	}
}

// Objects that come and go while nobody listens must not add up.
func TestBacklogForgetsWhatCameAndWent(t *testing.T) {
	m := newBacklogModel(t, 8)
	for i := range 1000 {
		m.change(fmt.Sprint("passing-", i), false)
		m.change(fmt.Sprint("passing-", i), true)
	}
	if m.backlog.live > 10 {
		t.Fatalf("%d changes wait", m.backlog.live)
	}
	m.finish()
}
