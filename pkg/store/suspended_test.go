//go:build unix

package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// holderEnv names the environment variable with the endpoint and the lease time
// in seconds. With it, this test binary starts itself as the process that is
// suspended.
const holderEnv = "STORE_TEST_HOLDER"

func TestMain(m *testing.M) {
	var endpoint string
	var ttl int64
	if _, err := fmt.Sscan(os.Getenv(holderEnv), &endpoint, &ttl); err != nil {
		os.Exit(m.Run())
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // ends with the parent, whatever happens to it
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := beHolder(ctx, endpoint, ttl); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// leadKey is the key that one process at a time holds, with its lease.
const leadKey = "/shared/lead"

// Lease times in seconds: one is short enough to wait for, and long enough that a
// process on a busy machine can keep it. The other one never ends within a test.
const briefly, patient = 3, 600

// hold creates the key, which must not exist, with a lease.
func hold(ctx context.Context, client *clientv3.Client, ttl int64) (store.Fence, clientv3.LeaseID, error) {
	lease, err := client.Grant(ctx, ttl)
	if err != nil {
		return store.Fence{}, 0, err
	}
	resp, err := client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(leadKey), "=", 0)).
		Then(clientv3.OpPut(leadKey, "", clientv3.WithLease(lease.ID))).Commit()
	if err != nil {
		return store.Fence{}, 0, err
	}
	if !resp.Succeeded {
		return store.Fence{}, 0, errors.New("another has the key")
	}
	return store.Fence{Key: leadKey, CreateRevision: resp.Header.Revision}, lease.ID, nil
}

// beHolder holds the key and writes under its fence until etcd refuses a write.
// It never checks the lease.
func beHolder(ctx context.Context, endpoint string, ttl int64) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	s, err := store.New(client, store.Options{Kinds: []store.AnyKind{siteKind()}, Prefix: "/shared/"})
	if err != nil {
		return err
	}
	fence, lease, err := hold(ctx, client, ttl)
	if err != nil {
		return err
	}
	if _, err := client.KeepAlive(ctx, lease); err != nil {
		return err
	}
	fmt.Println("holds", lease)
	for i := 0; ; i++ {
		switch err := workOnce(ctx, s.WithFences(fence), "holder", i); {
		case store.IsFenced(err):
			fmt.Println("fenced")
			return nil
		case err != nil:
			return err
		}
		fmt.Println("wrote")
	}
}

// workOnce writes with every verb. All written objects have the writer's name.
func workOnce(ctx context.Context, s *store.Store, writer string, i int) error {
	site := newSite(fmt.Sprintf("%s-%d", writer, i))
	site.Spec.Image = writer
	if _, err := s.Create(ctx, site); err != nil {
		return err
	}
	site.Spec.Replicas = 1
	if _, err := s.Update(ctx, site); err != nil {
		return err
	}
	site.Status.Ready = 1
	if _, err := s.UpdateStatus(ctx, site); err != nil {
		return err
	}
	_, _, err := store.Mutate(ctx, s, store.KeyOf(newSite("counter")), func(c *Site) error {
		c.Spec.Replicas++
		c.Spec.Image = writer
		return nil
	})
	if err != nil {
		return err
	}
	_, err = s.Delete(ctx, site, store.DeleteOptions{})
	return err
}

// holder is the other process.
type holder struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
	lease clientv3.LeaseID
	wrote int32 // rounds that it has reported
}

func startHolder(t *testing.T, endpoint string, ttl int64) *holder {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", holderEnv, endpoint, ttl))
	cmd.Stderr = os.Stderr
	if _, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &holder{t: t, cmd: cmd, lines: bufio.NewScanner(out)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // has ended already unless the test failed
		_ = cmd.Wait()
	})
	if _, err := fmt.Sscanf(h.line(), "holds %d", &h.lease); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *holder) line() string {
	h.t.Helper()
	if !h.lines.Scan() {
		h.t.Fatalf("the holder has ended: %v", h.lines.Err())
	}
	return h.lines.Text()
}

func (h *holder) signal(s os.Signal) {
	h.t.Helper()
	if err := h.cmd.Process.Signal(s); err != nil {
		h.t.Fatal(err)
	}
}

// suspend stops the process while it writes, and returns when it has stopped.
// Writes that it has sent have reached etcd or are on their way.
func (h *holder) suspend() {
	h.t.Helper()
	for range 5 {
		if got := h.line(); got != "wrote" {
			h.t.Fatalf("the holder says %q", got)
		}
		h.wrote++
	}
	h.signal(syscall.SIGSTOP)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(h.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		h.t.Fatalf("the holder has not stopped: %v, %v", status, err)
	}
}

// goOn resumes the process, and returns when etcd has refused a write of it. The
// process may first report rounds that it wrote before it lost its key, but no
// others.
func (h *holder) goOn(rounds int32) {
	h.t.Helper()
	h.signal(syscall.SIGCONT)
	for {
		switch got := h.line(); got {
		case "wrote":
			if h.wrote++; h.wrote > rounds {
				h.t.Fatalf("the holder has written on: %d rounds, of which %d were before it lost its key", h.wrote, rounds)
			}
		case "fenced":
			if err := h.cmd.Wait(); err != nil {
				h.t.Fatal(err)
			}
			return
		default:
			h.t.Fatalf("the holder says %q", got)
		}
	}
}

// lostAt returns the revision at which the key was first deleted.
func lostAt(t *testing.T, client *clientv3.Client) int64 {
	t.Helper()
	raw, err := etcd.OpenWatch(t.Context(), client, etcd.KeyRange(leadKey), 1, etcd.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for batch := range raw.Responses {
		if err := etcd.WatchError(batch, true); err != nil {
			t.Fatal(err)
		}
		for _, ev := range batch.Events {
			if ev.Type == clientv3.EventTypeDelete {
				return ev.Kv.ModRevision
			}
		}
	}
	t.Fatal("the watch has ended")
	return 0
}

// TestSuspendedWriterWritesNothing suspends a process that holds a key, takes the
// key from it, writes in its place, and resumes it.
func TestSuspendedWriterWritesNothing(t *testing.T) {
	for name, c := range map[string]suspension{
		"past its lease": {briefly, func(*testing.T, *clientv3.Client, *holder) {}}, // time does it
		"while its lease is revoked": {patient, func(t *testing.T, client *clientv3.Client, h *holder) {
			if _, err := client.Revoke(t.Context(), h.lease); err != nil {
				t.Fatal(err)
			}
		}},
		"while its key is deleted and created again by hand": {patient, func(t *testing.T, client *clientv3.Client, _ *holder) {
			if _, err := client.Delete(t.Context(), leadKey); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Put(t.Context(), leadKey, ""); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) { testSuspended(t, c) })
	}
}

// suspension is the way in which the suspended holder loses its key.
type suspension struct {
	ttl  int64 // of its lease
	take func(*testing.T, *clientv3.Client, *holder)
}

func testSuspended(t *testing.T, c suspension) {
	etcdtest.VerifyNoLeaks(t)
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client := cluster.Client()
	s := siteStore(t, client)
	if _, err := s.Create(t.Context(), newSite("counter")); err != nil {
		t.Fatal(err)
	}
	h := startHolder(t, cluster.Member(0).Endpoint(), c.ttl)
	h.suspend()
	c.take(t, client, h)
	lost := lostAt(t, client)
	counter, err := store.Get[*Site](t.Context(), s, store.KeyOf(newSite("counter")))
	if err != nil {
		t.Fatal(err)
	}
	if err := workOnce(t.Context(), s.WithFences(succeed(t, client)), "successor", 0); err != nil {
		t.Fatal(err)
	}
	h.goOn(counter.Spec.Replicas)
	checkFenced(t, client, s, lost)
}

// succeed returns the fence of the process that holds the key now.
func succeed(t *testing.T, client *clientv3.Client) store.Fence {
	t.Helper()
	resp, err := client.Get(t.Context(), leadKey)
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Kvs) > 0 {
		return store.Fence{Key: leadKey, CreateRevision: resp.Kvs[0].CreateRevision}
	}
	fence, _, err := hold(t.Context(), client, patient)
	if err != nil {
		t.Fatal(err)
	}
	return fence
}

// checkFenced checks etcd's whole history for writes of the holder.
func checkFenced(t *testing.T, client *clientv3.Client, s *store.Store, lost int64) {
	t.Helper()
	prefix, decode, err := s.Decoder(&Site{}, store.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before, after := 0, 0 // of the holder's writes
	for _, ev := range history(t, client, etcd.PrefixRange(prefix), last) {
		by := strings.HasPrefix(string(ev.Kv.Key), siteKey(s, "holder"))
		if ev.Type == clientv3.EventTypePut {
			decoded, err := decode(string(ev.Kv.Key), ev.Kv.Value, ev.Kv.ModRevision)
			obj := decoded.Object
			if err != nil {
				t.Fatal(err)
			}
			by = by || obj.(*Site).Spec.Image == "holder"
		}
		switch {
		case by && ev.Kv.ModRevision > lost:
			t.Errorf("the holder wrote %s at revision %d, and had lost its key at %d", ev.Kv.Key, ev.Kv.ModRevision, lost)
		case by:
			before++
		default:
			after++
		}
	}
	if before < 5 || after < 5 {
		t.Errorf("%d writes of the holder and %d of others are too few to show anything", before, after)
	}
}
