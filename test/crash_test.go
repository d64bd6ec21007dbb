//go:build unix

package test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// HOMEOSTAT_CRASH_SEED repeats a run, as far as timing allows;
// HOMEOSTAT_CRASH_ROUNDS sets its length. With soak lengths the system has about a
// thousand objects.
var _ = Describe("A system of many objects whose processes crash", Label("soak"), func() {
	// The processes mostly wait for leases to expire, so the modes run at the same time.
	It("converges, and writes nothing twice or too late, under leadership and under sharding",
		func(ctx SpecContext) {
			seed, rounds := uint64(GinkgoRandomSeed()), soakLength(len(faults), 24)
			if s, err := strconv.ParseUint(os.Getenv("HOMEOSTAT_CRASH_SEED"), 10, 64); err == nil {
				seed = s
			}
			if n, err := strconv.Atoi(os.Getenv("HOMEOSTAT_CRASH_ROUNDS")); err == nil {
				rounds = n
			}
			By(fmt.Sprintf("HOMEOSTAT_CRASH_SEED=%d HOMEOSTAT_CRASH_ROUNDS=%d", seed, rounds))
			etcdtest.VerifyNoLeaks(GinkgoTB())
			var runs sync.WaitGroup
			for _, mode := range []string{"leadership", "sharding"} {
				runs.Go(func() {
					defer GinkgoRecover()
					newCrashRun(ctx, mode, seed).run(ctx, rounds)
				})
			}
			runs.Wait()
		})
})

// crashProcesses is the number of processes without faults.
const crashProcesses = 3

// crashPatience bounds the time to converge on a busy machine.
const crashPatience = 5 * time.Minute

// crashRun is one run.
type crashRun struct {
	mode      string
	dice      *rand.Rand
	cluster   *etcdtest.Cluster
	client    *clientv3.Client
	store     *store.Store // for the test's own writes
	recorder  *crashRecorder
	fleets    map[string]FleetSpec // the Fleets that should exist
	byTest    map[int64]bool       // the revisions of the test's own writes
	processes []*process           // running or suspended
	started   int
	happened  map[string]int // number of faults by kind
}

func newCrashRun(ctx context.Context, mode string, seed uint64) *crashRun {
	GinkgoHelper()
	c := etcdtest.Start(GinkgoTB(), etcdtest.Options{ClientAddr: "127.0.0.1:0"})
	s, err := newCrashStore(c.Client())
	Expect(err).NotTo(HaveOccurred())
	return &crashRun{
		mode: mode, dice: rand.New(rand.NewPCG(seed, 1)), cluster: c, client: c.Client(), store: s,
		recorder: newCrashRecorder(ctx, c), fleets: map[string]FleetSpec{}, byTest: map[int64]bool{}, happened: map[string]int{},
	}
}

func (r *crashRun) run(ctx context.Context, rounds int) {
	for i := range soakLength(8, 25) {
		r.create(ctx, fmt.Sprintf("f%02d", i))
	}
	for range crashProcesses {
		r.start()
	}
	order := r.dice.Perm(len(faults)) // so that each kind happens
	for round := range rounds {
		for range 4 {
			r.change(ctx)
		}
		pause(ctx, time.Duration(r.dice.IntN(int(500*time.Millisecond))))
		r.fault(ctx, faults[order[round%len(faults)]])
	}
	for _, p := range r.processes {
		if p.suspended {
			p.resume()
		}
	}
	want := convergedFor(r.fleets)
	Eventually(func() []string { return difference(want, present(ctx, r.client)) }).
		WithTimeout(crashPatience).WithPolling(200 * time.Millisecond).Should(BeEmpty())
	for _, p := range r.processes {
		p.terminate()
	}
	Expect(difference(want, present(ctx, r.client))).To(BeEmpty(), "after the last process has stopped")
	r.expectRightHistory(ctx, len(want))
}

func (r *crashRun) expectRightHistory(ctx context.Context, objects int) {
	GinkgoHelper()
	a := newAudit(r.byTest)
	events := r.recorder.all(ctx)
	a.read(events)
	By(fmt.Sprintf("%s: %d objects, %d events, %d of them by the test, created: %v, writes by token: %v, faults: %v, processes: %d",
		r.mode, objects, len(events), len(r.byTest), a.creations, a.tokens, r.happened, r.started))
	for _, problem := range a.found {
		By(r.mode + ": " + problem) // all of them: a failure may take long to come again
	}
	Expect(a.found).To(BeEmpty(), r.mode)
	Expect(a.objects).To(HaveLen(objects), "that the history ends with")
	Expect(len(a.tokens)).To(BeNumerically(">", 1), "terms: too few to show anything")
}

// The test's own changes.

func (r *crashRun) change(ctx context.Context) {
	GinkgoHelper()
	names := slices.Sorted(maps.Keys(r.fleets))
	name := names[r.dice.IntN(len(names))]
	switch r.dice.IntN(8) {
	case 0:
		r.replace(ctx, name)
	case 1:
		r.remove(ctx, name, metav1.DeletePropagationForeground)
		r.create(ctx, fmt.Sprintf("f%d", 100+len(r.byTest)))
	case 2, 3:
		r.deleteChild(ctx)
	default:
		r.mutate(ctx, name)
	}
}

// ask returns a random spec.
func (r *crashRun) ask() FleetSpec {
	return FleetSpec{Groups: 3 + r.dice.IntN(3), Units: 5 + r.dice.IntN(5), Hands: 1 + r.dice.IntN(3), Color: r.dice.IntN(100)}
}

func (r *crashRun) create(ctx context.Context, name string) {
	GinkgoHelper()
	fleet := &Fleet{ObjectMeta: crashMeta(name, name), Spec: r.ask()}
	r.wrote(r.store.Create(ctx, fleet))
	r.fleets[name] = fleet.Spec
}

func (r *crashRun) mutate(ctx context.Context, name string) {
	GinkgoHelper()
	asked := r.ask()
	_, revision, err := store.Mutate(ctx, r.store, store.Key{Namespace: crashNamespace, Name: name}, func(f *Fleet) error {
		f.Spec = asked
		return nil
	})
	r.wrote(revision, err)
	r.fleets[name] = asked
}

func (r *crashRun) remove(ctx context.Context, name string, how metav1.DeletionPropagation) {
	GinkgoHelper()
	r.wrote(r.store.Delete(ctx, &Fleet{ObjectMeta: crashMeta(name, name)}, store.DeleteOptions{Propagation: how}))
	delete(r.fleets, name)
}

// replace deletes a Fleet and creates another one with the same name while the Groups of
// the first still exist.
func (r *crashRun) replace(ctx context.Context, name string) {
	GinkgoHelper()
	r.remove(ctx, name, metav1.DeletePropagationBackground)
	r.create(ctx, name)
}

// deleteChild deletes a Unit or a Hand, if there is one.
func (r *crashRun) deleteChild(ctx context.Context) {
	GinkgoHelper()
	var err error
	var revision int64
	if units := r.list(ctx, "units"); r.dice.IntN(2) == 0 && len(units) > 0 {
		revision, err = r.store.Delete(ctx, &Unit{ObjectMeta: crashMeta(units[r.dice.IntN(len(units))], "")}, store.DeleteOptions{})
	} else if hands := r.list(ctx, "hands"); len(hands) > 0 {
		revision, err = r.store.Delete(ctx, &Hand{ObjectMeta: crashMeta(hands[r.dice.IntN(len(hands))], "")}, store.DeleteOptions{})
	}
	if !apierrors.IsNotFound(err) { // the controllers were faster
		r.wrote(revision, err)
	}
}

// list returns the names of the objects of a kind.
func (r *crashRun) list(ctx context.Context, kind string) []string {
	GinkgoHelper()
	prefix := crashPrefix + kind + "/" + crashNamespace + "/"
	resp, err := r.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, kv := range resp.Kvs {
		names = append(names, strings.TrimPrefix(string(kv.Key), prefix))
	}
	return names
}

func (r *crashRun) wrote(revision int64, err error) {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	r.byTest[revision] = true
}

// Faults.

func (r *crashRun) start() {
	GinkgoHelper()
	r.started++
	r.processes = append(r.processes, startProcess(r.mode, r.cluster.Endpoints()[0], fmt.Sprintf("process-%d-", r.started)))
}

// faults are the signals that hit running processes.
var faults = []string{"SIGKILL", "SIGSTOP", "SIGTERM"}

// fault sends a signal to a running process, usually to one that holds a token's key.
// At least one process keeps running.
func (r *crashRun) fault(ctx context.Context, fault string) {
	GinkgoHelper()
	running := r.revive()
	victim := running[r.dice.IntN(len(running))]
	if r.dice.IntN(4) > 0 || r.happened[fault] == 0 {
		Eventually(func() bool {
			i := slices.IndexFunc(running, func(p *process) bool { return r.holds(ctx, p) })
			if i >= 0 {
				victim = running[i]
			}
			return i >= 0
		}).WithPolling(50 * time.Millisecond).Should(BeTrue())
	}
	r.happened[fault]++
	switch fault {
	case "SIGKILL":
		r.forget(victim)
		victim.kill()
	case "SIGTERM":
		r.forget(victim)
		victim.terminate()
	case "SIGSTOP":
		victim.suspend()
		if r.dice.IntN(4) > 0 || r.happened[fault] == 1 { // until it has lost its keys
			Eventually(func() bool { return r.holds(ctx, victim) }).WithPolling(50 * time.Millisecond).Should(BeFalse())
		}
	}
}

// revive resumes or starts processes until two or three run. It returns these.
func (r *crashRun) revive() (running []*process) {
	GinkgoHelper()
	for {
		running = running[:0]
		var suspended *process
		for _, p := range r.processes {
			if p.suspended {
				suspended = p
			} else {
				running = append(running, p)
			}
		}
		switch {
		case len(running) == crashProcesses || len(running) == crashProcesses-1 && r.dice.IntN(2) == 0:
			return running
		case suspended != nil:
			suspended.resume()
		default:
			r.start()
		}
	}
}

func (r *crashRun) forget(p *process) {
	r.processes = slices.DeleteFunc(r.processes, func(other *process) bool { return other == p })
}

// holds reports whether a process holds a key that grants a token.
func (r *crashRun) holds(ctx context.Context, p *process) bool {
	GinkgoHelper()
	resp, err := r.client.Get(ctx, "/homeostat/", clientv3.WithPrefix())
	Expect(err).NotTo(HaveOccurred())
	return slices.ContainsFunc(resp.Kvs, func(kv *mvccpb.KeyValue) bool {
		return givesTokens(string(kv.Key)) && strings.Contains(string(kv.Value), p.identity)
	})
}

// pause waits.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
