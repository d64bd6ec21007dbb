package store_test

import (
	"context"
	"fmt"
	"log"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// To define a type of your own, write a spec and a status, and name the Resource
// of the two.
type (
	LampSpec struct {
		Brightness int `json:"brightness,omitempty"`
	}
	LampStatus struct {
		Lit bool `json:"lit,omitempty"`
	}
	Lamp = store.Resource[LampSpec, LampStatus]
)

// lampStore runs an etcd and returns a store on it; done stops the etcd.
func lampStore(ctx context.Context) (s *store.Store, done func()) {
	server, err := etcdtest.Run(ctx, etcdtest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	s, err = store.New(server.Client(), store.Options{
		Kinds: []store.AnyKind{store.Kind[*Lamp]{
			GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Lamp"},
			Default: func(l *Lamp) {
				if l.Spec.Brightness == 0 {
					l.Spec.Brightness = 50
				}
			},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return s, func() {
		if err := server.Close(); err != nil {
			log.Fatal(err)
		}
	}
}

func newLamp(name string) *Lamp {
	return &Lamp{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: name}}
}

func Example() {
	ctx := context.Background()
	s, done := lampStore(ctx)
	defer done()

	lamp := newLamp("desk")
	if _, err := s.Create(ctx, lamp); err != nil {
		log.Fatal(err)
	}
	fmt.Println("created with brightness", lamp.Spec.Brightness, "and generation", lamp.Generation)

	lamp.Spec.Brightness = 80
	if _, err := s.Update(ctx, lamp); err != nil {
		log.Fatal(err)
	}
	lamp.Status.Lit = true
	if _, err := s.UpdateStatus(ctx, lamp); err != nil {
		log.Fatal(err)
	}

	there, err := store.Get[*Lamp](ctx, s, store.KeyOf(lamp))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("read with brightness", there.Spec.Brightness, "lit", there.Status.Lit, "and generation", there.Generation)

	if _, err := s.Delete(ctx, lamp, store.DeleteOptions{}); err != nil {
		log.Fatal(err)
	}
	_, err = store.Get[*Lamp](ctx, s, store.KeyOf(lamp))
	fmt.Println("gone:", apierrors.IsNotFound(err))
	// Output:
	// created with brightness 50 and generation 1
	// read with brightness 80 lit true and generation 2
	// gone: true
}

func ExampleStore_Update() {
	ctx := context.Background()
	s, done := lampStore(ctx)
	defer done()

	mine := newLamp("desk")
	if _, err := s.Create(ctx, mine); err != nil {
		log.Fatal(err)
	}
	theirs := mine.DeepCopy()
	theirs.Spec.Brightness = 10
	if _, err := s.Update(ctx, theirs); err != nil {
		log.Fatal(err)
	}

	mine.Spec.Brightness = 90
	_, err := s.Update(ctx, mine)
	fmt.Println("conflict:", apierrors.IsConflict(err))

	mine.ResourceVersion = "" // whatever is there
	_, err = s.Update(ctx, mine)
	fmt.Println("brightness:", mine.Spec.Brightness, err)
	// Output:
	// conflict: true
	// brightness: 90 <nil>
}

func ExampleMutate() {
	ctx := context.Background()
	s, done := lampStore(ctx)
	defer done()

	if _, err := s.Create(ctx, newLamp("desk")); err != nil {
		log.Fatal(err)
	}
	lamp, _, err := store.Mutate(ctx, s, store.Key{Namespace: "home", Name: "desk"}, func(l *Lamp) error {
		l.Spec.Brightness += 25
		l.Status.Lit = true
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(lamp.Spec.Brightness, lamp.Status.Lit)
	// Output: 75 true
}

func ExampleWatch() {
	ctx := context.Background()
	s, done := lampStore(ctx)
	defer done()

	if _, err := s.Create(ctx, newLamp("desk")); err != nil {
		log.Fatal(err)
	}
	list, err := store.List[*Lamp](ctx, s, store.ListOptions{Namespace: "home"})
	if err != nil {
		log.Fatal(err)
	}
	for _, lamp := range list.Items {
		fmt.Println("LISTED", lamp.Name)
	}

	if _, err := s.Create(ctx, newLamp("shelf")); err != nil {
		log.Fatal(err)
	}
	if _, err := s.Delete(ctx, newLamp("desk"), store.DeleteOptions{}); err != nil {
		log.Fatal(err)
	}
	for e, err := range store.Watch[*Lamp](ctx, s, store.WatchOptions{From: list.Revision + 1}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Type, e.Object.Name)
		if e.Type == store.Deleted {
			break
		}
	}
	// Output:
	// LISTED desk
	// ADDED shelf
	// DELETED desk
}

func ExampleStore_Txn() {
	ctx := context.Background()
	s, done := lampStore(ctx)
	defer done()

	desk, shelf := newLamp("desk"), newLamp("shelf")
	shelf.Status.Lit = true
	t := s.Txn()
	t.Create(desk)
	t.Create(shelf)
	t.UpdateStatus(shelf) // joins the creation, which alone drops the status
	t.Absent(newLamp("floor"))
	if _, err := t.Commit(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("one revision:", desk.ResourceVersion == shelf.ResourceVersion)

	t = s.Txn()
	t.Delete(newLamp("desk"), store.DeleteOptions{})
	t.Create(newLamp("shelf"))
	_, err := t.Commit(ctx)
	fmt.Println("already exists:", apierrors.IsAlreadyExists(err))
	_, err = store.Get[*Lamp](ctx, s, store.KeyOf(desk))
	fmt.Println("desk is still there:", err == nil)
	// Output:
	// one revision: true
	// already exists: true
	// desk is still there: true
}

// Add a lamp only if no lamp was added or changed since they were counted.
// Deletions do not count: name the lamps that must stay with Unchanged.
func ExampleTxn_UnchangedSince() {
	ctx := context.Background()
	s, done := lampStore(ctx)
	defer done()

	add := func(name string, meanwhile func()) error {
		lamps, err := store.List[*Lamp](ctx, s, store.ListOptions{Namespace: "home"})
		if err != nil || len(lamps.Items) == 2 {
			return err
		}
		meanwhile()
		t := s.Txn()
		t.Create(newLamp(name))
		t.UnchangedSince(lamps.Revision, &Lamp{}, "home")
		_, err = t.Commit(ctx)
		return err
	}
	fmt.Println("desk:", add("desk", func() {}))
	err := add("shelf", func() { fmt.Println("floor:", add("floor", func() {})) })
	fmt.Println("shelf is too late:", apierrors.IsConflict(err))
	// Output:
	// desk: <nil>
	// floor: <nil>
	// shelf is too late: true
}

// Create more lamps than fit into one etcd transaction. The lamp that has their
// number is written last.
func ExampleTxn_AllowSplit() {
	ctx := context.Background()
	s, done := lampStore(ctx)
	defer done()

	master := newLamp("master")
	if _, err := s.Create(ctx, master); err != nil {
		log.Fatal(err)
	}
	t := s.Txn()
	t.AllowSplit(master)
	for i := range 300 {
		t.Create(newLamp(fmt.Sprint("lamp-", i)))
	}
	master.Spec.Brightness = 300
	t.Update(master)
	rev, err := t.Commit(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the master came last:", master.ResourceVersion == store.FormatRevision(rev))
	// Output: the master came last: true
}

func ExampleStore_WithFences() {
	ctx := context.Background()
	s, done := lampStore(ctx)
	defer done()

	won, err := s.Client().Put(ctx, "/leader", "me")
	if err != nil {
		log.Fatal(err)
	}
	fenced := s.WithFences(store.Fence{Key: "/leader", CreateRevision: won.Header.Revision})
	_, err = fenced.Create(ctx, newLamp("desk"))
	fmt.Println("while leading:", err)

	if _, err := s.Client().Delete(ctx, "/leader"); err != nil {
		log.Fatal(err)
	}
	_, err = fenced.Create(ctx, newLamp("shelf"))
	fmt.Println("afterwards fenced:", store.IsFenced(err))
	// Output:
	// while leading: <nil>
	// afterwards fenced: true
}

func ExampleList_pages() {
	ctx := context.Background()
	s, done := lampStore(ctx)
	defer done()

	for _, name := range []string{"desk", "floor", "shelf"} {
		if _, err := s.Create(ctx, newLamp(name)); err != nil {
			log.Fatal(err)
		}
	}
	page := store.ListOptions{Limit: 2}
	for {
		list, err := store.List[*Lamp](ctx, s, page)
		if err != nil {
			log.Fatal(err)
		}
		for _, lamp := range list.Items {
			fmt.Print(lamp.Name, " ")
		}
		if page.Continue = list.Continue; page.Continue == "" {
			break
		}
		fmt.Println("and", *list.Remaining, "more")
	}
	// Output:
	// desk floor and 1 more
	// shelf
}

func ExampleStream() {
	ctx := context.Background()
	s, done := lampStore(ctx)
	defer done()

	if _, err := s.Create(ctx, newLamp("desk")); err != nil {
		log.Fatal(err)
	}
	lamps, err := store.Stream[*Lamp](ctx, s, store.ListOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for lamp, err := range lamps.All() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(lamp.Name)
	}
	// Output: desk
}

func ExampleDeleteCollection() {
	ctx := context.Background()
	s, done := lampStore(ctx)
	defer done()

	for _, name := range []string{"desk", "shelf"} {
		if _, err := s.Create(ctx, newLamp(name)); err != nil {
			log.Fatal(err)
		}
	}
	deleted, _, err := store.DeleteCollection[*Lamp](ctx, s,
		store.ListOptions{Fields: fields.OneTermNotEqualSelector("metadata.name", "desk")}, store.DeleteOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("deleted:", deleted)
	// Output: deleted: 1
}

// Selects applies the selectors of a list to objects from any source.
func ExampleStore_Selects() {
	s, done := lampStore(context.Background())
	defer done()
	kind, err := store.KindOf[*Lamp](s)
	if err != nil {
		log.Fatal(err)
	}
	selects, err := s.Selects(kind.GroupVersionKind, store.ListOptions{
		Fields: fields.OneTermNotEqualSelector("metadata.name", "desk"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(selects(newLamp("desk")))
	fmt.Println(selects(newLamp("shelf")))
	// Output:
	// false <nil>
	// true <nil>
}

// ObserveWrites reports every write that uses the context, for example to wait
// until a cache has it.
func ExampleObserveWrites() {
	ctx := context.Background()
	s, done := lampStore(ctx)
	defer done()

	newest := int64(0)
	ctx = store.ObserveWrites(ctx, func(w store.Write) {
		newest = max(newest, w.Revision)
		fmt.Println("wrote", w.Keys)
	})
	revision, err := s.Create(ctx, newLamp("desk"))
	fmt.Println(revision == newest, err)
	// Output:
	// wrote [/registry/example.com/lamps/home/desk]
	// true <nil>
}

// Encryption was switched on after some objects were written. Rewrite encrypts
// them.
func ExampleRewrite() {
	ctx := context.Background()
	plain, done := lampStore(ctx)
	defer done()
	if _, err := plain.Create(ctx, newLamp("desk")); err != nil {
		log.Fatal(err)
	}

	secret, err := store.New(plain.Client(), store.Options{
		Kinds:          []store.AnyKind{store.Kind[*Lamp]{GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Lamp"}}},
		EncryptionKeys: []store.EncryptionKey{{Name: "2026", Secret: []byte("0123456789abcdef0123456789abcdef")}}, // elsewhere: from a vault
	})
	if err != nil {
		log.Fatal(err)
	}
	n, err := store.Rewrite[*Lamp](ctx, secret)
	fmt.Println("rewritten:", n, err)
	n, err = store.Rewrite[*Lamp](ctx, secret)
	fmt.Println("rewritten:", n, err)
	// Output:
	// rewritten: 1 <nil>
	// rewritten: 0 <nil>
}

// A program that learns a kind's name only when it runs, such as one that serves
// requests, reads its objects without their Go type.
func ExampleStore_Dynamic() {
	ctx := context.Background()
	s, done := lampStore(ctx)
	defer done()
	if _, err := s.Create(ctx, newLamp("desk")); err != nil {
		log.Fatal(err)
	}
	info, _ := s.LookupResource(schema.GroupResource{Group: "example.com", Resource: "lamps"})
	lamps, err := s.Dynamic(info.GroupVersionKind)
	if err != nil {
		log.Fatal(err)
	}
	list, err := lamps.List(ctx, store.ListOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, obj := range list.Items {
		fmt.Println(info.GroupVersionKind.Kind, store.KeyOf(obj))
	}
	// Output: Lamp home/desk
}

// A lamp may only be created in a namespace that exists. The namespace cannot disappear
// between the check and the write.
func ExampleRead() {
	ctx := context.Background()
	server, err := etcdtest.Run(ctx, etcdtest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		log.Fatal(err)
	}
	s, err := store.New(server.Client(), store.Options{
		Scheme: scheme,
		Kinds: []store.AnyKind{store.Kind[*Lamp]{
			GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Lamp"},
			ValidateAcross: func(ctx context.Context, r *store.Reader, lamp, old *Lamp) (field.ErrorList, error) {
				if lamp == nil {
					return nil, nil // a deletion
				}
				_, err := store.Read[*corev1.Namespace](ctx, r, store.Key{Name: lamp.Namespace})
				if apierrors.IsNotFound(err) {
					return field.ErrorList{field.NotFound(field.NewPath("metadata", "namespace"), lamp.Namespace)}, nil
				}
				return nil, err
			},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}

	_, err = s.Create(ctx, newLamp("desk"))
	fmt.Println("without the namespace, the lamp is invalid:", apierrors.IsInvalid(err))

	t := s.Txn()
	t.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "home"}})
	t.Create(newLamp("desk"))
	_, err = t.Commit(ctx)
	fmt.Println("created together:", err == nil)
	// Output:
	// without the namespace, the lamp is invalid: true
	// created together: true
}

// A heartbeat disappears if nobody renews it.
func ExampleTxn_Expire() {
	ctx := context.Background()
	s, done := lampStore(ctx)
	defer done()

	lamp := newLamp("heartbeat")
	t := s.Txn()
	t.Create(lamp)
	t.Expire(lamp, time.Minute)
	if _, err := t.Commit(ctx); err != nil {
		log.Fatal(err)
	}
	// From now on, at least once a minute:
	if _, err := s.Expire(ctx, lamp, time.Minute); err != nil {
		log.Fatal(err)
	}
	fmt.Println("renewed")
	// Output: renewed
}
