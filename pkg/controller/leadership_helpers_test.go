package controller_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/controller"
	pkgetcd "github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// Lease times: one is short enough to wait for, and long enough for a busy machine to
// keep it alive. The other one never ends within a spec.
const briefly, patient = 2 * time.Second, 10 * time.Minute

// candidate is a manager that campaigns for a leadership. While it leads it writes all
// the time, with both forms of a reconciler. Each write names the term in which it was
// made.
type candidate struct {
	*controller.Manager
	client   *clientv3.Client
	link     *etcdtest.Link
	stop     func()
	again    time.Duration            // how soon it writes an object again in the same term
	wrote    sync.Map                 // written -> when, of its last writes
	heedless bool                     // its reconciles take a while, and go on though their term is over
	terms    journal[int64]           // of its reconciles, a new one each time
	ctx      journal[context.Context] // one of each of those
	stale    journal[int64]           // tokens of reconciles that began on a replica from before them
}

const leadershipName = "spec"

// leadershipKeyOf returns the key that the documentation names.
func leadershipKeyOf(s *store.Store) string {
	return "/homeostat/leadership" + s.Prefix() + leadershipName
}

func sharedStore(client *clientv3.Client, prefix string) (*store.Store, error) {
	return store.New(client, store.Options{Scheme: scheme.Scheme, Prefix: prefix, Kinds: []store.AnyKind{siteKind}})
}

// newCandidate works outside a test, since child processes use it too.
func newCandidate(client *clientv3.Client, prefix string, o controller.ManagerOptions) (*candidate, error) {
	s, err := sharedStore(client, prefix)
	if err != nil {
		return nil, err
	}
	m, err := controller.NewManager(s, o)
	if err != nil {
		return nil, err
	}
	c := &candidate{Manager: m, client: client, again: again}
	if o.Sharding != nil && os.Getenv("HOMEOSTAT_SOAK") == "" {
		c.again = sharedAgain
	}
	if _, err := controller.New(m, "transactional", c.writeInTx, controller.Options{}); err != nil {
		return nil, err
	}
	_, err = controller.NewFor[*corev1.ConfigMap](m, "plain", controller.ReconcilerFunc[controller.Request](c.write), controller.Options{})
	return c, err
}

// again is the shortest time between two writes of an object. The specs of shardings
// write many objects and read the whole history, so they write less often unless
// HOMEOSTAT_SOAK is set.
const again, sharedAgain = 5 * time.Millisecond, 200 * time.Millisecond

// written is an object that was written in a term.
type written struct {
	key   store.Key
	token int64
}

// rests reports whether a candidate should skip an object that it has just written. Its
// own writes also cause reconciles.
func (c *candidate) rests(w written) bool {
	now := time.Now()
	if last, ok := c.wrote.Load(w); ok && now.Sub(last.(time.Time)) < c.again {
		return true
	}
	c.wrote.Store(w, now)
	return false
}

func (c *candidate) writeInTx(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
	token := c.token(ctx)
	if c.rests(written{store.KeyOf(site), token}) {
		return controller.Result{RequeueAfter: c.again}, nil
	}
	site.Status.ObservedGeneration = token
	site.Status.Ready++
	tx.UpdateStatus(site)
	return controller.Result{RequeueAfter: c.again}, tx.Commit(c.think(ctx))
}

func (c *candidate) write(ctx context.Context, r controller.Request) (controller.Result, error) {
	token := c.token(ctx)
	if c.rests(written{r.Key, token}) {
		return controller.Result{RequeueAfter: c.again}, nil
	}
	_, _, err := store.Mutate(c.think(ctx), c.Store(), r.Key, func(obj *corev1.ConfigMap) error {
		n, _ := strconv.Atoi(obj.Data["n"])
		obj.Data = map[string]string{"n": fmt.Sprint(n + 1), "token": fmt.Sprint(token)}
		return nil
	})
	return controller.Result{RequeueAfter: c.again}, err
}

// think returns the context to write with.
func (c *candidate) think(ctx context.Context) context.Context {
	if !c.heedless {
		return ctx
	}
	time.Sleep(10 * again)
	return context.WithoutCancel(ctx)
}

func (c *candidate) token(ctx context.Context) int64 {
	token, _ := c.FencingToken(ctx)
	if c.Replica().Snapshot().Revision() < token {
		c.stale.note(token)
	}
	if known := c.terms.all(); len(known) == 0 || known[len(known)-1] < token {
		c.terms.note(token)
		c.ctx.note(ctx)
	}
	return token
}

// leads reports whether the candidate has reconciled in its current term.
func (c *candidate) leads() bool {
	status := c.Leadership()
	terms := c.terms.all()
	return status.Leading && len(terms) > 0 && terms[len(terms)-1] == status.Leader.Revision
}

// contest has several candidates, each with its own client and link, and checks what
// they write.
type contest struct {
	cluster    *etcdtest.Cluster
	store      *store.Store // of the spec's own
	begun      int64        // the revision before anything was written
	leaseTime  time.Duration
	buckets    int // 0 is a leadership
	candidates []*candidate
}

func newContest(ctx context.Context, cluster *etcdtest.Cluster, leaseTime time.Duration) *contest {
	GinkgoHelper()
	c := &contest{cluster: cluster, store: newStore(cluster.Client()), leaseTime: leaseTime}
	var err error
	c.begun, err = c.store.Revision(ctx)
	Expect(err).NotTo(HaveOccurred())
	create(ctx, c.store, newSite("a", 1), newConfigMap("a"))
	return c
}

// enter starts another candidate, with a link to a member.
func (c *contest) enter(member int) *candidate {
	GinkgoHelper()
	x := c.prepare(member, controller.ManagerOptions{})
	x.stop = run(x.Manager)
	return x
}

func (c *contest) prepare(member int, o controller.ManagerOptions) *candidate {
	GinkgoHelper()
	link, err := c.cluster.Member(member).NewLink()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(link.Close)
	client, err := c.cluster.NewClient(etcdtest.ClientOptions{Endpoints: []string{link.Endpoint()}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(client.Close)
	identity := fmt.Sprintf("candidate %d", len(c.candidates))
	if c.buckets > 0 {
		o.Sharding = &controller.Sharding{Name: shardingName, Identity: identity, Buckets: c.buckets, LeaseTime: c.leaseTime}
	} else {
		o.Leadership = &controller.Leadership{Name: leadershipName, Identity: identity, LeaseTime: c.leaseTime}
	}
	x, err := newCandidate(client, c.store.Prefix(), o)
	Expect(err).NotTo(HaveOccurred())
	x.link = link
	c.candidates = append(c.candidates, x)
	return x
}

// lookThrough makes the spec itself read from one member only, since others are cut
// off.
func (c *contest) lookThrough(member int) {
	GinkgoHelper()
	client, err := c.cluster.NewClient(etcdtest.ClientOptions{Endpoints: []string{c.cluster.Member(member).Endpoint()}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(client.Close)
	c.store, err = sharedStore(client, c.store.Prefix())
	Expect(err).NotTo(HaveOccurred())
}

// leaderKey returns the leadership's key in etcd, or nil.
func (c *contest) leaderKey(ctx context.Context) (created int64, lease clientv3.LeaseID) {
	GinkgoHelper()
	resp, err := c.cluster.Client().Get(ctx, leadershipKeyOf(c.store))
	Expect(err).NotTo(HaveOccurred())
	if len(resp.Kvs) == 0 {
		return 0, 0
	}
	return resp.Kvs[0].CreateRevision, clientv3.LeaseID(resp.Kvs[0].Lease)
}

// verify checks etcd's whole history. Each write of an object must have the token of
// the leadership's key that existed at the time. verify returns the number of writes in
// each term.
func (c *contest) verify(ctx context.Context) map[int64]int {
	GinkgoHelper()
	writes := map[int64]int{}
	holds := int64(0)
	for _, ev := range historyOf(ctx, c.store, c.begun+1) {
		switch {
		case string(ev.Kv.Key) == leadershipKeyOf(c.store):
			holds = 0
			if ev.Type == clientv3.EventTypePut {
				Expect(ev.IsCreate()).To(BeTrue(), "the key changes hands while it is held, at revision %d", ev.Kv.ModRevision)
				holds = ev.Kv.ModRevision
			}
		case strings.HasPrefix(string(ev.Kv.Key), c.store.Prefix()) && ev.IsModify():
			token := tokenIn(c.store, ev)
			Expect(token).To(Equal(holds), "a write of term %d at revision %d, when the term was %d", token, ev.Kv.ModRevision, holds)
			writes[token]++
		}
	}
	return writes
}

// tokenIn returns the token that a candidate wrote into an object.
func tokenIn(s *store.Store, ev *clientv3.Event) int64 {
	GinkgoHelper()
	for _, into := range []store.Object{&Site{}, &corev1.ConfigMap{}} {
		prefix, decode, err := s.Decoder(into, store.DecodeOptions{})
		Expect(err).NotTo(HaveOccurred())
		if !strings.HasPrefix(string(ev.Kv.Key), prefix) {
			continue
		}
		decoded, err := decode(string(ev.Kv.Key), ev.Kv.Value, ev.Kv.ModRevision)
		obj := decoded.Object
		Expect(err).NotTo(HaveOccurred())
		switch obj := obj.(type) {
		case *Site:
			return obj.Status.ObservedGeneration
		case *corev1.ConfigMap:
			token, err := strconv.ParseInt(obj.Data["token"], 10, 64)
			Expect(err).NotTo(HaveOccurred())
			return token
		}
	}
	Fail("who wrote " + string(ev.Kv.Key) + "?")
	return 0
}

// historyOf returns all events of etcd from a revision up to now. It retries while etcd
// elects a leader.
func historyOf(ctx context.Context, s *store.Store, from int64) (events []*clientv3.Event) {
	GinkgoHelper()
	Eventually(ctx, func() (err error) {
		events, err = readHistory(ctx, s, from)
		return err
	}).WithTimeout(time.Minute).Should(Succeed())
	return events
}

func readHistory(ctx context.Context, s *store.Store, from int64) (events []*clientv3.Event, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	last, err := s.Revision(ctx)
	if err != nil {
		return nil, err
	}
	watch, err := pkgetcd.OpenWatch(ctx, s.Client(), pkgetcd.Range{Start: "\x00", End: "\xff"}, from, pkgetcd.WatchOptions{})
	if err != nil {
		return nil, err
	}
	end, err := s.Client().Put(ctx, "/end of history", "")
	if err != nil {
		return nil, err
	}
	for {
		resp, ok := <-watch.Responses
		if err := pkgetcd.WatchError(resp, ok); err != nil {
			return nil, err
		}
		for _, ev := range resp.Events {
			if ev.Kv.ModRevision >= end.Header.Revision {
				return events, nil
			}
			if ev.Kv.ModRevision <= last {
				events = append(events, ev)
			}
		}
	}
}
