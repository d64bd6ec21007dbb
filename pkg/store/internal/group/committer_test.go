package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// server is an etcd whose requests wait until the test answers them.
type server struct {
	t *testing.T
	c *Committer

	mu       sync.Mutex // guards the fields below
	requests []*request // in the order in which they came
	noLink   chan struct{}
	lines    []string
	probes   int
	probed   func() (*clientv3.TxnResponse, error) // nil answers probes as etcd does
}

type request struct {
	ctx    context.Context
	conds  []clientv3.Cmp
	then   []clientv3.Op
	answer chan result
}

type result struct {
	resp *clientv3.TxnResponse
	err  error
}

func newServer(t *testing.T) *server {
	s := &server{t: t}
	s.c = &Committer{commit: s.commit, connected: s.connected, limit: defaultBounds, metrics: newMetrics(),
		log: funcr.New(func(_, args string) { s.mu.Lock(); defer s.mu.Unlock(); s.lines = append(s.lines, args) }, funcr.Options{})}
	return s
}

func (s *server) connected(ctx context.Context) error {
	s.mu.Lock()
	wait := s.noLink
	s.mu.Unlock()
	if wait == nil {
		return ctx.Err()
	}
	select {
	case <-wait:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *server) commit(ctx context.Context, conds []clientv3.Cmp, then, orElse []clientv3.Op) (*clientv3.TxnResponse, error) {
	if isProbe(then) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.probes++
		if s.probed != nil {
			return s.probed()
		}
		return nestedAnswer(7, true), nil
	}
	r := &request{ctx, conds, then, make(chan result, 1)}
	s.mu.Lock()
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	select {
	case a := <-r.answer:
		return a.resp, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func isProbe(then []clientv3.Op) bool {
	if len(then) != 1 || !then[0].IsTxn() {
		return false
	}
	_, ops, _ := then[0].Txn()
	return len(ops) == 1 && ops[0].IsGet()
}

// nestedAnswer answers a group, each of whose members did or did not succeed.
func nestedAnswer(revision int64, succeeded ...bool) *clientv3.TxnResponse {
	resp := &clientv3.TxnResponse{Header: &pb.ResponseHeader{Revision: revision}, Succeeded: true}
	for _, ok := range succeeded {
		resp.Responses = append(resp.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{
			ResponseTxn: &pb.TxnResponse{Succeeded: ok, Header: &pb.ResponseHeader{}}}})
	}
	return resp
}

// keys are what a request puts or deletes, with brackets around those of nested members.
func (r *request) keys() string {
	var all []string
	for _, op := range r.then {
		if !op.IsTxn() {
			all = append(all, string(op.KeyBytes()))
			continue
		}
		_, then, _ := op.Txn()
		all = append(all, "["+(&request{then: then}).keys()+"]")
	}
	return strings.Join(all, " ")
}

// expect waits until all is quiet and compares the requests that are under way, without
// those of busy.
func (s *server) expect(keys ...string) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var got []string
	for _, r := range s.requests {
		if !r.isBusy() {
			got = append(got, r.keys())
		}
	}
	if !slices.Equal(got, keys) {
		s.t.Fatalf("under way are %q, want %q", got, keys)
	}
}

// finish answers the oldest request.
func (s *server) finish(resp *clientv3.TxnResponse, err error) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	r := s.requests[0]
	s.requests = s.requests[1:]
	s.mu.Unlock()
	r.answer <- result{resp, err}
	synctest.Wait()
}

// ok answers the oldest request with success.
func (s *server) ok(revision int64) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	n := len(s.requests[0].then)
	s.mu.Unlock()
	s.finish(nestedAnswer(revision, slices.Repeat([]bool{true}, n)...), nil)
}

// call is a call of Commit.
type call struct {
	cancel context.CancelFunc
	done   chan struct{}
	answer Answer
	err    error
}

func (s *server) call(ctx context.Context, t Txn) *call {
	ctx, cancel := context.WithCancel(ctx)
	c := &call{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.answer, c.err = s.c.Commit(ctx, t)
	}()
	synctest.Wait() // so that calls come in this order
	return c
}

func (s *server) calls(keys ...string) (all []*call) {
	for _, key := range keys {
		all = append(all, s.call(s.t.Context(), cas(key, 1)))
	}
	return all
}

// busy makes as many requests as may be under way, so that the next transaction waits.
func (s *server) busy() {
	for i := range maxUnderWay {
		s.call(s.t.Context(), cas(fmt.Sprint("busy", i), 1))
	}
	s.expect()
	if len(s.requests) != maxUnderWay {
		s.t.Fatalf("%d requests are under way", len(s.requests))
	}
}

// free ends the requests of busy.
func (s *server) free() {
	s.t.Helper()
	for len(s.requests) > 0 && s.requests[0].isBusy() {
		s.ok(6)
	}
}

func (r *request) isBusy() bool { return strings.HasPrefix(r.keys(), "busy") }

// last returns the newest request.
func (s *server) last() *request { return s.requests[len(s.requests)-1] }

// drop forgets a request that was canceled.
func (s *server) drop(r *request) {
	s.requests = slices.DeleteFunc(s.requests, func(other *request) bool { return other == r })
}

func (c *call) is(t *testing.T, revision int64, size int) {
	t.Helper()
	synctest.Wait()
	select {
	case <-c.done:
	default:
		t.Fatal("there is no answer")
	}
	if c.err != nil {
		t.Fatal(c.err)
	}
	if c.answer.Response.Header.Revision != revision || c.answer.Size != size {
		t.Fatalf("answered at revision %d in a group of %d, want %d and %d", c.answer.Response.Header.Revision, c.answer.Size, revision, size)
	}
}

func (c *call) fails(t *testing.T) error {
	t.Helper()
	synctest.Wait()
	select {
	case <-c.done:
	default:
		t.Fatal("there is no answer")
	}
	if c.err == nil {
		t.Fatal("there is no error")
	}
	return c.err
}

func (c *call) pending(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case <-c.done:
		t.Fatalf("answered %v, %v", c.answer, c.err)
	default:
	}
}

func inBubble(t *testing.T, f func(t *testing.T, s *server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		f(t, s)
		for synctest.Wait(); len(s.requests) > 0; synctest.Wait() {
			s.ok(99)
		}
		if s.c.underWay != 0 || len(s.c.queue) != 0 || s.c.waiting != 0 {
			t.Errorf("left are %d requests and %d transactions of %d bytes", s.c.underWay, len(s.c.queue), s.c.waiting)
		}
	})
}

func TestAnIdleCommitterSendsAtOnceAndAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		a := s.call(t.Context(), cas("a", 1))
		s.expect("a")
		s.finish(&clientv3.TxnResponse{Header: &pb.ResponseHeader{Revision: 5}, Succeeded: true}, nil)
		a.is(t, 5, 1)
		if s.probes > 0 {
			t.Error("it asked whether the server nests")
		}
	})
}

func TestTransactionsThatWaitGoTogether(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.busy()
		waiting := s.calls("a", "b", "c")
		s.expect()
		s.ok(4)
		s.expect("[a] [b] [c]")
		s.free()
		s.expect("[a] [b] [c]")
		s.finish(nestedAnswer(7, true, false, true), nil)
		for i, c := range waiting {
			c.is(t, 7, 3)
			if c.answer.Response.Succeeded != (i != 1) {
				t.Errorf("member %d has another's answer", i)
			}
		}
	})
}

func TestOneThatWaitsAloneIsNotNested(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.busy()
		a := s.calls("a")[0]
		s.ok(4)
		s.expect("a")
		s.free()
		s.ok(7)
		a.is(t, 7, 1)
	})
}

func TestConflictingTransactionsGoInDifferentGroups(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.busy()
		s.calls("a", "a", "b")
		s.free()
		s.expect("[a] [b]", "a")
	})
}

func TestTheLongestWaitingGoesNext(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.busy()
		s.calls("a", "a", "b")
		s.ok(4)
		s.expect("[a] [b]")
		s.calls("c", "d")
		s.ok(5)
		s.expect("[a] [b]", "[a] [c] [d]")
	})
}

func TestAFullGroupDoesNotWait(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.busy()
		for i := range maxMembers + 1 {
			s.call(t.Context(), cas(fmt.Sprint(i), 1))
		}
		synctest.Wait()
		if n := len(s.requests); n != maxUnderWay+1 {
			t.Fatalf("%d requests are under way", n)
		}
		if n := len(s.requests[maxUnderWay].then); n != maxMembers {
			t.Fatalf("the group has %d members", n)
		}
	})
}

func TestAnExtraRequestEndsWhenTheQueueIsShort(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.busy()
		for i := range maxMembers + 2 {
			s.call(t.Context(), cas(fmt.Sprint(i), 1))
		}
		synctest.Wait()
		s.ok(4) // one of the four: the two that wait must go on waiting
		if n := len(s.requests); n != maxUnderWay {
			t.Fatalf("%d requests are under way", n)
		}
	})
}

func TestWhatGoesAlone(t *testing.T) {
	for name, c := range map[string]struct {
		ctx func(context.Context) context.Context
		txn Txn
	}{
		"without writes": {nil, Txn{If: conds(at("x", 1)), Then: ops(get("x"))}},
		"nested already": {nil, Txn{Then: ops(clientv3.OpTxn(nil, ops(put("x", "")), nil))}},
		"metadata": {func(ctx context.Context) context.Context {
			return metadata.AppendToOutgoingContext(ctx, "route", "there")
		}, cas("x", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				s.busy()
				ctx := t.Context()
				if c.ctx != nil {
					ctx = c.ctx(ctx)
				}
				s.call(ctx, c.txn)
				if n := len(s.requests); n != maxUnderWay+1 {
					t.Fatalf("%d requests are under way", n)
				}
			})
		})
	}
}

func TestTurnedOff(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.c.off.Store(true)
		s.busy()
		s.calls("a", "b")
		s.expect("a", "b")
	})
}

func TestACallerThatLeavesInTimeIsNotSent(t *testing.T) {
	notSent := func(t *testing.T, c *call) {
		t.Helper()
		c.cancel()
		var e *NotSentError
		if err := c.fails(t); !errors.As(err, &e) || !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
	t.Run("from the queue", func(t *testing.T) {
		inBubble(t, func(t *testing.T, s *server) {
			s.busy()
			all := s.calls("a", "b", "c")
			notSent(t, all[1])
			s.ok(4)
			s.expect("[a] [c]")
		})
	})
	t.Run("from a group that waits for a connection", func(t *testing.T) {
		inBubble(t, func(t *testing.T, s *server) {
			s.busy()
			all := s.calls("a", "b", "c")
			link := make(chan struct{})
			s.noLink = link
			s.ok(4)
			s.expect()
			notSent(t, all[0])
			close(link)
			s.expect("[b] [c]")
		})
	})
	t.Run("all of them, from a group that waits for a connection", func(t *testing.T) {
		inBubble(t, func(t *testing.T, s *server) {
			s.busy()
			all := s.calls("a", "b")
			link := make(chan struct{})
			s.noLink = link
			s.ok(4)
			notSent(t, all[0])
			notSent(t, all[1])
			close(link)
			s.expect()
		})
	})
}

func TestACallerThatLeavesTooLate(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.busy()
		all := s.calls("a", "b")
		s.ok(4)
		s.expect("[a] [b]")
		sent := s.last()
		unknown := func(c *call) {
			c.cancel()
			var e *NotSentError
			if err := c.fails(t); errors.As(err, &e) || !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
		}
		unknown(all[0])
		if sent.ctx.Err() != nil {
			t.Fatal("the request of the other was canceled")
		}
		unknown(all[1])
		if sent.ctx.Err() == nil {
			t.Fatal("nobody waits for the request, and it was not canceled")
		}
		s.drop(sent)
	})
}

func TestADeadlineEndsOneMemberOnly(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.busy()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a, b := s.call(ctx, cas("a", 1)), s.calls("b")[0]
		s.ok(4)
		time.Sleep(2 * time.Second)
		if err := a.fails(t); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		b.pending(t)
		s.free()
		s.ok(7)
		b.is(t, 7, 2)
	})
}

func TestTheLastToLeaveGetsItsOwnReason(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.busy()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a := s.call(ctx, cas("a", 1))
		s.ok(4)
		s.expect("a")
		time.Sleep(2 * time.Second)
		if err := a.fails(t); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		s.drop(s.last())
	})
}

// A refusal can be the fault of one member. It must not be the answer to the others.
func TestAfterARefusalEachGoesAlone(t *testing.T) {
	for _, refusal := range []error{rpctypes.ErrPermissionDenied, rpctypes.ErrLeaseNotFound, rpctypes.ErrTooManyOps, rpctypes.ErrRequestTooLarge,
		rpctypes.ErrDuplicateKey, status.Error(codes.ResourceExhausted, "trying to send message larger than max (9 vs. 8)")} {
		t.Run(refusal.Error(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				s.busy()
				all := s.calls("a", "b")
				s.free()
				s.expect("[a] [b]")
				s.finish(nil, refusal)
				synctest.Wait()
				slices.SortFunc(s.requests, func(x, y *request) int { return strings.Compare(x.keys(), y.keys()) })
				s.expect("a", "b")
				s.finish(nil, rpctypes.ErrPermissionDenied)
				s.ok(8)
				if err := all[0].fails(t); !errors.Is(err, rpctypes.ErrPermissionDenied) {
					t.Fatal(err)
				}
				all[1].is(t, 8, 1)
			})
		})
	}
}

// An error that proves nothing is the answer to every member, and nothing is sent twice.
func TestAnUnknownOutcomeIsThatOfEachMember(t *testing.T) {
	for _, err := range []error{status.Error(codes.Unavailable, "error reading from server: EOF"), rpctypes.ErrNoSpace, rpctypes.ErrTimeout} {
		t.Run(err.Error(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				s.busy()
				all := s.calls("a", "b")
				s.free()
				s.finish(nil, err)
				s.expect()
				for _, c := range all {
					if got := c.fails(t); !errors.Is(got, err) {
						t.Fatal(got)
					}
				}
			})
		})
	}
}

func TestGroupsShrinkToWhatTheServerAccepts(t *testing.T) {
	for name, c := range map[string]struct {
		refusal error
		size    int
	}{
		"operations": {rpctypes.ErrTooManyOps, 3}, // with one operation: half of 8 + 1
		"bytes":      {rpctypes.ErrRequestTooLarge, 4},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				s.busy()
				keys := strings.Split("abcdefgh", "")
				s.calls(keys...)
				s.free()
				s.finish(nil, c.refusal)
				for range keys {
					s.ok(7)
				}
				s.busy()
				s.calls(keys...)
				s.ok(8)
				synctest.Wait()
				if n := len(s.last().then); n != c.size {
					t.Errorf("the next group has %d members, want %d", n, c.size)
				}
				if len(s.lines) != 1 {
					t.Errorf("logged %q", s.lines)
				}
			})
		})
	}
}

func TestAServerThatDoesNotNest(t *testing.T) {
	for name, answer := range map[string]result{
		"refuses":              {nil, status.Error(codes.Unimplemented, "nested")},
		"fails":                {nil, status.Error(codes.Unknown, "unsupported transaction")},
		"accepts nothing more": {nil, rpctypes.ErrTooManyOps},
		"drops what is nested": {&clientv3.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: true}, nil},
		"answers otherwise": {&clientv3.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: true,
			Responses: []*pb.ResponseOp{{Response: &pb.ResponseOp_ResponseRange{}}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				s.probed = func() (*clientv3.TxnResponse, error) { return answer.resp, answer.err }
				s.busy()
				s.calls("a", "b")
				s.free()
				synctest.Wait()
				slices.SortFunc(s.requests, func(x, y *request) int { return strings.Compare(x.keys(), y.keys()) })
				s.expect("a", "b")
				s.calls("c", "d", "e")
				s.expect("a", "b", "c", "d", "e")
				if len(s.lines) != 1 || !strings.Contains(s.lines[0], "does not nest") || s.probes != 1 {
					t.Errorf("logged %q after %d probes", s.lines, s.probes)
				}
			})
		})
	}
}

func TestAProbeWithoutVerdictIsRepeated(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.probed = func() (*clientv3.TxnResponse, error) { return nil, rpctypes.ErrPermissionDenied }
		s.busy()
		s.calls("a", "b")
		s.free()
		s.ok(7)
		s.ok(8)
		s.expect()
		s.probed = nil
		s.busy()
		s.calls("a", "b")
		s.ok(9)
		s.expect("[a] [b]")
		if len(s.lines) > 0 || s.probes != 2 {
			t.Errorf("logged %q after %d probes", s.lines, s.probes)
		}
	})
}

func TestTheFirstMembersContextIsThatOfTheRequest(t *testing.T) {
	type span struct{}
	inBubble(t, func(t *testing.T, s *server) {
		s.busy()
		first := s.call(context.WithValue(t.Context(), span{}, "first"), cas("a", 1))
		s.calls("b")
		s.ok(4)
		s.expect("[a] [b]")
		r := s.last()
		if r.ctx.Value(span{}) != "first" {
			t.Error("the request has another context")
		}
		first.cancel()
		synctest.Wait()
		if r.ctx.Err() != nil {
			t.Error("it ends with the first member")
		}
	})
}

func sizeOf(t *testing.T, txn Txn) int {
	t.Helper()
	recorded := &recordingKV{}
	kv := clientv3.NewKVFromKVClient(recorded, nil)
	_, _ = kv.Do(t.Context(), clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpTxn(txn.If, txn.Then, txn.Else)}, nil))
	return proto.Size(recorded.request)
}

// recordingKV keeps the last transaction.
type recordingKV struct {
	pb.KVClient
	request *pb.TxnRequest
}

func (r *recordingKV) Txn(_ context.Context, request *pb.TxnRequest, _ ...grpc.CallOption) (*pb.TxnResponse, error) {
	r.request = request
	return nil, errors.New("recorded")
}
