package controller_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A serializable transaction", func() {
	never := func() controller.Source[controller.Request] {
		return controller.WatchesEvents(func(context.Context, informer.Event[*corev1.ConfigMap]) []controller.Request { return nil })
	}
	get := func(name string) func(*controller.Tx, *Site) {
		return func(tx *controller.Tx, _ *Site) {
			controller.Get[*corev1.ConfigMap](tx, store.KeyOf(newConfigMap(name)))
		}
	}
	list := func(o informer.ListOptions) func(*controller.Tx, *Site) {
		return func(tx *controller.Tx, _ *Site) {
			for range controller.List[*corev1.ConfigMap](tx, o) {
			}
		}
	}
	owned := func(tx *controller.Tx, site *Site) {
		for range controller.Owned[*corev1.ConfigMap](tx, site) {
		}
	}
	everywhere, here := list(informer.ListOptions{}), list(informer.ListOptions{Namespace: "default"})
	labelled := list(informer.ListOptions{Namespace: "default", Selector: labels.SelectorFromSet(labels.Set{"l": "v"})})

	appear := func(ctx context.Context, s *store.Store) { create(ctx, s, newConfigMap("absent")) }
	change := func(ctx context.Context, s *store.Store) {
		_, _, err := store.Mutate(ctx, s, store.KeyOf(newConfigMap("read")), func(m *corev1.ConfigMap) error {
			m.Data = map[string]string{"k": "v"}
			return nil
		})
		Expect(err).NotTo(HaveOccurred())
	}
	vanish := func(ctx context.Context, s *store.Store) {
		Expect(s.Delete(ctx, newConfigMap("read"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
	}
	appearElsewhere := func(ctx context.Context, s *store.Store) {
		m := newConfigMap("absent")
		m.Namespace = "elsewhere"
		create(ctx, s, m)
	}

	// The ConfigMap "read" has the label l=v and is owned by the site.
	DescribeTable("is refused if and only if something that it read has changed", func(ctx SpecContext, read func(*controller.Tx, *Site), disturb func(context.Context, *store.Store), refused bool) {
		for _, serializable := range []bool{true, false} {
			m := newManager(controller.ManagerOptions{})
			b := newTxBench(ctx, m, never())
			child := newConfigMap("read")
			child.Labels = map[string]string{"l": "v"}
			b.do(ctx, func(tx *controller.Tx, site *Site) {
				Expect(tx.Own(site, child)).To(Succeed())
				tx.Create(child)
			})
			err := b.try(ctx, func(ctx context.Context, tx *controller.Tx, site *Site) error {
				if serializable {
					tx.Serializable()
				}
				read(tx, site)
				disturb(ctx, m.Store())
				tx.Create(newConfigMap("written"))
				return nil
			})
			_, writtenErr := store.Get[*corev1.ConfigMap](ctx, m.Store(), store.KeyOf(newConfigMap("written")))
			if serializable && refused {
				Expect(err).To(Or(MatchError(apierrors.IsConflict, "Conflict"), MatchError(ContainSubstring("the snapshot was outdated"))))
				Expect(writtenErr).To(MatchError(apierrors.IsNotFound, "NotFound"))
			} else {
				Expect(errors.Join(err, writtenErr)).To(Succeed())
			}
		}
	},
		Entry("got, and changed", get("read"), change, true),
		Entry("got, and deleted", get("read"), vanish, true),
		Entry("got, and another appeared", get("read"), appear, false),
		Entry("not found, and appeared", get("absent"), appear, true),
		Entry("not found, and another deleted", get("absent"), vanish, false),
		Entry("listed, and changed", everywhere, change, true),
		Entry("listed, and deleted", everywhere, vanish, true),
		Entry("listed, and another appeared", everywhere, appear, true),
		Entry("listed, and another appeared in another namespace", everywhere, appearElsewhere, true),
		Entry("listed in its namespace, and changed", here, change, true),
		Entry("listed in its namespace, and deleted", here, vanish, true),
		Entry("listed in its namespace, and another appeared", here, appear, true),
		Entry("listed in its namespace, and another appeared in another", here, appearElsewhere, false),
		Entry("selected, and another appeared", labelled, appear, true),
		Entry("selected, and deleted", labelled, vanish, true),
		Entry("owned, and deleted", owned, vanish, true),
		Entry("owned, and changed", owned, change, true),
		Entry("owned, and another appeared", owned, appear, true),
		Entry("owned, and another appeared in another namespace", owned, appearElsewhere, false),
		Entry("left alone", func(*controller.Tx, *Site) {}, change, false),
		Entry("the reconcile's own object, and changed", func(*controller.Tx, *Site) {}, func(ctx context.Context, s *store.Store) {
			_, _, err := store.Mutate(ctx, s, store.KeyOf(newSite("a", 1)), func(site *Site) error {
				site.Spec.Replicas++
				return nil
			})
			Expect(err).NotTo(HaveOccurred())
		}, true),
		Entry("read and then written without a condition", func(tx *controller.Tx, site *Site) {
			get("read")(tx, site)
			tx.Delete(newConfigMap("read"), store.DeleteOptions{ResourceVersion: "0"})
		}, change, true),
		Entry("written and then read", func(tx *controller.Tx, site *Site) {
			tx.Delete(newConfigMap("read"), store.DeleteOptions{ResourceVersion: "0"})
			get("read")(tx, site)
		}, change, false),
		Entry("got within a list", func(tx *controller.Tx, site *Site) {
			here(tx, site)
			get("absent")(tx, site)
			everywhere(tx, site)
		}, appear, true),
	)

	It("commits beside heartbeats in its namespace, if an object stands for the set", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		create(ctx, m.Store(), newConfigMap("set"))
		b := newTxBench(ctx, m, never())
		beating, stop := context.WithCancel(ctx)
		var hearts sync.WaitGroup
		defer hearts.Wait()
		defer stop()
		var beats atomic.Int64
		for i := range 50 {
			heart := newConfigMap(fmt.Sprint("heart-", i))
			create(ctx, m.Store(), heart)
			hearts.Go(func() {
				for n := 0; beating.Err() == nil; n++ {
					heart.Data = map[string]string{"beat": fmt.Sprint(n)}
					_, _ = m.Store().Update(beating, heart) // the end of the spec interrupts it
					beats.Add(1)
				}
			})
		}
		member := func(tx *controller.Tx, name string) {
			tx.Serializable()
			set, ok := controller.Get[*corev1.ConfigMap](tx, store.KeyOf(newConfigMap("set")))
			Expect(ok).To(BeTrue())
			set = set.DeepCopy()
			set.Data = map[string]string{"last": name}
			tx.Update(set)
			tx.Create(newConfigMap(name))
			snapshot := beats.Load()
			Eventually(beats.Load).Should(BeNumerically(">", snapshot+50))
		}
		for i := range 2 {
			b.do(ctx, func(tx *controller.Tx, _ *Site) { member(tx, fmt.Sprint("member-", i)) })
		}
		err := b.try(ctx, func(ctx context.Context, tx *controller.Tx, _ *Site) error {
			member(tx, "member-of-two")
			_, _, err := store.Mutate(ctx, m.Store(), store.KeyOf(newConfigMap("set")), func(set *corev1.ConfigMap) error {
				set.Data["last"] = "another"
				return nil
			})
			return err
		})
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
	}, SpecTimeout(time.Minute))

	It("reads its own writes through an index", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		maps, err := informer.For[*corev1.ConfigMap](m.Replica())
		Expect(err).NotTo(HaveOccurred())
		byKey := maps.AddIndex(func(m *corev1.ConfigMap) []string { return []string{m.Data["k"]} })
		b := newTxBench(ctx, m)
		with := func(namespace, name, value string) *corev1.ConfigMap {
			m := newConfigMap(name)
			m.Namespace, m.Data = namespace, map[string]string{"k": value}
			return m
		}
		moves := with("default", "moves", "v")
		create(ctx, m.Store(), with("default", "a", "v"), with("default", "b", "w"), with("elsewhere", "c", "v"), moves)
		names := func(tx *controller.Tx, namespace string) (names []string) {
			for m := range controller.Lookup(tx, byKey, "v", namespace) {
				names = append(names, m.Name)
			}
			return names
		}
		err = b.try(ctx, func(ctx context.Context, tx *controller.Tx, _ *Site) error {
			tx.Serializable()
			Expect(names(tx, "")).To(Equal([]string{"a", "moves", "c"}))
			Expect(names(tx, "default")).To(Equal([]string{"a", "moves"}))
			moves.Data = map[string]string{"k": "w"}
			tx.Update(moves)
			tx.Create(with("default", "aa", "v"))
			Expect(names(tx, "default")).To(Equal([]string{"a", "aa"}))
			create(ctx, m.Store(), with("elsewhere", "d", "w")) // its value might have been another
			return nil
		})
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
	}, SpecTimeout(time.Minute))

	It("sends nothing to etcd when it writes nothing", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		b := newTxBench(ctx, m, never())
		err := b.try(ctx, func(ctx context.Context, tx *controller.Tx, site *Site) error {
			tx.Serializable()
			here(tx, site)
			create(ctx, m.Store(), newConfigMap("x"))
			return nil
		})
		Expect(err).NotTo(HaveOccurred())
	}, SpecTimeout(time.Minute))

	It("fails when it depends on more objects than a transaction can compare", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		b := newTxBench(ctx, m, never())
		for i := range store.MaxTxnOps {
			create(ctx, m.Store(), newConfigMap(fmt.Sprint("x-", i)))
		}
		err := b.try(ctx, func(_ context.Context, tx *controller.Tx, site *Site) error {
			tx.Serializable()
			here(tx, site)
			tx.UpdateStatus(site)
			return nil
		})
		Expect(err).To(MatchError(apierrors.IsRequestEntityTooLargeError, "RequestEntityTooLarge"))
		Expect(err).To(MatchError(And(ContainSubstring("129 objects, 0 absent objects, 1 lists"), ContainSubstring("Tx.Snapshot"))))
	}, SpecTimeout(time.Minute))

	It("must be made serializable before it reads", func(ctx SpecContext) {
		b := newTxBench(ctx, newManager(controller.ManagerOptions{}), never())
		err := b.try(ctx, func(_ context.Context, tx *controller.Tx, site *Site) error {
			here(tx, site)
			tx.Serializable()
			return nil
		})
		Expect(err).To(MatchError(ContainSubstring("Serializable was called after something was read")))
	}, SpecTimeout(time.Minute))

	// Doctors of a ward go off call, hire others and leave, each on its own, and
	// each only if the ward can do without it: at least one is on call, and there
	// are never more than three.
	Describe("keeps an invariant over several objects", func() {
		const wards, doctors, rounds, most = 12, 3, 6, 3

		// shifts returns what went wrong in the history of all wards.
		shifts := func(ctx SpecContext, serializable bool) (broken []string) {
			m := newManager(controller.ManagerOptions{})
			from, err := m.Store().Revision(ctx)
			Expect(err).NotTo(HaveOccurred())
			decide := func(_ context.Context, tx *controller.Tx, self *corev1.ConfigMap) (controller.Result, error) {
				round := len(self.Data["round"])
				if round == rounds {
					return controller.Result{}, nil
				}
				if serializable {
					tx.Serializable()
				}
				others, all := 0, 0
				for d := range controller.List[*corev1.ConfigMap](tx, informer.ListOptions{Namespace: self.Namespace}) {
					all++
					if d.Name != self.Name && d.Data["on-call"] == "yes" {
						others++
					}
				}
				if all < most && strings.Count(self.Name, "-") < 2 {
					tx.Create(doctor(self.Namespace, fmt.Sprint(self.Name, "-", round)))
				}
				if others > 0 && round%3 == 2 {
					tx.Delete(self, store.DeleteOptions{})
					return controller.Result{}, nil
				}
				self.Data["round"] += "x"
				self.Data["on-call"] = map[bool]string{true: "no", false: "yes"}[others > 0]
				tx.Update(self)
				return controller.Result{}, nil
			}
			Expect(controller.New(m, "doctor", decide, controller.Options{Workers: 8})).Error().To(Succeed())
			for w := range wards {
				for d := range doctors {
					create(ctx, m.Store(), doctor(fmt.Sprint("ward-", w), fmt.Sprint("d", d)))
				}
			}
			stop := run(m)
			Eventually(ctx, func(g Gomega) {
				all, err := store.List[*corev1.ConfigMap](ctx, m.Store(), store.ListOptions{})
				g.Expect(err).NotTo(HaveOccurred())
				for _, d := range all.Items {
					g.Expect(d.Data["round"]).To(HaveLen(rounds), d.Namespace+"/"+d.Name)
				}
			}).Should(Succeed())
			stop()
			return wardsBroken(ctx, m.Store(), from, most)
		}

		It("always, when serializable", func(ctx SpecContext) {
			Expect(shifts(ctx, true)).To(BeEmpty())
		}, SpecTimeout(time.Minute))

		It("not always, when not serializable", func(ctx SpecContext) {
			Eventually(ctx, func() []string { return shifts(ctx, false) }).Should(And(
				ContainElement(ContainSubstring("nobody is on call")), ContainElement(ContainSubstring("too many"))))
		}, SpecTimeout(2*time.Minute))
	})
})

func doctor(ward, name string) *corev1.ConfigMap {
	d := newConfigMap(name)
	d.Namespace, d.Data = ward, map[string]string{"on-call": "yes"}
	return d
}

// wardsBroken replays the changes after a revision. It returns the revisions at which a
// ward had no doctor on call, or too many.
func wardsBroken(ctx context.Context, s *store.Store, from int64, most int) (broken []string) {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end, err := etcd.Client().Put(ctx, s.Prefix()+"end", "")
	Expect(err).NotTo(HaveOccurred())
	wards := map[string]map[string]bool{} // ward -> doctor -> on call
	for r := range etcd.Client().Watch(ctx, s.Prefix(), clientv3.WithPrefix(), clientv3.WithRev(from+1)) {
		Expect(r.Err()).NotTo(HaveOccurred())
		for i, e := range r.Events {
			if e.Kv.ModRevision == end.Header.Revision {
				return broken
			}
			ward, name := path.Split(strings.TrimPrefix(string(e.Kv.Key), s.Prefix()))
			if ward == "" {
				continue // the replica's epoch key
			}
			if wards[ward] == nil {
				wards[ward] = map[string]bool{}
			}
			wards[ward][name] = strings.Contains(string(e.Kv.Value), `"on-call":"yes"`)
			if len(e.Kv.Value) == 0 {
				delete(wards[ward], name)
			}
			if i < len(r.Events)-1 && r.Events[i+1].Kv.ModRevision == e.Kv.ModRevision {
				continue // in the middle of a transaction
			}
			if !slices.Contains(slices.Collect(maps.Values(wards[ward])), true) {
				broken = append(broken, fmt.Sprintf("revision %d: nobody is on call in %s", e.Kv.ModRevision, ward))
			}
			if len(wards[ward]) > most {
				broken = append(broken, fmt.Sprintf("revision %d: too many in %s", e.Kv.ModRevision, ward))
			}
		}
	}
	Fail("the watch ended too early")
	return nil
}
