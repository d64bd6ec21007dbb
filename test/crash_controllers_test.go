package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/garbagecollector"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// crashControllers are the controllers of one process. They put their token on every
// object. They pause between reading and writing, and write even if their context is
// done meanwhile: etcd must reject the late writes.
type crashControllers struct {
	manager      *controller.Manager
	groups       *informer.Informer[*Group]
	handsByOwner *informer.Index[*Hand]
}

func addCrashControllers(m *controller.Manager) error {
	c := &crashControllers{manager: m}
	groups, err := informer.For[*Group](m.Replica())
	if err != nil {
		return err
	}
	hands, err := informer.For[*Hand](m.Replica())
	if err != nil {
		return err
	}
	c.groups = groups
	c.handsByOwner = hands.AddIndex(func(h *Hand) []string {
		if ref := metav1.GetControllerOf(h); ref != nil {
			return []string{string(ref.UID)}
		}
		return nil
	})
	o := controller.Options{Workers: 4, BackoffMax: time.Second}
	return errors.Join(
		failure(controller.New(m, "fleet", c.reconcileFleet, o, controller.Owns[*Group]())),
		failure(controller.New(m, "group", c.reconcileGroup, o, controller.Owns[*Unit]())),
		failure(controller.New(m, "unit", c.reconcileUnit, o)),
		failure(controller.NewFor[*Group](m, "hands", controller.ReconcilerFunc[controller.Request](c.reconcileHands), o, controller.Owns[*Hand]())),
		garbagecollector.Add(m, &Fleet{}, &Group{}, &Unit{}, &Hand{}),
	)
}

func failure(_ *controller.Controller[controller.Request], err error) error { return err }

// reconcileFleet creates the Groups that the Fleet asks for.
func (c *crashControllers) reconcileFleet(ctx context.Context, tx *controller.Tx, fleet *Fleet) (controller.Result, error) {
	if fleet.DeletionTimestamp != nil {
		return controller.Result{}, nil
	}
	asked := GroupSpec{Units: fleet.Spec.Units, Hands: fleet.Spec.Hands, Color: fleet.Spec.Color}
	status := FleetStatus{ObservedGeneration: fleet.Generation, Color: fleet.Spec.Color}
	have := ownedByName[*Group](tx, fleet)
	for i := range fleet.Spec.Groups {
		name := childName(fleet, "g", i)
		group, owned := have[name]
		delete(have, name)
		switch {
		case !owned && nameTaken[*Group](tx, name): // by an earlier Fleet, until it is collected
		case !owned:
			group = &Group{ObjectMeta: crashMeta(name, fleet.Name), Spec: asked}
			if err := c.signOwned(ctx, tx, fleet, group); err != nil {
				return controller.Result{}, err
			}
			tx.Create(group)
		case group.DeletionTimestamp != nil:
		case group.Spec != asked:
			group = group.DeepCopy()
			group.Spec = asked
			c.sign(ctx, group)
			tx.Update(group)
		case group.Status.ObservedGeneration == group.Generation:
			status.Groups++
			status.Units += group.Status.Ready
		}
	}
	for _, surplus := range have {
		tx.Delete(surplus, store.DeleteOptions{})
	}
	return controller.Result{}, commitStatus(ctx, c, tx, fleet, &fleet.Status, status)
}

// reconcileGroup creates the Units that the Group asks for.
func (c *crashControllers) reconcileGroup(ctx context.Context, tx *controller.Tx, group *Group) (controller.Result, error) {
	if group.DeletionTimestamp != nil {
		return controller.Result{}, nil
	}
	asked := UnitSpec{Color: group.Spec.Color}
	status := GroupStatus{ObservedGeneration: group.Generation, Color: group.Spec.Color}
	have := ownedByName[*Unit](tx, group)
	for i := range group.Spec.Units {
		name := childName(group, "u", i)
		unit, owned := have[name]
		delete(have, name)
		switch {
		case !owned && nameTaken[*Unit](tx, name): // by an earlier Group, until it is collected
		case !owned:
			unit = &Unit{ObjectMeta: crashMeta(name, group.Labels[fleetLabel]), Spec: asked}
			if err := c.signOwned(ctx, tx, group, unit); err != nil {
				return controller.Result{}, err
			}
			tx.Create(unit)
		case unit.DeletionTimestamp != nil:
		case unit.Spec != asked:
			unit = unit.DeepCopy()
			unit.Spec = asked
			c.sign(ctx, unit)
			tx.Update(unit)
		case unit.Status.ObservedGeneration == unit.Generation:
			status.Ready++
		}
	}
	for _, surplus := range have {
		tx.Delete(surplus, store.DeleteOptions{})
	}
	return controller.Result{}, commitStatus(ctx, c, tx, group, &group.Status, status)
}

// reconcileUnit paints the Unit.
func (c *crashControllers) reconcileUnit(ctx context.Context, tx *controller.Tx, unit *Unit) (controller.Result, error) {
	if unit.DeletionTimestamp != nil {
		return controller.Result{}, nil
	}
	return controller.Result{}, commitStatus(ctx, c, tx, unit, &unit.Status,
		UnitStatus{ObservedGeneration: unit.Generation, Color: unit.Spec.Color})
}

// reconcileHands counts the Hands that it sees, and creates or deletes the difference.
// Its writes have no condition. They are right only because it sees all earlier
// writes, its own and others', and because no other process writes meanwhile.
func (c *crashControllers) reconcileHands(ctx context.Context, r controller.Request) (controller.Result, error) {
	snapshot := c.manager.Replica().Snapshot()
	group, ok := c.groups.Get(snapshot, r.Key)
	if !ok || group.DeletionTimestamp != nil {
		return controller.Result{}, nil
	}
	have := slices.Collect(c.handsByOwner.Lookup(snapshot, string(group.UID)))
	have = slices.DeleteFunc(have, func(h *Hand) bool { return h.DeletionTimestamp != nil })
	ref, err := c.manager.Store().OwnerReference(group)
	if err != nil {
		return controller.Result{}, err
	}
	for range group.Spec.Hands - len(have) {
		hand := &Hand{ObjectMeta: crashMeta("", group.Labels[fleetLabel]), Spec: HandSpec{AskedAt: group.Generation}}
		hand.GenerateName = group.Name + "-h-"
		hand.OwnerReferences = []metav1.OwnerReference{ref}
		c.sign(ctx, hand)
		if _, err := c.manager.Store().Create(think(ctx), hand); err != nil {
			return controller.Result{}, err
		}
	}
	for _, surplus := range have[min(group.Spec.Hands, len(have)):] {
		if _, err := c.manager.Store().Delete(think(ctx), surplus.DeepCopy(), store.DeleteOptions{}); err != nil {
			return controller.Result{}, err
		}
	}
	return controller.Result{}, nil
}

// think pauses, and returns a context for writing that nobody can cancel.
func think(ctx context.Context) context.Context {
	time.Sleep(time.Duration(rand.IntN(int(4 * time.Millisecond))))
	return context.WithoutCancel(ctx)
}

// sign puts the process's token on an object.
func (c *crashControllers) sign(ctx context.Context, obj store.Object) {
	token, _ := c.manager.FencingToken(ctx)
	annotations := obj.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[tokenAnnotation] = strconv.FormatInt(token, 10)
	obj.SetAnnotations(annotations)
}

func (c *crashControllers) signOwned(ctx context.Context, tx *controller.Tx, owner, owned store.Object) error {
	c.sign(ctx, owned)
	return tx.Own(owner, owned)
}

// commitStatus commits a reconcile's writes. It adds the object's status if that has
// changed, and otherwise the condition that the object has not changed.
func commitStatus[S comparable](ctx context.Context, c *crashControllers, tx *controller.Tx, obj store.Object, is *S, want S) error {
	if *is != want {
		*is = want
		c.sign(ctx, obj)
		tx.UpdateStatus(obj)
	} else {
		tx.Unchanged(obj)
	}
	return tx.Commit(think(ctx))
}

func childName(owner store.Object, letter string, i int) string {
	return fmt.Sprintf("%s-%s%d", owner.GetName(), letter, i)
}

func ownedByName[T store.Object](tx *controller.Tx, owner store.Object) map[string]T {
	have := map[string]T{}
	for obj := range controller.Owned[T](tx, owner) {
		have[obj.GetName()] = obj
	}
	return have
}

func nameTaken[T store.Object](tx *controller.Tx, name string) bool {
	_, ok := controller.Get[T](tx, store.Key{Namespace: crashNamespace, Name: name})
	return ok
}
