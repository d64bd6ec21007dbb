package group

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"

	"github.com/homeostat/homeostat/pkg/etcd"
)

const (
	// maxUnderWay is how many requests may be under way before transactions wait. With
	// two, etcd has the next request when it has finished one. With three or four, 16
	// writers form groups too small to gain from; with one, two writers wait for each other.
	maxUnderWay = 2

	// maxMembers bounds a group. 64 writers are about as fast with 16, 32 and 64, and
	// smaller groups delay other requests less.
	maxMembers = 32

	// scanned is how many waiting transactions are looked at for one group. If many of
	// them want the same key, a group cannot have more than one.
	scanned = 4 * maxMembers
)

// defaultBounds are those of an etcd without flags. The bytes leave room for the envelope.
var defaultBounds = bounds{ops: 128, bytes: 3<<19 - 1<<12}

// Committer sends transactions, in groups if several wait. It is safe for concurrent use
// and needs no closing. It has a goroutine only while a group is under way.
type Committer struct {
	commit    func(ctx context.Context, conds []clientv3.Cmp, then, orElse []clientv3.Op) (*clientv3.TxnResponse, error)
	connected func(ctx context.Context) error
	log       logr.Logger
	metrics   *metrics
	hold      func()      // called before each group is formed; nil outside of tests
	off       atomic.Bool // every transaction goes alone

	mu       sync.Mutex // guards the fields below
	underWay int        // requests; at least maxUnderWay while the queue has members
	queue    []*member
	waiting  int // bytes of the queue
	limit    bounds
	nests    bool // the server is known to nest transactions
}

// Options configure a [Committer]. The zero value of each field is useful.
type Options struct {
	// Off makes every transaction go alone and at once.
	Off bool
	// Log receives what makes groups smaller or impossible.
	Log logr.Logger
	// Hold is for tests. It makes all transactions wait, and is called before a group is
	// formed: the longer it takes, the larger the group is.
	Hold func()
}

// New returns a Committer. It sends nothing to etcd.
func New(client *clientv3.Client, o Options) *Committer {
	c := &Committer{
		commit: func(ctx context.Context, conds []clientv3.Cmp, then, orElse []clientv3.Op) (*clientv3.TxnResponse, error) {
			return etcd.Commit(ctx, client, conds, then, orElse)
		},
		connected: func(ctx context.Context) error { return awaitConnection(ctx, client) },
		log:       o.Log, hold: o.Hold, limit: defaultBounds, metrics: newMetrics(),
	}
	c.off.Store(o.Off)
	return c
}

// Answer is etcd's answer to a transaction.
type Answer struct {
	// Response is as if the transaction had been the only one.
	Response *clientv3.TxnResponse
	// Size is how many transactions had the same request.
	Size int
}

// Commit executes a transaction. If the error is no [NotSentError] and
// [etcd.Refused] is false for it, the outcome is unknown.
func (c *Committer) Commit(ctx context.Context, t Txn) (Answer, error) {
	if !c.groups(ctx, t) {
		return c.alone(ctx, t)
	}
	if c.hold == nil && c.begin() {
		defer c.end()
		c.metrics.waited(0)
		c.metrics.request(1)
		return c.alone(ctx, t)
	}
	m := &member{ctx: ctx, txn: t, print: footprintOf(t), since: time.Now(), answered: make(chan struct{})}
	c.enqueue(m)
	if err := c.await(m); err != nil {
		return Answer{}, err
	}
	if m.alone {
		return c.alone(ctx, t)
	}
	return m.answer, m.err
}

// groups reports whether a transaction may wait for others at all.
func (c *Committer) groups(ctx context.Context, t Txn) bool {
	if _, own := metadata.FromOutgoingContext(ctx); own || c.off.Load() {
		return false
	}
	return anyOp(t, func(op clientv3.Op) bool { return !op.IsGet() }) && !anyOp(t, clientv3.Op.IsTxn)
}

func anyOp(t Txn, is func(clientv3.Op) bool) bool {
	return slices.ContainsFunc(t.Then, is) || slices.ContainsFunc(t.Else, is)
}

// await waits until m is answered. It returns an error if the context of m ends before.
func (c *Committer) await(m *member) error {
	select {
	case <-m.answered:
		return nil
	case <-m.ctx.Done():
	}
	select {
	case <-m.answered: // the truth is known
		return nil
	default:
	}
	if err := c.leave(m); err != nil {
		return err
	}
	<-m.answered // soon, since the request is canceled: nobody else waits for it
	return nil
}

// alone sends a transaction that shares its request with no other.
func (c *Committer) alone(ctx context.Context, t Txn) (Answer, error) {
	if err := c.connected(ctx); err != nil {
		return Answer{}, &NotSentError{err}
	}
	resp, err := c.commit(ctx, t.If, t.Then, t.Else)
	return Answer{resp, 1}, err
}

// begin reports whether a request may go at once. If so, call end after it.
func (c *Committer) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.underWay >= maxUnderWay {
		return false
	}
	c.underWay++
	return true
}

// end ends what begin began, and lets those go that have waited for it.
func (c *Committer) end() {
	if b := c.next(); b != nil {
		go c.run(b)
	}
}

// enqueue makes m wait. A full group does not wait for the requests that are under way:
// many callers far from etcd need more of them than a few callers near it.
func (c *Committer) enqueue(m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, m)
	c.waiting += m.print.bytes
	c.metrics.waiting.Inc()
	if c.underWay >= maxUnderWay && !c.full() {
		return
	}
	c.underWay++
	go c.run(nil)
}

// full reports whether one group could not take all that wait. It is called with mu held.
func (c *Committer) full() bool {
	return len(c.queue) > maxMembers || c.waiting > c.limit.bytes
}

// leave takes a member out whose context has ended. It returns an error if its caller
// need not wait for an answer: the NotSentError, or that of the context.
func (c *Committer) leave(m *member) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.gone = true
	b := m.batch
	if b == nil {
		c.queue = slices.DeleteFunc(c.queue, func(other *member) bool { return other == m })
		c.waiting -= m.print.bytes
		c.metrics.waiting.Dec()
		return &NotSentError{m.ctx.Err()}
	}
	if b.left++; b.left == len(b.members) {
		b.cancel()
		return nil
	}
	if !b.sent {
		return &NotSentError{m.ctx.Err()}
	}
	return m.ctx.Err()
}

// next takes the next group out of the queue. It returns nil if the caller must send no
// more, and then counts its request as ended.
func (c *Committer) next() *batch {
	if c.hold != nil {
		c.hold()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 || c.underWay > maxUnderWay && !c.full() {
		c.underWay--
		return nil
	}
	b := &batch{}
	rest := c.queue[:0]
	for i, m := range c.queue {
		if i < scanned && len(b.members) < maxMembers && b.accepts(m, c.limit) {
			b.add(m)
			c.waiting -= m.print.bytes
			c.metrics.waiting.Dec()
		} else {
			rest = append(rest, m)
		}
	}
	clear(c.queue[len(rest):])
	c.queue = rest
	// The values of the first member's context, such as its span, are those of the request.
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(b.members[0].ctx))
	return b
}
