package rendezvous

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func assign(members []string, buckets int) []string {
	owners := make([]string, buckets)
	set := NewMembers(slices.Values(members))
	for n := range owners {
		owners[n] = set.Owner(n)
	}
	return owners
}

// TestMembershipChangesMoveOnlyTheirBuckets lets members join and leave at random.
// A member that joins takes buckets and moves no other; when one leaves, only its
// buckets move. The order of the members does not matter.
func TestMembershipChangesMoveOnlyTheirBuckets(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	members := []string{"first"}
	before := assign(members, 512)
	for i := range 500 {
		var who string
		join := len(members) == 1 || len(members) < 20 && random.IntN(2) == 0
		if join {
			who = fmt.Sprintf("%016x", random.Uint64())
			members = append(members, who)
		} else {
			at := random.IntN(len(members))
			who = members[at]
			members = slices.Delete(members, at, at+1)
		}
		random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		after := assign(members, 512)
		for n := range after {
			switch {
			case join && after[n] != before[n] && after[n] != who:
				t.Fatalf("step %d: %s joins and bucket %d goes from %s to %s", i, who, n, before[n], after[n])
			case !join && before[n] != who && after[n] != before[n]:
				t.Fatalf("step %d: %s leaves and bucket %d goes from %s to %s", i, who, n, before[n], after[n])
			case !slices.Contains(members, after[n]):
				t.Fatalf("step %d: bucket %d belongs to %q, which has left", i, n, after[n])
			}
		}
		before = after
	}
}

func TestBucketsSpreadEvenlyOverMembers(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{2, 4, 8} {
		for range 50 {
			var members []string
			for range n {
				members = append(members, fmt.Sprintf("%016x", random.Uint64()))
			}
			count := map[string]int{}
			for _, owner := range assign(members, 512) {
				count[owner]++
			}
			for _, m := range members {
				if got, fair := count[m], 512/n; got < fair/2 || got > fair*3/2 {
					t.Errorf("a member of %[2]d owns %[1]d of 512 buckets", got, n)
				}
			}
		}
	}
}

func TestKeysSpreadEvenlyOverBuckets(t *testing.T) {
	count := make([]int, 64)
	for i := range 64_000 {
		count[Bucket(64, "example.com", "Site", "default", fmt.Sprint("site-", i))]++
	}
	for n, got := range count {
		if got < 800 || got > 1200 {
			t.Errorf("%d keys in bucket %d, want about 1000", got, n)
		}
	}
}

// TestHashesAreStable holds the values that processes of different versions must
// agree on.
func TestHashesAreStable(t *testing.T) {
	got := []int{Bucket(512, "apps", "Deployment", "default", "web"), Bucket(512, "", "Node", "", "n1")}
	for n := range 4 {
		got = append(got, int(weight(hash("0123456789abcdef"), n)%1000))
	}
	if want := []int{126, 407, 947, 840, 353, 623}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if Bucket(1<<16, "a", "bc") == Bucket(1<<16, "ab", "c") {
		t.Error("parts run into each other")
	}
}

func TestNoMembersOwnNothing(t *testing.T) {
	if owner := NewMembers(slices.Values([]string(nil))).Owner(0); owner != "" {
		t.Errorf("owner %q, want none", owner)
	}
}
