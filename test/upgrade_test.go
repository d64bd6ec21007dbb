//go:build unix

package test

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// upgradeVolumes is the number of volumes. Every second one has a size that later rules
// refuse.
const upgradeVolumes = 20

// upgradeRun is a system whose program is upgraded and downgraded while it runs.
type upgradeRun struct {
	client   *clientv3.Client
	recorder *crashRecorder
	byUser   map[int64]bool // revisions in which the spec may change
	quiet    [][2]int64     // revisions between which nothing may be written
}

func (r *upgradeRun) store(program string) *store.Store {
	GinkgoHelper()
	s, err := newUpgradeStore(r.client, program)
	Expect(err).NotTo(HaveOccurred())
	return s
}

// start starts a program and waits until it has reconciled every volume that is left.
func (r *upgradeRun) start(ctx context.Context, program string) *process {
	GinkgoHelper()
	p := startUpgradeProcess(program, r.client.Endpoints()[0])
	names := r.names(ctx)
	Eventually(func() []string {
		out := string(p.session.Out.Contents())
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.Contains(out, "reconciled "+name+" ") })
	}).Should(BeEmpty(), "%s has not reconciled all", program)
	return p
}

func (r *upgradeRun) names(ctx context.Context) (names []string) {
	GinkgoHelper()
	resp, err := r.client.Get(ctx, "/upgrade/upgrade.test/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	Expect(err).NotTo(HaveOccurred())
	for _, kv := range resp.Kvs {
		names = append(names, path.Base(string(kv.Key)))
	}
	return names
}

// settle waits until all volumes have a finalizer and a status for their generation.
func (r *upgradeRun) settle(ctx context.Context) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		resp, err := r.client.Get(ctx, "/upgrade/upgrade.test/", clientv3.WithPrefix())
		g.Expect(err).NotTo(HaveOccurred())
		for _, kv := range resp.Kvs {
			v := parseVolume(kv.Value)
			g.Expect(v.Metadata.Finalizers).To(ConsistOf(volumeFinalizer), v.Metadata.Name)
			g.Expect(v.Status.Observed).To(Equal(v.Metadata.Generation), v.Metadata.Name)
		}
	}).Should(Succeed())
}

// quietly runs what must write nothing to volumes.
func (r *upgradeRun) quietly(ctx context.Context, f func()) {
	GinkgoHelper()
	r.settle(ctx)
	from := r.mark(ctx)
	f()
	r.quiet = append(r.quiet, [2]int64{from, r.mark(ctx)})
}

func (r *upgradeRun) mark(ctx context.Context) int64 {
	GinkgoHelper()
	resp, err := r.client.Put(ctx, "/history/mark", "")
	Expect(err).NotTo(HaveOccurred())
	return resp.Header.Revision
}

// storedVersions counts the values of each version.
func (r *upgradeRun) storedVersions(ctx context.Context) map[string]int {
	GinkgoHelper()
	resp, err := r.client.Get(ctx, "/upgrade/upgrade.test/", clientv3.WithPrefix())
	Expect(err).NotTo(HaveOccurred())
	versions := map[string]int{}
	for _, kv := range resp.Kvs {
		versions[parseVolume(kv.Value).APIVersion]++
	}
	return versions
}

// volumeValue is a stored value of any version.
type volumeValue struct {
	APIVersion string
	Metadata   metav1.ObjectMeta
	Spec       struct {
		Size, SizeGiB int
		TLS           string
		Security      struct{ TLS string }
	}
	Status VolumeStatus
}

func parseVolume(value []byte) (v volumeValue) {
	GinkgoHelper()
	Expect(json.Unmarshal(value, &v)).To(Succeed(), "%s", value)
	return v
}

// meaning is what the user wants of the volume.
func (v volumeValue) meaning() string {
	return fmt.Sprint("size ", v.Spec.Size+v.Spec.SizeGiB, ", tls ", v.Spec.TLS+v.Spec.Security.TLS)
}

// verify compares etcd's history with what was allowed.
func (r *upgradeRun) verify(ctx context.Context) {
	GinkgoHelper()
	last := map[string]volumeValue{}
	for _, ev := range r.recorder.all(ctx) {
		key, at := string(ev.Kv.Key), ev.Kv.ModRevision
		if !strings.HasPrefix(key, "/upgrade/upgrade.test/") {
			continue
		}
		for _, q := range r.quiet {
			Expect(at < q[0] || at > q[1]).To(BeTrue(), "%s was written at revision %d, when nothing was to be done", key, at)
		}
		was, known := last[key]
		if ev.Type == mvccpb.DELETE {
			Expect(was.Metadata.DeletionTimestamp).NotTo(BeNil(), "%s was deleted without a mark", key)
			delete(last, key)
			continue
		}
		is := parseVolume(ev.Kv.Value)
		last[key] = is
		if !known {
			continue
		}
		Expect(is.Metadata.UID).To(Equal(was.Metadata.UID))
		if is.meaning() != was.meaning() {
			Expect(r.byUser).To(HaveKey(at), "%s: %s became %s at revision %d", key, was.meaning(), is.meaning(), at)
		}
		if is.Metadata.Generation != was.Metadata.Generation && is.Metadata.DeletionTimestamp == nil {
			Expect(r.byUser).To(HaveKey(at), "%s has a new generation at revision %d", key, at)
		}
		if len(is.Metadata.Finalizers) < len(was.Metadata.Finalizers) {
			Expect(was.Metadata.DeletionTimestamp).NotTo(BeNil(), "%s lost its finalizer at revision %d", key, at)
		}
	}
}

func startUpgradeProcess(program, endpoint string) *process {
	GinkgoHelper()
	return startChild(fmt.Sprintf("%s=%s %s", upgradeEnv, program, endpoint), program)
}

var _ = Describe("Two releases of a program on one etcd", func() {
	var run *upgradeRun
	BeforeEach(func(ctx SpecContext) {
		etcdtest.VerifyNoLeaks(GinkgoTB())
		c := etcdtest.Start(GinkgoTB(), etcdtest.Options{ClientAddr: "127.0.0.1:0"})
		run = &upgradeRun{client: c.Client(), recorder: newCrashRecorder(context.WithoutCancel(ctx), c), byUser: map[int64]bool{}}
		first := run.store("first")
		for i := range upgradeVolumes {
			v := &FirstVolume{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("v%02d", i)}}
			v.Spec.Size = 1 + 8*(i%2)
			Expect(first.Create(ctx, v)).Error().NotTo(HaveOccurred())
		}
	})

	// change changes the specs of the volumes with a valid size.
	change := func(ctx context.Context, f func(*SecondVolume)) {
		GinkgoHelper()
		for i := 0; i < upgradeVolumes; i += 2 {
			_, rev, err := store.Mutate(ctx, run.store("second"), store.Key{Namespace: "default", Name: fmt.Sprintf("v%02d", i)},
				func(v *SecondVolume) error { f(v); return nil })
			Expect(err).NotTo(HaveOccurred())
			run.byUser[rev] = true
		}
	}

	It("keep an added field, and lock no object by a stricter rule", func(ctx SpecContext) {
		first := run.start(ctx, "first")
		run.settle(ctx)
		second := run.start(ctx, "second")
		change(ctx, func(v *SecondVolume) { v.Spec.TLS, v.Spec.Size = "on", 2 })
		run.settle(ctx) // whichever program was faster
		first.terminate()
		change(ctx, func(v *SecondVolume) { v.Spec.Size = 3 })
		run.settle(ctx)
		// Back to the first release, while the second still runs.
		first = run.start(ctx, "first")
		change(ctx, func(v *SecondVolume) { v.Spec.Size = 4 })
		run.settle(ctx)
		second.terminate()
		run.quietly(ctx, func() {
			first.terminate()
			first = run.start(ctx, "first")
			second = run.start(ctx, "second")
		})

		By("deleting volumes that today's rules refuse")
		for i := 1; i < upgradeVolumes; i += 2 {
			v := &SecondVolume{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("v%02d", i)}}
			Expect(run.store("second").Delete(ctx, v, store.DeleteOptions{})).Error().To(Or(Succeed(), MatchError(apierrors.IsNotFound, "NotFound")))
		}
		Eventually(func() []string { return run.names(ctx) }).Should(HaveLen(upgradeVolumes / 2))
		first.terminate()
		second.terminate()
		run.verify(ctx)
	}, SpecTimeout(crashPatience))

	It("move to another stored version and back", func(ctx SpecContext) {
		second := run.start(ctx, "second")
		change(ctx, func(v *SecondVolume) { v.Spec.TLS = "on" })
		third := run.start(ctx, "third") // knows v2, and stores v1
		second.terminate()
		fourth := run.start(ctx, "fourth") // stores v2
		change(ctx, func(v *SecondVolume) { v.Spec.Size = 2 })
		third.terminate()
		run.settle(ctx)
		Expect(store.Rewrite[*VolumeV2](ctx, run.store("fourth"))).Error().NotTo(HaveOccurred())
		Expect(run.storedVersions(ctx)).To(Equal(map[string]int{"upgrade.test/v2": upgradeVolumes}))

		By("running both, of which none has anything to write")
		run.quietly(ctx, func() {
			third = run.start(ctx, "third")
			fourth.terminate()
			fourth = run.start(ctx, "fourth")
		})
		Expect(run.storedVersions(ctx)).To(Equal(map[string]int{"upgrade.test/v2": upgradeVolumes}))

		By("going back")
		fourth.terminate()
		Expect(store.Rewrite[*SecondVolume](ctx, run.store("third"))).To(Equal(upgradeVolumes))
		run.quietly(ctx, func() {
			third.terminate()
			second = run.start(ctx, "second")
		})
		Expect(run.storedVersions(ctx)).To(Equal(map[string]int{"upgrade.test/v1": upgradeVolumes}))
		second.terminate()
		run.verify(ctx)
	}, SpecTimeout(crashPatience))
})
