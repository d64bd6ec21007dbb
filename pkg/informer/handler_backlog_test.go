package informer

import (
	"fmt"
	"maps"
	"math"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

const entryMaxSize = 99

func newEntry(key string, rev int64) *entry {
	cm := &corev1.ConfigMap{}
	cm.Name, cm.UID = key, types.UID(key)
	return &entry{key: key, obj: cm, rev: rev, size: int(rev) % (entryMaxSize + 1)}
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

	unseen map[int64]*entry // the old states of the changes that were neither read nor returned as joined

	watermark   map[string]*entry // the state at the last watermark; nil once the reader has reached it
	undelivered int               // undelivered changes up to the watermark
}

func newBacklogModel(t *testing.T, limit, maxBytes int) *backlogModel {
	return &backlogModel{t: t, backlog: newBacklog(limit, maxBytes), now: map[string]*entry{}, received: map[string]*entry{}, unseen: map[int64]*entry{}}
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
	m.unseen[c.revision] = c.old
	for _, part := range m.backlog.push(c) {
		m.see(part)
	}
	m.check()
}

// see notes a single change, which must not have been seen before.
func (m *backlogModel) see(c change) {
	m.t.Helper()
	if old, ok := m.unseen[c.revision]; !ok || old != c.old {
		m.t.Fatalf("%s at %d was seen twice, or with another old state", c.key, c.revision)
	}
	delete(m.unseen, c.revision)
}

func (m *backlogModel) pop() bool {
	m.t.Helper()
	joined := false
	for _, c := range m.backlog.queue {
		if c.key != "" {
			joined = c.joined
			break
		}
	}
	c, ok := m.backlog.pop()
	if !ok {
		return false
	}
	if !joined {
		m.see(c)
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
	live, bytes := 0, 0
	for _, c := range m.backlog.queue {
		if c.key != "" {
			live++
			keys[c.key] = true
			bytes += c.bytes()
		}
	}
	if most := min(m.backlog.maxBytes, 1<<30) + (4*len(keys)+2)*entryMaxSize; bytes != m.backlog.bytes || bytes > most {
		m.t.Fatalf("bytes is %d, there are %d, and %d are allowed", m.backlog.bytes, bytes, most)
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
	if len(m.unseen) > 0 {
		m.t.Fatalf("lost: %v", m.unseen)
	}
}

// Each byte is a step: a key is changed, changes are read, or a watermark is set.
func FuzzBacklog(f *testing.F) {
	f.Add(uint8(0), []byte("abcabcABCabc"))
	f.Add(uint8(3), []byte("aaaaAAaA~bbBBaab~~~~cccaaabbb"))
	f.Add(uint8(2), []byte("abABabABabABab~ab~AB~ab"))
	f.Add(uint8(1), []byte("abab\xffabABab\xffab~~~~~~~~~~\xffab"))
	f.Fuzz(func(t *testing.T, limit uint8, steps []byte) {
		m := newBacklogModel(t, int(limit%16), int(limit/16)*100)
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
	m := newBacklog(backlogLimit, backlogBytes)
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
	m := newBacklogModel(t, 8, math.MaxInt)
	for i := range 1000 {
		m.change(fmt.Sprint("passing-", i), false)
		m.change(fmt.Sprint("passing-", i), true)
	}
	if m.backlog.live > 10 {
		t.Fatalf("%d changes wait", m.backlog.live)
	}
	m.finish()
}

// A handler that is blocked must not keep more than a few versions of a large object.
func TestBacklogOfALargeObject(t *testing.T) {
	const size = 100 << 10
	b := newBacklog(backlogLimit, backlogBytes)
	var old *entry
	for rev := range int64(4500) {
		e := newEntry("large", rev+1)
		e.size = size
		b.push(change{key: "large", old: old, new: e, revision: e.rev})
		old = e
		if b.bytes > backlogBytes+4*size || b.live > backlogBytes/size+2 {
			t.Fatalf("after %d changes %d wait, with %d bytes", rev+1, b.live, b.bytes)
		}
	}
	for ok := true; ok; {
		_, ok = b.pop()
	}
	if b.bytes != 0 {
		t.Fatalf("%d bytes are left of nothing", b.bytes)
	}
}
