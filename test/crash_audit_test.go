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

// audit goes through etcd's history and finds what must not have happened:
//
//   - A write without a token, or with one of which no key was there any more, or
//     with a lower one than the object had before. A deletion, which has no
//     token, while nobody had a key.
//   - Two processes that shared what one Fleet owns: the tokens of all of it are
//     one key's.
//   - A child created that its owner did not ask for, or not any more, or that
//     was there already; one deleted that its owner asked for.
//
// What the test did itself is exempt, but counts.
type audit struct {
	byTest map[int64]bool // revisions

	holders map[string]int64               // the keys that give tokens, and their tokens
	objects map[string]*audited            // by key
	byUID   map[types.UID]*audited         // those that exist
	asked   map[types.UID]map[int64]int    // Hands, by the generation of their Group
	created map[types.UID]map[int64]int    // Hands, by the generation they were created for
	robbed  map[types.UID]int              // Hands that the test deleted, by their Group
	shares  map[string]map[string]struct{} // keys that may be the one of a Fleet

	found  []string
	tokens map[int64]int // writes by token
	births map[string]int
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
		asked: map[types.UID]map[int64]int{}, created: map[types.UID]map[int64]int{}, robbed: map[types.UID]int{},
		shares: map[string]map[string]struct{}{}, tokens: map[int64]int{}, births: map[string]int{},
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

// change is what became of one object.
type change struct{ old, now *audited } // nil where there was or is none

// revision takes in what happened at one revision, and then judges it.
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
		if problem := a.judge(c, a.byTest[revision]); problem != "" {
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

// judge says what is wrong with a change.
func (a *audit) judge(c change, byTest bool) string {
	if !byTest {
		if problem := a.judgeToken(c); problem != "" {
			return problem
		}
	}
	switch {
	case c.old == nil:
		a.births[c.now.kind]++
		return a.judgeBirth(c.now)
	case c.now == nil:
		return a.judgeDeath(c.old, byTest)
	case c.now.meta.UID != c.old.meta.UID:
		return "one object has become another"
	}
	return ""
}

func (a *audit) judgeToken(c change) string {
	if c.now == nil || c.now.meta.DeletionTimestamp != nil {
		// Nothing but the garbage collector changes what is being deleted.
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
	case !whole: // which key is in charge of what has lost its owner is not defined
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
		return fmt.Sprintf("was written under %v, what else is of Fleet %s under %v", slices.Sorted(maps.Keys(mine)), fleet, before)
	}
	return ""
}

// rootOf returns the name of the Fleet that an object is of, and whether all
// owners between them exist.
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

func (a *audit) judgeBirth(obj *audited) string {
	owner := a.ownerOf(obj)
	switch {
	case obj.kind == "fleets":
		return ""
	case metav1.GetControllerOf(&obj.meta) == nil:
		return "was created without an owner"
	case obj.kind == "hands":
		return a.judgeHand(obj)
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

// judgeHand counts. A Hand is created without a condition on its Group, which may
// have changed or gone since it was looked at.
func (a *audit) judgeHand(hand *audited) string {
	group := metav1.GetControllerOf(&hand.meta).UID
	asked, known := a.asked[group][hand.meta.Generation]
	if !known {
		return "was created for a Group that never was"
	}
	if live := a.childrenOf(group, func(o *audited) bool { return o.kind == "hands" }); live > asked {
		return fmt.Sprintf("was created as one of %d, of which %d were asked for", live, asked)
	}
	a.created[group][hand.meta.Generation]++
	if n, most := a.created[group][hand.meta.Generation], asked+a.robbed[group]; n > most {
		return fmt.Sprintf("was created as number %d, where %d were asked for and the test deleted %d", n, asked, a.robbed[group])
	}
	return ""
}

func (a *audit) judgeDeath(obj *audited, byTest bool) string {
	owner := a.ownerOf(obj)
	switch {
	case obj.kind == "hands" && byTest:
		a.robbed[metav1.GetControllerOf(&obj.meta).UID]++
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

// ordinalOf returns the number at the end of a name, which is not generated.
func ordinalOf(obj *audited) int {
	name := obj.meta.Name
	i, err := strconv.Atoi(name[strings.LastIndexAny(name, "gu")+1:])
	if err != nil {
		return -1
	}
	return i
}
