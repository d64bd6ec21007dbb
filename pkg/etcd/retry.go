package etcd

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/internal/retry"
)

const (
	// attemptTimeout is how long the first attempt waits for a member before the next
	// one tries another. It doubles with each attempt, so that an etcd that is slow and
	// not hung can answer.
	attemptTimeout = 2 * time.Second

	// patience is how long members may refuse a request before Retry and Commit return
	// the refusal. It covers the election of a leader.
	patience = 5 * time.Second

	firstRetryPause, maxRetryPause = 25 * time.Millisecond, 250 * time.Millisecond
)

// Retry calls f with a context that extends ctx, and calls it again while another member
// of etcd may do better: when a member cannot serve because it has no leader or is
// a learner, when the connection breaks, and, if the client has several endpoints, when
// no answer has come for a while. The client's balancer sends each attempt to the next
// member. The context of each attempt is canceled when the attempt ends.
//
// f must be safe to repeat, such as a read or the grant of a lease. Use [Commit] for
// a transaction that writes. Retry returns the error of the last attempt: at once if no
// further attempt can mend it, when ctx is done, and after about 5 s in which every
// attempt was refused. While etcd does not answer at all, only ctx ends Retry.
//
// The functions of this package that read do this already.
func Retry(ctx context.Context, client *clientv3.Client, f func(context.Context) error) error {
	r := newRetrier(client)
	for {
		a := r.attempt(ctx)
		err := f(a.ctx)
		if late := a.end(); err == nil || !r.again(ctx, err, late) {
			return err
		}
	}
}

// Commit executes a transaction as client.Txn does, and executes it again if a member
// certainly refused it unseen: it has no leader, or it is a learner. After any other
// error the outcome may be unknown.
func Commit(ctx context.Context, client *clientv3.Client, conds []clientv3.Cmp, then, orElse []clientv3.Op) (*clientv3.TxnResponse, error) {
	r := newRetrier(client)
	for {
		resp, err := client.Txn(clientv3.WithRequireLeader(ctx)).If(conds...).Then(then...).Else(orElse...).Commit()
		if err == nil {
			return resp, nil
		}
		if !errors.Is(err, rpctypes.ErrNoLeader) || !r.again(ctx, err, false) {
			return nil, err
		}
	}
}

// retrier decides about the attempts of one request.
type retrier struct {
	several bool // the client has several endpoints
	timeout time.Duration
	giveUp  time.Time
	pauses  *retry.Backoff
}

func newRetrier(client *clientv3.Client) *retrier {
	r := &retrier{
		several: len(client.Endpoints()) > 1, timeout: attemptTimeout,
		pauses: retry.NewBackoff(clock.RealClock{}, firstRetryPause, maxRetryPause),
	}
	r.progressed()
	return r
}

// progressed renews the patience, since an attempt has brought something.
func (r *retrier) progressed() {
	r.giveUp = time.Now().Add(patience)
	r.pauses.Reset()
}

// attempt begins the next attempt.
func (r *retrier) attempt(ctx context.Context) *attempt {
	a := &attempt{timeout: r.timeout}
	r.timeout *= 2
	a.ctx, a.cancel = context.WithCancel(clientv3.WithRequireLeader(ctx))
	if r.several {
		a.timer = time.AfterFunc(a.timeout, func() {
			a.late.Store(true)
			a.cancel()
		})
	}
	return a
}

// attempt is one attempt. Its context makes a member without a leader refuse the request at
// once; otherwise the member would wait for its own timeout of 7 s or more.
type attempt struct {
	ctx     context.Context
	cancel  context.CancelFunc
	timeout time.Duration
	timer   *time.Timer // ends the attempt; nil if there is no other member to try
	late    atomic.Bool // the timer ended the attempt
}

// answered stops the timer. wait starts it again.
func (a *attempt) answered() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

func (a *attempt) wait() {
	if a.timer != nil {
		a.timer.Reset(a.timeout)
	}
}

// end ends the attempt, and reports whether no answer came in time.
func (a *attempt) end() (late bool) {
	a.answered()
	a.cancel()
	return a.late.Load()
}

// again reports whether another attempt may succeed after err, and pauses before it. late
// says that the attempt ended because no answer came in time.
func (r *retrier) again(ctx context.Context, err error, late bool) bool {
	switch {
	case ctx.Err() != nil:
		return false
	case late:
		return true
	case !Resumable(err) && !(r.several && isLearner(err)), time.Now().After(r.giveUp):
		return false
	}
	return r.pauses.Wait(ctx) == nil
}

// isLearner reports whether a member refused a request because it is a learner. etcd's client
// may keep only the text.
func isLearner(err error) bool {
	return strings.HasSuffix(err.Error(), rpctypes.ErrorDesc(rpctypes.ErrGRPCNotSupportedForLearner))
}
