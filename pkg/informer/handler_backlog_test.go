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

// backlogModel drives a backlog, and keeps what its reader received.
type backlogModel struct {
	t           *testing.T
	backlog     backlog
	now         map[string]*entry // the current state
	received    map[string]*entry // what the reader knows
	rev         int64
	receivedRev int64
	most        int // the longest backlog so far

	watermark   map[string]*entry // the state at the last watermark; nil once the reader has reached it
	undelivered int               // undelivered changes up to the watermark
}

func newBacklogModel(t *testing.T, limit int) *backlogModel {
	return &backlogModel{t: t, backlog: newBacklog(limit), now: map[string]*entry{}, received: map[string]*entry{}}
}

// change creates, deletes or updates a key.
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
	if c.old != m.received[c.key] {
		m.t.Fatalf("%s at %d: old is %v, want the received %v", c.key, c.revision, c.old, m.received[c.key])
	}
	if c.revision < m.receivedRev {
		m.t.Fatalf("%s: revision %d after %d", c.key, c.revision, m.receivedRev)
	}
	m.receivedRev = c.revision
	if c.new == nil {
		delete(m.received, c.key)
	} else {
		m.received[c.key] = c.new
	}
	m.undelivered--
	m.checkMark()
	m.check()
	return true
}

// setWatermark sets a watermark. The model then checks that the reader, at the watermark,
// knows the state of this moment.
func (m *backlogModel) setWatermark() {
	m.undelivered, m.watermark = m.backlog.setWatermark(), maps.Clone(m.now)
	m.checkMark()
}

func (m *backlogModel) checkMark() {
	m.t.Helper()
	if m.watermark == nil || m.undelivered > 0 {
		return
	}
	if !maps.Equal(m.received, m.watermark) {
		m.t.Fatalf("at the watermark the reader knows %v, want %v", m.received, m.watermark)
	}
	m.watermark = nil
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

// finish reads the rest. The reader must then know the current state.
func (m *backlogModel) finish() {
	m.t.Helper()
	for m.pop() {
	}
	if len(m.received) != len(m.now) {
		m.t.Fatalf("received %d objects, there are %d", len(m.received), len(m.now))
	}
	for key, e := range m.now {
		if m.received[key] != e {
			m.t.Fatalf("%s: received %v, it is %v", key, m.received[key], e)
		}
	}
}

// Each byte is a step: a key is changed, changes are read, or a watermark is set.
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
				if m.undelivered <= 0 { // one watermark at a time
					m.setWatermark()
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
		t.Fatalf("%d changes were received", n)
	}
}

// Objects that are created and deleted while nothing is read must not accumulate.
func TestBacklogDropsShortLivedObjects(t *testing.T) {
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
