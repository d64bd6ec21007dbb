package informer_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// victimEnv names the environment variable that makes the test binary run as the
// process to be killed. It has an endpoint of etcd, a prefix and the path of a
// checkpoint.
const victimEnv = "HOMEOSTAT_CHECKPOINT_VICTIM"

// TestVictim is that process. Its handler writes a line for each event before it
// returns.
func TestVictim(t *testing.T) {
	args := strings.Fields(os.Getenv(victimEnv))
	if len(args) != 3 {
		t.Skip("it is run by another test, in a process of its own")
	}
	from, err := informer.SavedRevision(args[2])
	if err != nil {
		fmt.Println("@damaged", err)
		return
	}
	fmt.Println("@from", from)
	client, err := clientv3.New(clientv3.Config{Endpoints: args[:1]})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.New(client, store.Options{Scheme: scheme.Scheme, Prefix: args[1]})
	if err != nil {
		t.Fatal(err)
	}
	r := informer.Hasten(informer.NewReplica(s, informer.Options{
		Checkpoint: informer.Checkpoint{Path: args[2], Interval: time.Millisecond},
	}))
	maps, err := informer.For[*corev1.ConfigMap](r)
	if err != nil {
		t.Fatal(err)
	}
	maps.AddHandler(func(_ context.Context, e informer.Event[*corev1.ConfigMap]) {
		what := "change"
		if e.Initial {
			what = "initial"
		}
		fmt.Printf("@%s %s %s %d\n", what, e.Type, e.Object.Name, e.Revision)
	})
	go func() {
		if r.WaitForSync(t.Context()) == nil {
			fmt.Println("@synced")
		}
	}()
	_ = r.Run(t.Context()) // until it is killed
}

// victim is such a process, seen from its parent.
type victim struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended

	mu      sync.Mutex // guards the fields below
	from    int64
	initial []string
	changes []string
	synced  bool
	damaged string
}

func startVictim(endpoint, prefix, path string) *victim {
	GinkgoHelper()
	v := &victim{cmd: exec.Command(os.Args[0], "-test.run=^TestVictim$"), ended: make(chan struct{})}
	v.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", victimEnv, endpoint, prefix, path))
	out, err := v.cmd.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(v.cmd.Start()).To(Succeed())
	DeferCleanup(func() {
		_ = v.cmd.Process.Kill() // if it still runs
		<-v.ended
	})
	go func() {
		defer close(v.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			v.take(lines.Text())
		}
	}()
	return v
}

func (v *victim) take(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	what, rest, _ := strings.Cut(line, " ")
	switch what {
	case "@from":
		_, _ = fmt.Sscan(rest, &v.from)
	case "@initial":
		v.initial = append(v.initial, rest)
	case "@change":
		v.changes = append(v.changes, rest)
	case "@synced":
		v.synced = true
	case "@damaged":
		v.damaged = rest
	}
}

func (v *victim) isSynced() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.synced
}

func (v *victim) received() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.changes)
}

// kill kills the process and waits until all its output was read.
func (v *victim) kill() {
	GinkgoHelper()
	Expect(v.cmd.Process.Kill()).To(Succeed())
	<-v.ended
	_ = v.cmd.Wait() // it was killed
	Expect(v.damaged).To(BeEmpty(), "the checkpoint that it found")
}

// truth has all events of ConfigMaps, and their state at each revision.
type truth struct {
	lines     []string
	revisions []int64
}

func readTruth(ctx context.Context, s *store.Store) (t truth) {
	GinkgoHelper()
	now := put(ctx, s.Client(), s.Prefix()+"core/configmaps/~", "")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for resp := range s.Client().Watch(ctx, s.Prefix()+"core/configmaps/", clientv3.WithPrefix(), clientv3.WithRev(1)) {
		for _, ev := range resp.Events {
			if ev.Kv.ModRevision == now {
				return t
			}
			what := store.Modified
			switch {
			case ev.IsCreate():
				what = store.Added
			case ev.Type == clientv3.EventTypeDelete:
				what = store.Deleted
			}
			name := string(ev.Kv.Key)[strings.LastIndexByte(string(ev.Kv.Key), '/')+1:]
			t.lines = append(t.lines, fmt.Sprintf("%s %s %d", what, name, ev.Kv.ModRevision))
			t.revisions = append(t.revisions, ev.Kv.ModRevision)
		}
	}
	Fail("the watch ended")
	return t
}

// upTo returns how many events there are up to a revision.
func (t truth) upTo(revision int64) int {
	n := 0
	for n < len(t.revisions) && t.revisions[n] <= revision {
		n++
	}
	return n
}

// objects returns the objects that exist after some events, as initial events.
func (t truth) objects(n int) []string {
	last := map[string]string{}
	for i, line := range t.lines[:n] {
		parts := strings.Fields(line)
		last[parts[1]] = fmt.Sprintf("%s %s %d", store.Added, parts[1], t.revisions[i])
		if parts[0] == string(store.Deleted) {
			delete(last, parts[1])
		}
	}
	lines := []string{}
	for _, line := range last {
		lines = append(lines, line)
	}
	return lines
}

var _ = Describe("The checkpoint of a process that is killed while it writes under load", func() {
	It("neither hides nor invents a change", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{}) // without compaction
		s, path := newStoreOn(cluster.Client()), checkpointPath()
		endpoint := cluster.Endpoints()[0]
		for i := range 20 {
			create(ctx, s, configMap(fmt.Sprint("cm-", i), "v", "0"))
		}
		v := startVictim(endpoint, s.Prefix(), path)
		Eventually(v.isSynced).Should(BeTrue())
		began, err := s.Revision(ctx)
		Expect(err).NotTo(HaveOccurred())
		writing, stopWriting := context.WithCancel(ctx)
		defer stopWriting()
		var writer sync.WaitGroup
		writer.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 1))
			for writing.Err() == nil {
				cm := configMap(fmt.Sprint("cm-", dice.IntN(20)), "v", fmt.Sprint(dice.Int()))
				if _, err := s.Update(writing, cm); err != nil {
					_, _ = s.Create(writing, cm)
				} else if dice.IntN(4) == 0 {
					_, _ = s.Delete(writing, cm, store.DeleteOptions{})
				}
				pause(writing, time.Duration(dice.IntN(int(8*time.Millisecond))))
			}
		})
		Eventually(func() (int64, error) { return informer.SavedRevision(path) }).Should(BeNumerically(">", began))
		victims := []*victim{v}
		for range 8 {
			received := 1 + rand.IntN(40)
			Eventually(v.received).Should(BeNumerically(">", received))
			v.kill()
			v = startVictim(endpoint, s.Prefix(), path)
			victims = append(victims, v)
		}
		stopWriting()
		writer.Wait()
		t := readTruth(ctx, s)
		Eventually(func() string {
			v.mu.Lock()
			defer v.mu.Unlock()
			if len(v.changes) == 0 {
				return fmt.Sprint("began at ", v.from)
			}
			return v.changes[len(v.changes)-1]
		}).Should(Or(Equal(t.lines[len(t.lines)-1]), Equal(fmt.Sprint("began at ", t.revisions[len(t.revisions)-1]))))
		v.kill()

		known := t.upTo(began) // the number of events that handlers received
		for i, v := range victims {
			at := t.upTo(v.from)
			if i == 0 {
				at = known
			}
			Expect(at).To(BeNumerically("<=", known), "process %d starts with events that no handler received", i)
			Expect(v.initial).To(ConsistOf(t.objects(at)), "process %d", i)
			Expect(v.changes).To(Equal(t.lines[at:at+len(v.changes)]), "process %d", i)
			known = max(known, at+len(v.changes))
		}
		Expect(known).To(Equal(len(t.lines)))
	}, SpecTimeout(2*specTimeout))
})
