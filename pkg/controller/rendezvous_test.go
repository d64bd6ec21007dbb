package controller

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func assign(members []string, buckets int) []string {
	owners := make([]string, buckets)
	for n := range owners {
		owners[n] = winner(slices.Values(members), n)
	}
	return owners
}

// TestOnlyWhatMustMoves has members join and leave by chance: one that joins
// takes buckets and moves no other, one that leaves loses its own and moves no
// other. The order in which members are known does not matter.
func TestOnlyWhatMustMoves(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	members := []string{"first"}
	before := assign(members, 512)
	for i := range 500 {
		var who string
		join := len(members) == 1 || len(members) < 20 && chance.IntN(2) == 0
		if join {
			who = fmt.Sprintf("%016x", chance.Uint64())
			members = append(members, who)
		} else {
			at := chance.IntN(len(members))
			who = members[at]
			members = slices.Delete(members, at, at+1)
		}
		chance.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		after := assign(members, 512)
		for n := range after {
			switch {
			case join && after[n] != before[n] && after[n] != who:
				t.Fatalf("step %d: %s joins and bucket %d goes from %s to %s", i, who, n, before[n], after[n])
			case !join && before[n] != who && after[n] != before[n]:
				t.Fatalf("step %d: %s leaves and bucket %d goes from %s to %s", i, who, n, before[n], after[n])
			case !slices.Contains(members, after[n]):
				t.Fatalf("step %d: bucket %d is that of %q, who is gone", i, n, after[n])
			}
		}
		before = after
	}
}

func TestBucketsAreSharedOutEvenly(t *testing.T) {
	chance := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{2, 4, 8} {
		for range 50 {
			var members []string
			for range n {
				members = append(members, fmt.Sprintf("%016x", chance.Uint64()))
			}
			count := map[string]int{}
			for _, owner := range assign(members, 512) {
				count[owner]++
			}
			for _, m := range members {
				if got, fair := count[m], 512/n; got < fair/2 || got > fair*3/2 {
					t.Errorf("%d of 512 buckets for one of %d members", got, n)
				}
			}
		}
	}
}

func TestKeysFallIntoAllBuckets(t *testing.T) {
	count := make([]int, 64)
	for i := range 64_000 {
		count[bucketFor(64, "example.com", "Site", "default", fmt.Sprint("site-", i))]++
	}
	for n, got := range count {
		if got < 800 || got > 1200 {
			t.Errorf("%d keys in bucket %d, want some 1000", got, n)
		}
	}
}

// TestHashesStay guards what processes of different versions must agree on.
func TestHashesStay(t *testing.T) {
	got := []int{bucketFor(512, "apps", "Deployment", "default", "web"), bucketFor(512, "", "Node", "", "n1")}
	for n := range 4 {
		got = append(got, int(weight("0123456789abcdef", n)%1000))
	}
	if want := []int{126, 407, 947, 840, 353, 623}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if bucketFor(1<<16, "a", "bc") == bucketFor(1<<16, "ab", "c") {
		t.Error("parts run into each other")
	}
}
