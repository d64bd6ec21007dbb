package informer

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// versionAnswer is how long members have to tell their version. Nothing waits for
// it, and one that is busy is worth the warning too.
const versionAnswer = 30 * time.Second

// warnOfServers says in the log, once, which members of etcd are of a version
// that is known to harm watches. It asks each for its version; those that do
// not answer in time, or may not be asked, are left out. It returns when that is
// done or ctx is.
func (r *Replica) warnOfServers(ctx context.Context) {
	ctx, cancel := retry.WithTimeout(ctx, r.clock, versionAnswer)
	defer cancel()
	var mu sync.Mutex
	flaws := map[string][]string{} // the members by what is wrong with them
	var asking sync.WaitGroup
	for _, endpoint := range r.store.Client().Endpoints() {
		asking.Go(func() {
			st, err := r.store.Client().Status(ctx, endpoint)
			if err != nil {
				return
			}
			if flaw := flawOf(st.Version); flaw != "" {
				mu.Lock()
				defer mu.Unlock()
				flaws[flaw] = append(flaws[flaw], fmt.Sprintf("%s (%s)", endpoint, st.Version))
			}
		})
	}
	asking.Wait()
	for flaw, members := range flaws {
		r.log.Info("etcd should be upgraded, to 3.6.14 or 3.7.1 or later: in this version "+flaw, "members", members)
	}
}

// What is wrong with the watches of some versions of etcd.
const (
	flawLoss       = "a watch can lose, repeat or disorder events in rare cases, so that a replica lacks a change until it lists again"
	flawPermission = "a user who may read one key can watch all keys that follow it"
	flawAge        = "a watch may lack fixes that were made in later ones"
)

// flawOf says what is wrong with a version of etcd's server; empty when nothing
// is known to be, or when it is no version.
func flawOf(version string) string {
	v, ok := parseVersion(version)
	if !ok {
		return ""
	}
	older := func(than ...int) bool { return slices.Compare(v, than) < 0 }
	of36, of37 := !older(3, 6), !older(3, 7)
	switch {
	case older(3, 5, 18, 1), of36 && older(3, 6, 9, 1):
		return flawLoss
	case older(3, 5, 33, 1), of36 && older(3, 6, 14, 1), of37 && older(3, 7, 1, 1):
		return flawPermission
	case older(3, 6):
		return flawAge
	}
	return ""
}

// parseVersion returns a version as numbers that compare as versions do: the
// fourth is 0 for what comes before a release, such as 3.7.0-rc.1, and 1 for the
// release.
func parseVersion(version string) ([]int, bool) {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "+") // what a distribution adds
	numbers, before, isBefore := strings.Cut(version, "-")
	if isBefore && before == "" {
		return nil, false
	}
	v := make([]int, 0, 4)
	for n := range strings.SplitSeq(numbers, ".") {
		i, err := strconv.Atoi(n)
		if err != nil || i < 0 {
			return nil, false
		}
		v = append(v, i)
	}
	if len(v) != 3 {
		return nil, false
	}
	if isBefore {
		return append(v, 0), true
	}
	return append(v, 1), true
}
