package apiserver_test

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/homeostat/homeostat/pkg/store"
)

func newDeployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	none := int32(0)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: &none, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "old"}, {Name: "side", Image: "old"}}},
		}},
	}
}

var _ = Describe("A watch", func() {
	var r *running

	BeforeEach(func(ctx SpecContext) { r = serve(ctx) })

	// next returns the next event, such as "ADDED a".
	next := func(w watch.Interface) string {
		GinkgoHelper()
		var e watch.Event
		Eventually(w.ResultChan()).Should(Receive(&e))
		o, ok := e.Object.(metav1.Object)
		Expect(ok).To(BeTrue(), "%v", e.Object)
		return fmt.Sprint(e.Type, " ", o.GetName())
	}
	open := func(ctx context.Context, o metav1.ListOptions) watch.Interface {
		GinkgoHelper()
		w := must(r.sites().Watch(ctx, o))
		DeferCleanup(w.Stop)
		return w
	}

	It("continues a list without a gap", func(ctx SpecContext) {
		must(r.sites().Create(ctx, newSite("before", 1), metav1.CreateOptions{}))
		list := must(r.sites().List(ctx, metav1.ListOptions{}))
		must(r.sites().Create(ctx, newSite("a", 1), metav1.CreateOptions{}))
		w := open(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
		Expect(next(w)).To(Equal("ADDED a"))
		must(r.sites().Update(ctx, newSite("a", 2), metav1.UpdateOptions{}))
		Expect(next(w)).To(Equal("MODIFIED a"))
		Expect(r.sites().Delete(ctx, "a", metav1.DeleteOptions{})).To(Succeed())
		Expect(next(w)).To(Equal("DELETED a"))
	}, specTimeout)

	It("repeats the changes of a revision that has several, since its client may have been cut off between them", func(ctx SpecContext) {
		t := r.store.Txn()
		for _, name := range []string{"a", "b"} {
			t.Create(&Site{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}})
		}
		both := store.FormatRevision(must(t.Commit(ctx)))
		w := open(ctx, metav1.ListOptions{ResourceVersion: both})
		Expect([]string{next(w), next(w)}).To(Equal([]string{"ADDED a", "ADDED b"}))
		alone := must(r.sites().Create(ctx, newSite("c", 1), metav1.CreateOptions{})).GetResourceVersion()
		w = open(ctx, metav1.ListOptions{ResourceVersion: alone})
		must(r.sites().Create(ctx, newSite("d", 1), metav1.CreateOptions{}))
		Expect(next(w)).To(Equal("ADDED d"))
	}, specTimeout)

	It("selects, and says when an object starts and stops to match", func(ctx SpecContext) {
		list := must(r.sites().List(ctx, metav1.ListOptions{}))
		w := open(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion(), LabelSelector: "in=yes"})
		one := open(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion(), FieldSelector: "metadata.name=b"})
		site := must(r.sites().Create(ctx, newSite("a", 1), metav1.CreateOptions{}))
		must(r.sites().Create(ctx, newSite("b", 1), metav1.CreateOptions{}))
		site.SetLabels(map[string]string{"in": "yes"})
		site = must(r.sites().Update(ctx, site, metav1.UpdateOptions{}))
		Expect(next(w)).To(Equal("ADDED a"))
		site.SetLabels(nil)
		must(r.sites().Update(ctx, site, metav1.UpdateOptions{}))
		Expect(next(w)).To(Equal("DELETED a"))
		Expect(next(one)).To(Equal("ADDED b"))
	}, specTimeout)

	It("begins with all objects and a bookmark, if the client asks for them", func(ctx SpecContext) {
		must(r.sites().Create(ctx, newSite("a", 1), metav1.CreateOptions{}))
		yes := true
		w := open(ctx, metav1.ListOptions{SendInitialEvents: &yes, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
		Expect(next(w)).To(Equal("ADDED a"))
		var e watch.Event
		Eventually(w.ResultChan()).Should(Receive(&e))
		Expect(e.Type).To(Equal(watch.Bookmark))
		Expect(e.Object.(metav1.Object).GetAnnotations()).To(HaveKeyWithValue(metav1.InitialEventsAnnotationKey, "true"))
		must(r.sites().Create(ctx, newSite("b", 1), metav1.CreateOptions{}))
		Expect(next(w)).To(Equal("ADDED b"))
	}, specTimeout)

	It("ends when the client or the server stops", func(ctx SpecContext) {
		w := must(r.sites().Watch(ctx, metav1.ListOptions{}))
		w.Stop()
		Eventually(w.ResultChan()).Should(BeClosed())
	}, specTimeout)

	It("feeds client-go's informers", func(ctx SpecContext) {
		must(r.typed.AppsV1().Deployments("default").Create(ctx, newDeployment("a"), metav1.CreateOptions{}))
		factory := informers.NewSharedInformerFactory(r.typed, 0)
		informer := factory.Apps().V1().Deployments().Informer()
		events := make(chan string, 10)
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { events <- "add " + obj.(metav1.Object).GetName() },
			DeleteFunc: func(obj any) { events <- "delete " + obj.(metav1.Object).GetName() },
		})
		Expect(err).NotTo(HaveOccurred())
		informing, stop := context.WithCancel(ctx)
		factory.Start(informing.Done())
		defer factory.Shutdown()
		defer stop()
		Eventually(events).Should(Receive(Equal("add a")))
		must(r.typed.AppsV1().Deployments("default").Create(ctx, newDeployment("b"), metav1.CreateOptions{}))
		Eventually(events).Should(Receive(Equal("add b")))
		Expect(r.typed.AppsV1().Deployments("default").Delete(ctx, "b", metav1.DeleteOptions{})).To(Succeed())
		Eventually(events).Should(Receive(Equal("delete b")))
	}, specTimeout)
})
