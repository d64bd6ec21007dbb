package events

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/lru"
)

// refill is how long it takes until an object may cause one Event more.
const refill = 5 * time.Minute

// budgets limit how many Events a controller writes about one object. They are
// not safe for concurrent use.
type budgets struct {
	burst    float64
	byObject *lru.Cache // *budget by budgetKey; forgets who caused nothing for the longest time
}

type budgetKey struct {
	reporter
	object corev1.ObjectReference
}

// budget is a token bucket.
type budget struct {
	tokens float64
	at     time.Time
}

func newBudgets(size, burst int) *budgets {
	return &budgets{burst: float64(burst), byObject: lru.New(size)}
}

// spend takes one Event off the budget of the object that it is about, or
// returns false.
func (b *budgets) spend(id identity, now time.Time) bool {
	key := budgetKey{id.reporter, id.regarding}
	found, _ := b.byObject.Get(key)
	left, ok := found.(*budget)
	if !ok {
		left = &budget{tokens: b.burst, at: now}
		b.byObject.Add(key, left)
	}
	left.tokens = min(b.burst, left.tokens+max(0, now.Sub(left.at).Seconds()/refill.Seconds()))
	left.at = now
	if left.tokens < 1 {
		return false
	}
	left.tokens--
	return true
}
