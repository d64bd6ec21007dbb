package controller_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/internal/rendezvous"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A sharded key whose root changes", func() {
	// ownerOf returns which process owns a bucket.
	ownerOf := func(ctx context.Context, c *contest, group, kind, name string) string {
		GinkgoHelper()
		n := rendezvous.Bucket(buckets, group, kind, "default", name)
		resp, err := etcd.Client().Get(ctx, c.shardKey(fmt.Sprintf("buckets/%05d", n)))
		Expect(err).NotTo(HaveOccurred())
		Expect(resp.Kvs).To(HaveLen(1))
		return string(resp.Kvs[0].Value)
	}
	// nameOf returns a name in a bucket of a process.
	nameOf := func(ctx context.Context, c *contest, who, group, kind string) string {
		GinkgoHelper()
		for i := range 100 {
			if name := fmt.Sprintf("x%d", i); ownerOf(ctx, c, group, kind, name) == who {
				return name
			}
		}
		Fail("no name is of " + who)
		return ""
	}

	It("is reconciled by its new process, although it has not changed itself", func(ctx SpecContext) {
		c := &contest{store: newStore(etcd.Client())}
		var seen journal[string]
		seenBy := func() []string { return slices.Compact(seen.all()) } // however often by each
		for _, identity := range []string{"a", "b"} {
			m := newManagerOn(newStoreAt(etcd.Client(), c.store.Prefix()), controller.ManagerOptions{
				Sharding: &controller.Sharding{Name: shardingName, Identity: identity, Buckets: buckets, LeaseTime: patient},
			})
			Expect(controller.NewFor[*Site](m, "site", &names{}, controller.Options{})).Error().To(Succeed())
			Expect(controller.NewFor[*appsv1.Deployment](m, "deployment", &names{}, controller.Options{})).Error().To(Succeed())
			Expect(controller.NewFor[*corev1.ConfigMap](m, "leaf", controller.ReconcilerFunc[controller.Request](
				func(context.Context, controller.Request) (controller.Result, error) {
					seen.note(identity)
					return controller.Result{}, nil
				}), controller.Options{})).Error().To(Succeed())
			run(m)
		}
		Eventually(func() int {
			resp, err := etcd.Client().Get(ctx, c.shardKey("buckets/"), clientv3.WithPrefix())
			Expect(err).NotTo(HaveOccurred())
			count := map[string]int{}
			for _, kv := range resp.Kvs {
				count[string(kv.Value)]++
			}
			return min(count["a"], count["b"], count["a"]+count["b"]+1-buckets)
		}).Should(Equal(1))

		own := func(owner, owned store.Object) {
			GinkgoHelper()
			ref, err := c.store.OwnerReference(owner)
			Expect(err).NotTo(HaveOccurred())
			owned.SetOwnerReferences([]metav1.OwnerReference{ref})
		}
		middle := newDeployment(nameOf(ctx, c, "a", "apps", "Deployment"))
		create(ctx, c.store, middle)
		leaf := newConfigMap("leaf")
		own(middle, leaf)
		create(ctx, c.store, leaf)
		Eventually(seenBy).Should(Equal([]string{"a"}))

		root := newSite(nameOf(ctx, c, "b", "example.com", "Site"), 1)
		create(ctx, c.store, root)
		own(root, middle)
		Expect(c.store.Update(ctx, middle)).Error().NotTo(HaveOccurred())
		Eventually(seenBy).Should(Equal([]string{"a", "b"}))
		Expect(c.store.Delete(ctx, middle, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		Eventually(seenBy).Should(Equal([]string{"a", "b", "a"}))

		// Another object of the name is not the one that owned the leaf.
		another := newDeployment(middle.Name)
		own(root, another)
		create(ctx, c.store, another)
		leaf.Labels = map[string]string{"changed": "yes"}
		before := seen.len()
		Expect(c.store.Update(ctx, leaf)).Error().NotTo(HaveOccurred())
		Eventually(seen.len).Should(BeNumerically(">", before))
		Expect(seenBy()).To(Equal([]string{"a", "b", "a"}))
	}, SpecTimeout(time.Minute))

	It("is not written under the bucket that it had before it existed", func(ctx SpecContext) {
		c := &contest{store: newStore(etcd.Client())}
		root := newSite("root", 1)
		create(ctx, c.store, root)
		m := newManagerOn(newStoreAt(etcd.Client(), c.store.Prefix()), controller.ManagerOptions{
			Sharding: &controller.Sharding{Name: shardingName, Buckets: buckets, LeaseTime: patient},
		})
		Expect(controller.NewFor[*Site](m, "site", &names{}, controller.Options{})).Error().To(Succeed())

		child := newDeployment("child")
		ofRoot := rendezvous.Bucket(buckets, "example.com", "Site", "default", "root")
		for rendezvous.Bucket(buckets, "apps", "Deployment", "default", child.Name) == ofRoot {
			child.Name += "x"
		}
		var refused journal[bool]
		early := make(chan controller.Request, 1)
		Expect(controller.NewFor[*appsv1.Deployment](m, "child", controller.ReconcilerFunc[controller.Request](
			func(reconcileCtx context.Context, _ controller.Request) (controller.Result, error) {
				_, err := store.Get[*appsv1.Deployment](ctx, c.store, store.KeyOf(child))
				if err != nil && !apierrors.IsNotFound(err) { // the spec has ended
					return controller.Result{}, err
				}
				if err != nil {
					ref, err := c.store.OwnerReference(root)
					Expect(err).NotTo(HaveOccurred())
					child.SetOwnerReferences([]metav1.OwnerReference{ref})
					created, err := c.store.Create(ctx, child)
					Expect(err).NotTo(HaveOccurred())
					Expect(m.Replica().WaitForRevision(ctx, created)).To(Succeed())
				}
				noted := child.DeepCopy()
				noted.SetResourceVersion("")
				noted.SetLabels(map[string]string{"noted": "yes"})
				_, err = m.Store().Update(reconcileCtx, noted)
				refused.note(err != nil)
				return controller.Result{}, err
			}), controller.Options{}, controller.FromChannel(early))).Error().To(Succeed())
		run(m)
		Eventually(func() int { return m.Sharding().Owned - m.Sharding().Waiting }).Should(Equal(buckets))
		early <- controller.Request{Key: store.KeyOf(child)}
		Eventually(func() []bool { return slices.Compact(refused.all()) }).Should(Equal([]bool{true, false}))
	}, SpecTimeout(time.Minute))
})
