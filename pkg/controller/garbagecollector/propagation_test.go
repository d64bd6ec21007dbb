package garbagecollector_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("The garbage collector with a propagation", func() {
	const (
		foreground = metav1.DeletePropagationForeground
		orphan     = metav1.DeletePropagationOrphan
		hold       = "example.com/hold"
	)
	var s *store.Store
	all := []store.Object{&appsv1.Deployment{}, &appsv1.ReplicaSet{}, &corev1.Pod{}}

	BeforeEach(func() { s = newStore() })

	removeBy := func(ctx context.Context, policy metav1.DeletionPropagation, obj store.Object) {
		GinkgoHelper()
		like := obj.DeepCopyObject().(store.Object)
		Expect(s.Delete(ctx, like, store.DeleteOptions{Propagation: policy})).Error().NotTo(HaveOccurred())
	}
	read := func(ctx context.Context, obj store.Object) store.Object {
		GinkgoHelper()
		got, err := s.GetObject(ctx, obj)
		Expect(err).NotTo(HaveOccurred())
		return got
	}
	marked := func(ctx context.Context, obj store.Object) func() bool {
		return func() bool { return read(ctx, obj).GetDeletionTimestamp() != nil }
	}
	letGo := func(ctx context.Context, obj store.Object) {
		GinkgoHelper()
		got := read(ctx, obj)
		got.SetFinalizers(nil)
		got.SetResourceVersion("")
		Expect(s.Update(ctx, got)).Error().NotTo(HaveOccurred())
	}
	held := func(obj store.Object) { obj.SetFinalizers([]string{hold}) }
	refs := func(ctx context.Context, obj store.Object) func() []metav1.OwnerReference {
		return func() []metav1.OwnerReference { return read(ctx, obj).GetOwnerReferences() }
	}

	It("deletes three levels from the bottom up", func(ctx SpecContext) {
		collect(s, all...)
		top := create(ctx, s, deployment("top"))
		middle := create(ctx, s, owned(s, replicaSet("middle"), top))
		last := owned(s, pod("bottom"), middle)
		held(last)
		create(ctx, s, last)
		removeBy(ctx, foreground, top)
		Eventually(marked(ctx, last)).Should(BeTrue())
		Expect(read(ctx, middle).GetFinalizers()).To(Equal([]string{metav1.FinalizerDeleteDependents}))
		Expect(read(ctx, top).GetFinalizers()).To(Equal([]string{metav1.FinalizerDeleteDependents}))
		letGo(ctx, last)
		Eventually(gone(ctx, s, top)).Should(BeTrue())
		Expect(gone(ctx, s, middle)()).To(BeTrue())
		Expect(gone(ctx, s, last)()).To(BeTrue())
	}, SpecTimeout(30*time.Second))

	It("does not wait for dependents that do not block, and deletes them too", func(ctx SpecContext) {
		collect(s, all...)
		top := create(ctx, s, deployment("top"))
		child := owned(s, replicaSet("child"), top)
		child.OwnerReferences[0].BlockOwnerDeletion = ptr.To(false)
		held(child)
		create(ctx, s, child)
		removeBy(ctx, foreground, top)
		Eventually(gone(ctx, s, top)).Should(BeTrue())
		Eventually(marked(ctx, child)).Should(BeTrue())
	}, SpecTimeout(30*time.Second))

	It("keeps a dependent that has another owner", func(ctx SpecContext) {
		collect(s, all...)
		goes, stays := create(ctx, s, deployment("goes")), create(ctx, s, deployment("stays"))
		child := create(ctx, s, owned(s, replicaSet("child"), goes, stays))
		removeBy(ctx, foreground, goes)
		Eventually(gone(ctx, s, goes)).Should(BeTrue())
		Expect(marked(ctx, child)()).To(BeFalse())
		Expect(refs(ctx, child)()).To(ConsistOf(HaveField("UID", stays.UID)))
	}, SpecTimeout(30*time.Second))

	It("deletes objects that wait for each other in a circle", func(ctx SpecContext) {
		one := create(ctx, s, deployment("one"))
		two := create(ctx, s, owned(s, replicaSet("two"), one))
		three := create(ctx, s, owned(s, replicaSet("three"), two))
		one = owned(s, one, three, one) // and, worse, for itself
		Expect(s.Update(ctx, one)).Error().NotTo(HaveOccurred())
		collect(s, all...)
		removeBy(ctx, foreground, one)
		for _, obj := range []store.Object{one, two, three} {
			Eventually(gone(ctx, s, obj)).Should(BeTrue())
		}
	}, SpecTimeout(30*time.Second))

	It("deletes a dependent that is created while its owner waits", func(ctx SpecContext) {
		collect(s, all...)
		top := create(ctx, s, deployment("top"))
		first := owned(s, replicaSet("first"), top)
		held(first)
		create(ctx, s, first)
		removeBy(ctx, foreground, top)
		Eventually(marked(ctx, first)).Should(BeTrue())
		late := owned(s, replicaSet("late"), top)
		held(late)
		create(ctx, s, late)
		letGo(ctx, first)
		Eventually(marked(ctx, late)).Should(BeTrue())
		Expect(gone(ctx, s, top)()).To(BeFalse())
		letGo(ctx, late)
		Eventually(gone(ctx, s, top)).Should(BeTrue())
	}, SpecTimeout(30*time.Second))

	It("continues where another collector stopped", func(ctx SpecContext) {
		stop := collect(s, all...)
		top := create(ctx, s, deployment("top"))
		middle := create(ctx, s, owned(s, replicaSet("middle"), top))
		last := owned(s, pod("bottom"), middle)
		held(last)
		create(ctx, s, last)
		removeBy(ctx, foreground, top)
		Eventually(marked(ctx, last)).Should(BeTrue())
		stop()
		letGo(ctx, last)
		Expect(gone(ctx, s, last)()).To(BeTrue())
		Expect(gone(ctx, s, middle)()).To(BeFalse())
		collect(s, all...)
		Eventually(gone(ctx, s, top)).Should(BeTrue())
		Expect(gone(ctx, s, middle)()).To(BeTrue())
	}, SpecTimeout(30*time.Second))

	It("orphans dependents", func(ctx SpecContext) {
		collect(s, all...)
		other := create(ctx, s, deployment("other"))
		top := create(ctx, s, deployment("top"))
		child := create(ctx, s, owned(s, replicaSet("child"), top))
		shared := create(ctx, s, owned(s, replicaSet("shared"), top, other))
		below := create(ctx, s, owned(s, pod("below"), child))
		removeBy(ctx, orphan, top)
		Eventually(gone(ctx, s, top)).Should(BeTrue())
		removeBy(ctx, foreground, other) // and all that the collector does about top is done with it
		Eventually(gone(ctx, s, other)).Should(BeTrue())
		Expect(gone(ctx, s, shared)()).To(BeTrue())
		Expect(refs(ctx, child)()).To(BeEmpty())
		Expect(marked(ctx, child)()).To(BeFalse())
		Expect(refs(ctx, below)()).To(HaveLen(1))
	}, SpecTimeout(30*time.Second))

	It("orphans more dependents than fit in a transaction, and continues after a stop", func(ctx SpecContext) {
		top := create(ctx, s, deployment("top"))
		const children, batch = 300, 100
		for first := 0; first < children; first += batch {
			t := s.Txn()
			for i := range batch {
				t.Create(owned(s, pod(fmt.Sprint("child-", first+i)), top))
			}
			Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
		}
		owned := func() (n int) {
			list, err := store.List[*corev1.Pod](ctx, s, store.ListOptions{})
			Expect(err).NotTo(HaveOccurred())
			Expect(list.Items).To(HaveLen(children))
			for _, p := range list.Items {
				n += len(p.OwnerReferences)
			}
			return n
		}
		removeBy(ctx, orphan, top)
		stop := collect(s, all...)
		Eventually(owned).Should(BeNumerically("<", children))
		stop()
		collect(s, all...)
		Eventually(gone(ctx, s, top)).Should(BeTrue())
		Expect(owned()).To(BeZero())
	}, SpecTimeout(30*time.Second))

	It("orphans a dependent that is created just as the owner is released", func(ctx SpecContext) {
		top := create(ctx, s, deployment("top"))
		child := owned(s, replicaSet("child"), top)
		removeBy(ctx, orphan, top)

		// The collector's first write lets the owner go; just before etcd has it,
		// the child comes.
		var once sync.Once
		comesFirst := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if method == "/etcdserverpb.KV/Txn" {
				once.Do(func() {
					defer GinkgoRecover()
					create(context.WithoutCancel(ctx), s, child)
				})
			}
			return invoke(ctx, method, req, reply, cc, opts...)
		}
		client, err := etcd.NewClient(etcdtest.ClientOptions{Configure: func(cfg *clientv3.Config) {
			cfg.DialOptions = append(cfg.DialOptions, grpc.WithChainUnaryInterceptor(comesFirst))
		}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(client.Close)
		through, err := store.New(client, store.Options{Scheme: scheme.Scheme, Prefix: s.Prefix()})
		Expect(err).NotTo(HaveOccurred())
		stop := collect(through, all...)
		Eventually(gone(ctx, s, top)).Should(BeTrue())
		stop()
		Expect(read(ctx, child).GetDeletionTimestamp()).To(BeNil())
		Expect(refs(ctx, child)()).To(BeEmpty())
	}, SpecTimeout(30*time.Second))

	It("orphans the remaining dependents when a second deletion says so", func(ctx SpecContext) {
		stop := collect(s, all...)
		top := create(ctx, s, deployment("top"))
		past := owned(s, replicaSet("past"), top)
		held(past)
		create(ctx, s, past)
		removeBy(ctx, foreground, top)
		Eventually(marked(ctx, past)).Should(BeTrue())
		stop()
		left := create(ctx, s, owned(s, replicaSet("left"), top))
		removeBy(ctx, orphan, top)
		Expect(read(ctx, top).GetFinalizers()).To(Equal([]string{metav1.FinalizerOrphanDependents}))
		collect(s, all...)
		Eventually(gone(ctx, s, top)).Should(BeTrue())
		Expect(refs(ctx, left)()).To(BeEmpty())
		Expect(marked(ctx, left)()).To(BeFalse())
		Expect(marked(ctx, past)()).To(BeTrue(), "it was being deleted already")
	}, SpecTimeout(30*time.Second))
})
