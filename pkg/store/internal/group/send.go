package group

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// run sends groups, beginning with b, until none may follow.
func (c *Committer) run(b *batch) {
	for {
		if b == nil {
			b = c.next()
		}
		if b == nil {
			return
		}
		c.send(b)
		b = nil
	}
}

// send sends a group and answers all of its members.
func (c *Committer) send(b *batch) {
	defer b.cancel()
	defer func() {
		for _, m := range b.members {
			close(m.answered)
		}
	}()
	err := c.connected(b.ctx)
	members := c.seal(b)
	switch {
	case err != nil || len(members) == 0:
		for _, m := range b.members {
			m.err = &NotSentError{cmp.Or(m.ctx.Err(), err)} // that of b.ctx only follows the member's own
		}
	case len(members) == 1:
		c.sendOne(b.ctx, members[0])
	case !c.canNest(b.ctx, members[0]):
		letGo(members)
	default:
		c.sendMany(b.ctx, members)
	}
}

// seal returns the members that are left. From now on they can no longer be taken out.
func (c *Committer) seal(b *batch) (members []*member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.sent = true
	for _, m := range b.members {
		if !m.gone {
			members = append(members, m)
			c.metrics.waited(time.Since(m.since))
		}
	}
	if len(members) > 0 {
		c.metrics.request(len(members))
	}
	return members
}

// letGo makes the callers send their transactions themselves.
func letGo(members []*member) {
	for _, m := range members {
		m.alone = true
	}
}

func (c *Committer) sendOne(ctx context.Context, m *member) {
	resp, err := c.commit(ctx, m.txn.If, m.txn.Then, m.txn.Else)
	m.answer, m.err = Answer{resp, 1}, m.explain(err)
}

// sendMany sends the members as one transaction.
func (c *Committer) sendMany(ctx context.Context, members []*member) {
	ops := make([]clientv3.Op, len(members))
	for i, m := range members {
		ops[i] = clientv3.OpTxn(m.txn.If, m.txn.Then, m.txn.Else)
	}
	resp, err := c.commit(ctx, nil, ops, nil)
	if err == nil {
		err = checkShape(resp, len(members))
	}
	switch {
	case err == nil:
		for i, m := range members {
			m.answer = Answer{part(resp, i), len(members)}
		}
	case etcd.Refused(err), tooLargeForClient(err):
		c.learn(err, members)
		letGo(members)
	default:
		for _, m := range members {
			m.err = m.explain(err)
		}
	}
}

// part returns the answer to one member. etcd fills in the header of the whole only.
func part(resp *clientv3.TxnResponse, i int) *clientv3.TxnResponse {
	own := resp.Responses[i].GetResponseTxn()
	own.Header = resp.Header
	return (*clientv3.TxnResponse)(own)
}

// explain replaces the error of the group's context, which ends when all members have
// left, with that of the member's own.
func (m *member) explain(err error) error {
	if own := m.ctx.Err(); own != nil && errors.Is(err, context.Canceled) {
		return own
	}
	return err
}

// learn makes later groups smaller if etcd refused one for its size.
func (c *Committer) learn(err error, members []*member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ops, bytes := 0, 0
	for _, m := range members {
		ops, bytes = max(ops, m.print.ops), bytes+m.print.bytes
	}
	switch {
	case errors.Is(err, rpctypes.ErrTooManyOps):
		c.limit.ops = min(c.limit.ops, (ops+len(members))/2)
		c.log.Info("etcd's --max-txn-ops is lower than its default: smaller groups of transactions", "operations", c.limit.ops)
	case errors.Is(err, rpctypes.ErrRequestTooLarge), tooLargeForClient(err):
		c.limit.bytes = min(c.limit.bytes, bytes/2)
		c.log.Info("requests are limited to less than etcd's default: smaller groups of transactions", "bytes", c.limit.bytes, "cause", err.Error())
	}
}

// tooLargeForClient reports whether the client did not send a request because of a limit
// of its own.
func tooLargeForClient(err error) bool {
	return etcd.ErrorCode(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "trying to send message larger than max")
}
