package controller_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/controller/internal/rendezvous"
	"github.com/homeostat/homeostat/pkg/etcdtest"
)

const (
	shardingName = "spec"
	buckets      = 64
	families     = 24 // a Site, and a ConfigMap that it controls
)

// newSharing returns a contest of candidates that share keys.
func newSharing(ctx context.Context, cluster *etcdtest.Cluster, leaseTime time.Duration) *contest {
	GinkgoHelper()
	c := &contest{cluster: cluster, store: newStore(cluster.Client()), leaseTime: leaseTime, buckets: buckets}
	var err error
	c.begun, err = c.store.Revision(ctx)
	Expect(err).NotTo(HaveOccurred())
	for i := range families {
		parent := newSite(fmt.Sprintf("parent-%d", i), 1)
		create(ctx, c.store, parent)
		child := newConfigMap(fmt.Sprintf("child-of-parent-%d", i))
		ref, err := c.store.OwnerReference(parent)
		Expect(err).NotTo(HaveOccurred())
		child.OwnerReferences = append(child.OwnerReferences, ref)
		create(ctx, c.store, child)
	}
	return c
}

// shardKey returns the key that the documentation names.
func (c *contest) shardKey(rest string) string {
	return "/homeostat/sharding" + c.store.Prefix() + shardingName + "/" + rest
}

// bucketOf returns the bucket of an object's root, which is the parent for a child.
func bucketOf(etcdKey string) int {
	name := etcdKey[strings.LastIndex(etcdKey, "/")+1:]
	return rendezvous.Bucket(buckets, "example.com", "Site", "default", strings.TrimPrefix(name, "child-of-"))
}

// shared has the facts of a sharing from etcd's history.
type shared struct {
	writes map[string]int // how many objects each candidate wrote, at any time
	moves  []move         // of buckets, in order
	owners map[int]string // of buckets, now
	last   map[string]int64
}

// move says that a candidate took a bucket, or, with the candidate "", that it was
// given up.
type move struct {
	bucket int
	by     string
}

// taken returns how many buckets were taken after the first n moves.
func (s shared) taken(n int) map[string]int {
	count := map[string]int{}
	for _, m := range s.moves[n:] {
		if m.by != "" {
			count[m.by]++
		}
	}
	return count
}

// owned returns how many buckets each candidate owns.
func (s shared) owned() map[string]int {
	count := map[string]int{}
	for _, who := range s.owners {
		count[who]++
	}
	return count
}

// verifySharing checks etcd's whole history. Each write of an object must have the
// token that its root's bucket had at the time, and the tokens of an object must not
// decrease.
func (c *contest) verifySharing(ctx context.Context) shared {
	GinkgoHelper()
	s := shared{writes: map[string]int{}, owners: map[int]string{}, last: map[string]int64{}}
	tokens := map[int]int64{}
	for _, ev := range historyOf(ctx, c.store, c.begun+1) {
		key := string(ev.Kv.Key)
		if n, ok := strings.CutPrefix(key, c.shardKey("buckets/")); ok {
			bucket, err := strconv.Atoi(n)
			Expect(err).NotTo(HaveOccurred())
			if ev.Type == clientv3.EventTypePut {
				Expect(tokens).NotTo(HaveKey(bucket))
				tokens[bucket], s.owners[bucket] = ev.Kv.ModRevision, string(ev.Kv.Value)
			} else {
				delete(tokens, bucket)
				delete(s.owners, bucket)
			}
			s.moves = append(s.moves, move{bucket, s.owners[bucket]})
			continue
		}
		if !strings.HasPrefix(key, c.store.Prefix()) || !ev.IsModify() {
			continue
		}
		token, bucket := tokenIn(c.store, ev), bucketOf(key)
		Expect(token).To(Equal(tokens[bucket]), "revision %d writes %s, of bucket %d, under token %d", ev.Kv.ModRevision, key, bucket, token)
		Expect(token).To(BeNumerically(">=", s.last[key]))
		s.last[key] = token
		s.writes[s.owners[bucket]]++
	}
	for _, x := range c.candidates {
		Expect(x.stale.all()).To(BeEmpty())
	}
	return s
}

// settled waits until all buckets belong to these candidates and the owners have
// written all objects. It returns the history until then.
func (c *contest) settled(ctx context.Context, identities ...string) (s shared) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		s = c.verifySharing(ctx)
		g.Expect(s.owners).To(HaveLen(buckets))
		for who := range s.owned() {
			g.Expect(identities).To(ContainElement(who))
		}
		g.Expect(s.owned()).To(HaveLen(len(identities)))
		g.Expect(s.last).To(HaveLen(2 * families))
		tokens := map[int]int64{}
		for key, token := range s.last {
			if n := bucketOf(key); tokens[n] == 0 || tokens[n] == token {
				tokens[n] = token
			} else {
				g.Expect(token).To(Equal(tokens[n]), key)
			}
		}
		resp, err := c.store.Client().Get(ctx, c.shardKey("buckets/"), clientv3.WithPrefix())
		g.Expect(err).NotTo(HaveOccurred())
		for _, kv := range resp.Kvs {
			n, err := strconv.Atoi(strings.TrimPrefix(string(kv.Key), c.shardKey("buckets/")))
			g.Expect(err).NotTo(HaveOccurred())
			if tokens[n] != 0 {
				g.Expect(tokens[n]).To(Equal(kv.CreateRevision), "bucket %d has not been written since it moved", n)
			}
		}
	}).WithTimeout(time.Minute).WithPolling(200 * time.Millisecond).Should(Succeed())
	return s
}
