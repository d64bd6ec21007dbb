package informer

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// versionAnswer bounds the wait for the version of each member. Nothing depends on
// the answer, so that a busy member can take its time.
const versionAnswer = 30 * time.Second

// warnOfServers logs, once, which members of etcd run a version with known faults of
// watches. Members that do not answer in time, or do not allow the question, are
// left out. It returns when all have answered or ctx is done.
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
				flaws[flaw] = append(flaws[flaw], fmt.Sprintf("%s (%s)", etcd.RedactEndpoints(endpoint)[0], st.Version))
			}
		})
	}
	asking.Wait()
	for flaw, members := range flaws {
		r.log.Info("etcd should be upgraded, to 3.6.14 or 3.7.1 or later: in this version "+flaw, "members", members)
	}
}

// Faults of watches in some versions of etcd.
const (
	flawLoss       = "a watch can lose, repeat or disorder events in rare cases, so that a replica lacks a change until it lists again"
	flawPermission = "a user who may read one key can watch all keys that follow it"
	flawAge        = "a watch may lack fixes that were made in later ones"
)

// flawOf names the fault of a version of etcd's server. It returns "" if none is
// known, or if version is not a version.
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

// parseVersion returns a version as numbers that compare in the order of versions.
// The fourth number is 0 for a pre-release, such as 3.7.0-rc.1, and 1 for
// a release.
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
