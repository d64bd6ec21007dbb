package test

import (
	"encoding/json"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/store"
)

// story is an invented history. Each step is one revision.
type story struct {
	events []*clientv3.Event
	byTest map[int64]bool
	alive  map[string]int64 // existing keys and their create revisions
}

func (s *story) put(key, value string) (revision int64) {
	revision = int64(len(s.events) + 2)
	if s.alive[key] == 0 {
		s.alive[key] = revision
	}
	s.events = append(s.events, &clientv3.Event{Type: clientv3.EventTypePut, Kv: &mvccpb.KeyValue{
		Key: []byte(key), Value: []byte(value), CreateRevision: s.alive[key], ModRevision: revision,
	}})
	return revision
}

func (s *story) delete(key string) (revision int64) {
	revision = int64(len(s.events) + 2)
	delete(s.alive, key)
	s.events = append(s.events, &clientv3.Event{Type: clientv3.EventTypeDelete, Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: revision}})
	return revision
}

// write puts an object with a token, or without one if token is 0.
func (s *story) write(kind string, obj store.Object, token int64) {
	GinkgoHelper()
	if token != 0 {
		obj.SetAnnotations(map[string]string{tokenAnnotation: strconv.FormatInt(token, 10)})
	}
	value, err := json.Marshal(obj)
	Expect(err).NotTo(HaveOccurred())
	s.put(storyKey(kind, obj.GetName()), string(value))
}

func storyKey(kind, name string) string { return crashPrefix + kind + "/default/" + name }

func storyMeta(name string, owner types.UID) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{Name: name, UID: types.UID("uid of " + name), Generation: 1}
	if owner != "" {
		meta.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(&metav1.ObjectMeta{UID: owner}, schema.GroupVersionKind{})}
	}
	return meta
}

func storyFleet(name string) *Fleet {
	return &Fleet{ObjectMeta: storyMeta(name, ""), Spec: FleetSpec{Groups: 1}}
}

func storyGroup(fleet, name string) *Group {
	return &Group{ObjectMeta: storyMeta(name, types.UID("uid of "+fleet)), Spec: GroupSpec{Units: 1, Hands: 1}}
}

func storyUnit(name string) *Unit { return &Unit{ObjectMeta: storyMeta(name, "uid of a-g0")} }

func storyHand(name string) *Hand {
	return &Hand{ObjectMeta: storyMeta(name, "uid of a-g0"), Spec: HandSpec{AskedAt: 1}}
}

const (
	oneKey     = "/homeostat/sharding/registry/crash/buckets/00001"
	anotherKey = "/homeostat/sharding/registry/crash/buckets/00002"
)

// newStory returns a story without violations, and its token.
func newStory() (s *story, token int64) {
	GinkgoHelper()
	s = &story{byTest: map[int64]bool{2: true}, alive: map[string]int64{}}
	s.write("fleets", storyFleet("a"), 0) // at revision 2
	token = s.put(oneKey, "process")
	s.write("groups", storyGroup("a", "a-g0"), token)
	s.write("units", storyUnit("a-g0-u0"), token)
	s.write("hands", storyHand("a-g0-h-x"), token)
	s.write("fleets", storyFleet("a"), token)
	return s, token
}

var _ = DescribeTable("The audit of a history",
	func(continues func(s *story, token int64), want ...string) {
		s, token := newStory()
		continues(s, token)
		a := newAudit(s.byTest)
		a.read(s.events)
		Expect(a.found).To(HaveLen(len(want)))
		for i, problem := range want {
			Expect(a.found[i]).To(ContainSubstring(problem))
		}
	},
	Entry("finds nothing in a correct history", func(s *story, token int64) {
		s.byTest[s.delete(storyKey("hands", "a-g0-h-x"))] = true
		s.delete(oneKey)
		next := s.put(oneKey, "another")
		s.write("hands", storyHand("a-g0-h-y"), next)
	}),
	Entry("finds the deletion of a child that the owner asks for", func(s *story, _ int64) {
		s.delete(storyKey("units", "a-g0-u0"))
	}, "was deleted while its owner asked for 1"),
	Entry("finds nothing if the test deleted the child that is created again", func(s *story, token int64) {
		s.byTest[s.delete(storyKey("units", "a-g0-u0"))] = true
		s.write("units", storyUnit("a-g0-u0"), token)
	}),
	Entry("finds a write without a token", func(s *story, _ int64) {
		s.write("units", storyUnit("a-g0-u0"), 0)
	}, "without a token"),
	Entry("finds a write with a token whose key is gone", func(s *story, token int64) {
		s.delete(oneKey)
		s.write("units", storyUnit("a-g0-u0"), token)
	}, "which is dead"),
	Entry("finds a write with a token whose key has another holder", func(s *story, token int64) {
		s.delete(oneKey)
		s.put(oneKey, "another")
		s.write("units", storyUnit("a-g0-u0"), token)
	}, "which is dead"),
	Entry("finds a deletion while no process holds a key", func(s *story, _ int64) {
		s.byTest[s.delete(storyKey("fleets", "a"))] = true
		s.delete(oneKey)
		s.delete(storyKey("groups", "a-g0"))
	}, "while nobody had the right to"),
	Entry("finds a lower token than before", func(s *story, token int64) {
		next := s.put(anotherKey, "another")
		s.write("units", storyUnit("a-g0-u0"), next)
		s.write("units", storyUnit("a-g0-u0"), token)
	}, "other objects of Fleet a under", "with the token 3 after 8"),
	Entry("finds two keys for one Fleet", func(s *story, _ int64) {
		s.write("groups", storyGroup("a", "a-g0"), s.put(anotherKey, "another"))
	}, "other objects of Fleet a under"),
	Entry("finds a child that nobody asked for", func(s *story, token int64) {
		s.write("units", storyUnit("a-g0-u1"), token)
	}, "while its owner asked for 1"),
	Entry("finds a child of an owner that is gone", func(s *story, token int64) {
		s.byTest[s.delete(storyKey("groups", "a-g0"))] = true
		s.write("units", storyUnit("a-g0-u0"), token)
		s.byTest[s.delete(storyKey("units", "a-g0-u0"))] = true
		s.write("units", storyUnit("a-g0-u0"), token)
	}, "for an owner that was gone"),
	Entry("finds a duplicate child", func(s *story, token int64) {
		s.write("units", storyUnit("another-u0"), token)
	}, "while there were 1 of it already"),
	Entry("finds one counted child too many", func(s *story, token int64) {
		s.write("hands", storyHand("a-g0-h-y"), token)
	}, "as one of 2, of which 1 were asked for"),
	Entry("finds a counted child that was created again", func(s *story, token int64) {
		s.delete(storyKey("hands", "a-g0-h-x"))
		s.write("hands", storyHand("a-g0-h-y"), token)
	}, "as number 2, where 1 were asked for"),
)
