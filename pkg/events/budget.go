package events

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/lru"
)

// refill is how long an object takes to earn one more Event.
const refill = 5 * time.Minute

// budgets limit how many Events a controller writes about one object. They belong to
// a table, and its lock guards them.
type budgets struct {
	burst    float64
	byObject *lru.Cache // *budget by budgetKey; evicts the object with the oldest Event
}

type budgetKey struct {
	reporter reporter
	object   corev1.ObjectReference
}

// budget is a token bucket.
type budget struct {
	tokens float64
	at     time.Time // when tokens was right
}

func newBudgets(size, burst int) *budgets {
	return &budgets{burst: float64(burst), byObject: lru.New(size)}
}

// spend takes one Event off the budget of the object that a series is about. It returns
// false if the budget is empty.
func (b *budgets) spend(k seriesKey, now time.Time) bool {
	key := budgetKey{k.reporter, k.regarding}
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
