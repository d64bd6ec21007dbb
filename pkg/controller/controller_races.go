package controller

import (
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// racesInterval is how often a controller logs at V(1) that reconciles lost races.
const racesInterval = time.Minute

// raceLog keeps lost races, which are a part of normal work, from filling the log.
type raceLog struct {
	mu    sync.Mutex
	next  time.Time // guarded by mu: when the next summary may be logged
	count int       // guarded by mu: the races that no summary has counted
}

// lost logs one race at V(2), and all since the last summary at V(1).
func (l *raceLog) lost(c clock.PassiveClock, log logr.Logger, err error) {
	log.V(2).Info("reconcile lost a race against another writer; reconciling again", "cause", err.Error())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	now := c.Now()
	if now.Before(l.next) {
		return
	}
	log.V(1).Info("reconciles lost races against other writers and are repeated; this is the latest", "count", l.count, "cause", err.Error())
	l.next, l.count = now.Add(racesInterval), 0
}
