package controller

// class says how soon a key is to be reconciled.
type class uint8

const (
	prompt  class = iota // something has changed
	later                // it was there at the start, or its time has come
	classes              // how many there are
)

// ageShare is of how many keys one is taken for its age alone.
const ageShare = 8

// Tenant is implemented by keys that share a controller's workers in groups,
// none of which delays the others by how many keys it has. The keys of objects,
// [Request], do so by namespace.
type Tenant interface {
	// Tenant names the group that the key belongs to, and always the same. A key
	// for which it panics belongs to the group that has no name.
	Tenant() string
}

// order is the order in which keys leave client-go's queue, which calls its
// methods under its lock. It knows no time, only who came before whom:
//
//   - Keys of a later class come after those of an earlier one.
//   - Within a class tenants take turns, and a tenant's keys leave as they came.
//   - But every ageShare-th key is the one that has waited longest, whatever its
//     class and its tenant. So a key before which there were n others leaves as
//     the ageShare*(n+1)-th at the latest, whoever comes after it.
//
// A key's class may only get earlier while the key is queued; whoever makes it so
// then adds the key again, which is what Touch hears of. The key keeps its age.
//
// Everything takes the same time whatever the number of keys.
type order[R comparable] struct {
	classOf  func(R) class
	tenantOf func(R) string

	places table[R, *place[R]]
	ages   list[place[R]] // all keys, the oldest first
	lanes  [classes]lanes[R]
	pops   int
}

// lanes are the tenants' keys of one class.
type lanes[R comparable] struct {
	of    table[string, *lane[R]]
	turns list[lane[R]] // whose turn it is comes first
}

// lane has one tenant's keys of one class: at least one.
type lane[R comparable] struct {
	tenant string
	keys   list[place[R]]
	turn   node[lane[R]]
}

// place is where a queued key is.
type place[R comparable] struct {
	key         R
	class       class
	lane        *lane[R]
	age, inLane node[place[R]]
}

func newOrder[R comparable](classOf func(R) class) *order[R] {
	return &order[R]{classOf: classOf, tenantOf: tenantOf[R]()}
}

// tenantOf returns the function that tells keys' tenants.
func tenantOf[R comparable]() func(R) string {
	var namespace any = func(r Request) string { return r.Namespace }
	if of, ok := namespace.(func(R) string); ok {
		return of // without a Request made an interface
	}
	if _, ok := any(*new(R)).(Tenant); ok {
		return func(key R) (tenant string) {
			_ = guard("Tenant", func() error { tenant = any(key).(Tenant).Tenant(); return nil })
			return tenant
		}
	}
	return func(R) string { return "" }
}

// Push takes in a key that is not queued.
func (o *order[R]) Push(key R) {
	p := &place[R]{key: key, class: o.classOf(key)}
	p.age.of, p.inLane.of = p, p
	o.places.set(key, p)
	o.ages.push(&p.age)
	o.enter(p)
}

// Touch takes in that a queued key was added again.
func (o *order[R]) Touch(key R) {
	p, _ := o.places.get(key)
	if c := o.classOf(key); c < p.class {
		o.leave(p)
		p.class = c
		o.enter(p)
	}
}

// Len returns how many keys are queued.
func (o *order[R]) Len() int { return o.places.len() }

// Pop takes out the key whose turn it is. There must be one.
func (o *order[R]) Pop() R {
	o.pops++
	p := o.ages.first.of
	if o.pops%ageShare != 0 {
		p = o.next()
	}
	o.places.delete(p.key)
	o.ages.remove(&p.age)
	o.leave(p)
	return p.key
}

// next returns the first key of the tenant whose turn it is, and ends that turn.
func (o *order[R]) next() *place[R] {
	for c := range o.lanes {
		turns := &o.lanes[c].turns
		if turn := turns.first; turn != nil {
			turns.remove(turn)
			turns.push(turn)
			return turn.of.keys.first.of
		}
	}
	return nil
}

// enter puts a key at the end of its tenant's lane, which begins at the end of
// a round.
func (o *order[R]) enter(p *place[R]) {
	lanes, tenant := &o.lanes[p.class], o.tenantOf(p.key)
	var there bool
	if p.lane, there = lanes.of.get(tenant); !there {
		p.lane = &lane[R]{tenant: tenant}
		p.lane.turn.of = p.lane
		lanes.of.set(tenant, p.lane)
		lanes.turns.push(&p.lane.turn)
	}
	p.lane.keys.push(&p.inLane)
}

func (o *order[R]) leave(p *place[R]) {
	p.lane.keys.remove(&p.inLane)
	if p.lane.keys.first == nil {
		lanes := &o.lanes[p.class]
		lanes.of.delete(p.lane.tenant)
		lanes.turns.remove(&p.lane.turn)
	}
}
