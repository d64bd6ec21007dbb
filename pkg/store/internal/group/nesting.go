package group

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// canNest reports whether the server nests transactions. It asks once, with a transaction
// that reads what m reads: a server that does not may answer a write in a way that leaves
// its outcome unknown.
func (c *Committer) canNest(ctx context.Context, m *member) bool {
	c.mu.Lock()
	known := c.nests
	c.mu.Unlock()
	if known || c.off.Load() {
		return known
	}
	can, err := c.probe(ctx, m)
	if can {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.nests = true
		return true
	}
	if err != nil && c.off.CompareAndSwap(false, true) {
		c.log.Info("the server or a proxy does not nest transactions: each is sent on its own", "cause", err.Error())
	}
	return false
}

// probe asks whether the server nests transactions. It returns an error if the server
// certainly does not, and false alone if the answer proves nothing.
func (c *Committer) probe(ctx context.Context, m *member) (can bool, err error) {
	key := m.print.writes[0].start
	if len(m.print.reads) > 0 {
		key = m.print.reads[0].start
	}
	get := clientv3.OpGet(key, clientv3.WithCountOnly())
	resp, err := c.commit(ctx, nil, []clientv3.Op{clientv3.OpTxn(nil, []clientv3.Op{get}, nil)}, nil)
	if err != nil {
		switch etcd.ErrorCode(err) {
		case codes.Unknown, codes.Unimplemented, codes.InvalidArgument, codes.Internal:
			return false, err
		}
		return false, nil
	}
	if err := checkShape(resp, 1); err != nil {
		return false, err
	}
	return true, nil
}

// checkShape returns an error for an answer that is not one to n nested transactions.
func checkShape(resp *clientv3.TxnResponse, n int) error {
	if !resp.Succeeded || len(resp.Responses) != n {
		return fmt.Errorf("%d answers to %d nested transactions", len(resp.Responses), n)
	}
	for _, r := range resp.Responses {
		if r.GetResponseTxn() == nil {
			return fmt.Errorf("the answer to a nested transaction is none: %T", r.GetResponse())
		}
	}
	return nil
}
