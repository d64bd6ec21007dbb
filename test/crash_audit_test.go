package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// audit reads etcd's history and finds violations:
//
//   - A write without a token, with a token whose key no longer existed, or with a
//     lower token than the object had before. A deletion, which has no token, while no
//     process held a key.
//   - Writes to the objects of one Fleet under the tokens of two keys.
//   - A created child that its owner did not ask for, or that existed already. A deleted
//     child that its owner asked for.
//
// The test's own writes cannot be violations, but they count for later ones.
type audit struct {
	byTest map[int64]bool // revisions

	holders map[string]int64               // the tokens of the keys that grant them
	objects map[string]*audited            // existing objects by key
	byUID   map[types.UID]*audited         // existing objects by uid
	asked   map[types.UID]map[int64]int    // desired Hands by Group and its generation
	created map[types.UID]map[int64]int    // created Hands by Group and its generation
	deleted map[types.UID]int              // Hands that the test deleted, by Group
	shares  map[string]map[string]struct{} // the keys that may be responsible for a Fleet

	found     []string
	tokens    map[int64]int // writes by token
	creations map[string]int
}

// audited is an object at one revision.
type audited struct {
	key, kind string
	meta      metav1.ObjectMeta
	asks      int // children with names that follow from its own
	token     int64
}

func newAudit(byTest map[int64]bool) *audit {
	return &audit{
		byTest: byTest, holders: map[string]int64{}, objects: map[string]*audited{}, byUID: map[types.UID]*audited{},
		asked: map[types.UID]map[int64]int{}, created: map[types.UID]map[int64]int{}, deleted: map[types.UID]int{},
		shares: map[string]map[string]struct{}{}, tokens: map[int64]int{}, creations: map[string]int{},
	}
}

// read goes through the whole history.
func (a *audit) read(events []*clientv3.Event) {
	for len(events) > 0 {
		revision, n := events[0].Kv.ModRevision, 0
		for n < len(events) && events[n].Kv.ModRevision == revision {
			n++
		}
		a.revision(revision, events[:n])
		events = events[n:]
	}
}

// change is a change of one object. old is nil for a creation, now for a deletion.
type change struct{ old, now *audited }

// revision applies all events of one revision and then checks them.
func (a *audit) revision(revision int64, events []*clientv3.Event) {
	var changes []change
	for _, ev := range events {
		switch key := string(ev.Kv.Key); {
		case givesTokens(key):
			if ev.Type == clientv3.EventTypeDelete {
				delete(a.holders, key)
			} else {
				a.holders[key] = ev.Kv.CreateRevision
			}
		case strings.HasPrefix(key, crashPrefix):
			changes = append(changes, a.apply(ev))
		}
	}
	for _, c := range changes {
		if problem := a.check(c, a.byTest[revision]); problem != "" {
			obj := c.now
			if obj == nil {
				obj = c.old
			}
			a.found = append(a.found, fmt.Sprintf("revision %d: %s: %s", revision, obj.key, problem))
		}
	}
}

func givesTokens(key string) bool {
	return strings.HasPrefix(key, "/homeostat/leadership/") ||
		strings.HasPrefix(key, "/homeostat/sharding/") && strings.Contains(key, "/buckets/")
}

// crashKind returns the resource in a key.
func crashKind(key []byte) string {
	kind, _, _ := strings.Cut(strings.TrimPrefix(string(key), crashPrefix), "/")
	return kind
}

func (a *audit) apply(ev *clientv3.Event) change {
	key := string(ev.Kv.Key)
	c := change{old: a.objects[key]}
	if ev.Type == clientv3.EventTypeDelete {
		delete(a.objects, key)
		delete(a.byUID, c.old.meta.UID)
		return c
	}
	c.now = decodeAudited(ev)
	a.objects[key], a.byUID[c.now.meta.UID] = c.now, c.now
	if c.now.kind == "groups" {
		if a.asked[c.now.meta.UID] == nil {
			a.asked[c.now.meta.UID], a.created[c.now.meta.UID] = map[int64]int{}, map[int64]int{}
		}
		var group Group
		_ = json.Unmarshal(ev.Kv.Value, &group) // it was decoded above
		a.asked[c.now.meta.UID][c.now.meta.Generation] = group.Spec.Hands
	}
	return c
}

func decodeAudited(ev *clientv3.Event) *audited {
	var obj struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
		Spec     struct {
			Groups, Units int
			AskedAt       int64
		} `json:"spec"`
	}
	if err := json.Unmarshal(ev.Kv.Value, &obj); err != nil {
		return &audited{key: string(ev.Kv.Key), kind: "undecodable: " + err.Error()}
	}
	d := &audited{key: string(ev.Kv.Key), kind: crashKind(ev.Kv.Key), meta: obj.Metadata}
	switch d.kind {
	case "fleets":
		d.asks = obj.Spec.Groups
	case "groups":
		d.asks = obj.Spec.Units
	case "hands":
		d.meta.Generation = obj.Spec.AskedAt // of its Group; its own is always 1
	}
	d.token, _ = strconv.ParseInt(d.meta.Annotations[tokenAnnotation], 10, 64)
	return d
}

// check returns the violation of a change, or an empty string.
func (a *audit) check(c change, byTest bool) string {
	if !byTest {
		if problem := a.checkToken(c); problem != "" {
			return problem
		}
	}
	switch {
	case c.old == nil:
		a.creations[c.now.kind]++
		return a.checkCreation(c.now)
	case c.now == nil:
		return a.checkDeletion(c.old, byTest)
	case c.now.meta.UID != c.old.meta.UID:
		return "one object has become another"
	}
	return ""
}

func (a *audit) checkToken(c change) string {
	if c.now == nil || c.now.meta.DeletionTimestamp != nil {
		// Only the garbage collector changes an object that is being deleted.
		if len(a.holders) == 0 {
			return "was deleted while nobody had the right to"
		}
		return ""
	}
	token := c.now.token
	a.tokens[token]++
	mine := map[string]struct{}{}
	for key, t := range a.holders {
		if t == token {
			mine[key] = struct{}{}
		}
	}
	fleet, whole := a.rootOf(c.now)
	switch {
	case token == 0:
		return "was written without a token"
	case len(mine) == 0:
		return fmt.Sprintf("was written with the token %d, which is dead", token)
	case !whole: // no key is responsible for an object that has lost its owner
		return ""
	case c.old != nil && token < c.old.token:
		return fmt.Sprintf("was written with the token %d after %d", token, c.old.token)
	case a.shares[fleet] == nil:
		a.shares[fleet] = mine
		return ""
	}
	before := slices.Sorted(maps.Keys(a.shares[fleet]))
	maps.DeleteFunc(a.shares[fleet], func(key string, _ struct{}) bool { _, ok := mine[key]; return !ok })
	if len(a.shares[fleet]) == 0 {
		return fmt.Sprintf("was written under %v, other objects of Fleet %s under %v", slices.Sorted(maps.Keys(mine)), fleet, before)
	}
	return ""
}

// rootOf returns the name of the Fleet at the end of an object's owners, and false if
// one of the owners does not exist.
func (a *audit) rootOf(obj *audited) (string, bool) {
	for obj.kind != "fleets" {
		if obj = a.ownerOf(obj); obj == nil {
			return "", false
		}
	}
	return obj.meta.Name, true
}

func (a *audit) ownerOf(obj *audited) *audited {
	ref := metav1.GetControllerOf(&obj.meta)
	if ref == nil {
		return nil
	}
	return a.byUID[ref.UID]
}

func (a *audit) checkCreation(obj *audited) string {
	owner := a.ownerOf(obj)
	switch {
	case obj.kind == "fleets":
		return ""
	case metav1.GetControllerOf(&obj.meta) == nil:
		return "was created without an owner"
	case obj.kind == "hands":
		return a.checkHand(obj)
	case owner == nil || owner.meta.DeletionTimestamp != nil:
		return "was created for an owner that was gone"
	case ordinalOf(obj) >= owner.asks:
		return fmt.Sprintf("was created while its owner asked for %d", owner.asks)
	}
	live := a.childrenOf(owner.meta.UID, func(other *audited) bool { return other.kind == obj.kind && ordinalOf(other) == ordinalOf(obj) })
	if live != 1 {
		return fmt.Sprintf("was created while there were %d of it already", live-1)
	}
	return ""
}

// checkHand counts Hands. Hands are created without a condition on their Group, which
// may have changed or gone meanwhile.
func (a *audit) checkHand(hand *audited) string {
	group := metav1.GetControllerOf(&hand.meta).UID
	asked, known := a.asked[group][hand.meta.Generation]
	if !known {
		return "was created for a Group that never was"
	}
	if live := a.childrenOf(group, func(o *audited) bool { return o.kind == "hands" }); live > asked {
		return fmt.Sprintf("was created as one of %d, of which %d were asked for", live, asked)
	}
	a.created[group][hand.meta.Generation]++
	if n, most := a.created[group][hand.meta.Generation], asked+a.deleted[group]; n > most {
		return fmt.Sprintf("was created as number %d, where %d were asked for and the test deleted %d", n, asked, a.deleted[group])
	}
	return ""
}

func (a *audit) checkDeletion(obj *audited, byTest bool) string {
	owner := a.ownerOf(obj)
	switch {
	case obj.kind == "hands" && byTest:
		a.deleted[metav1.GetControllerOf(&obj.meta).UID]++
	case obj.kind == "fleets" || obj.kind == "hands" || byTest || owner == nil || owner.meta.DeletionTimestamp != nil:
	case ordinalOf(obj) < owner.asks && obj.meta.DeletionTimestamp == nil:
		return fmt.Sprintf("was deleted while its owner asked for %d", owner.asks)
	}
	return ""
}

func (a *audit) childrenOf(owner types.UID, counts func(*audited) bool) int {
	n := 0
	for _, obj := range a.objects {
		if ref := metav1.GetControllerOfNoCopy(&obj.meta); ref != nil && ref.UID == owner && counts(obj) {
			n++
		}
	}
	return n
}

// ordinalOf returns the number at the end of a name. It does not work for generated
// names.
func ordinalOf(obj *audited) int {
	name := obj.meta.Name
	i, err := strconv.Atoi(name[strings.LastIndexAny(name, "gu")+1:])
	if err != nil {
		return -1
	}
	return i
}
