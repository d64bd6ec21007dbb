package patterns

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/controllertest"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// cloud is a Cloud that counts what it is asked to do.
type cloud struct {
	fails    error
	done     bool
	machines map[string]bool
	payments map[string]int
}

func (c *cloud) Start(_ context.Context, uid, _ string) (string, error) {
	if c.fails == nil {
		c.machines[uid] = true
	}
	return "create-" + uid, c.fails
}
func (c *cloud) Done(context.Context, string) (bool, error) { return c.done, c.fails }
func (c *cloud) Delete(_ context.Context, uid string) error { delete(c.machines, uid); return c.fails }
func (c *cloud) Pay(_ context.Context, token string, _ int64) (string, error) {
	c.payments[token]++
	return "receipt of " + token, c.fails
}

func newCloud() *cloud { return &cloud{machines: map[string]bool{}, payments: map[string]int{}} }

func newServer(name string) *Server {
	return &Server{ObjectMeta: metav1.ObjectMeta{Namespace: "town", Name: name}}
}

var web = store.Key{Namespace: "town", Name: "web"}

func options() store.Options { return store.Options{Kinds: Kinds()} }

// add adds a controller without sources of its own.
func add(t *testing.T, env *controllertest.Env, name string, f controller.TxFunc[*Server]) *controller.Controller[controller.Request] {
	t.Helper()
	return must(t)(controller.New(env.Manager(), name, f, controller.Options{}))
}

func must(t *testing.T) func(*controller.Controller[controller.Request], error) *controller.Controller[controller.Request] {
	return func(c *controller.Controller[controller.Request], err error) *controller.Controller[controller.Request] {
		t.Helper()
		check(t, err)
		return c
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// reconcile expects no error and returns what the reconcile did.
func reconcile(t *testing.T, env *controllertest.Env, c *controller.Controller[controller.Request], key store.Key) controllertest.Outcome {
	t.Helper()
	o := env.Reconcile(c, key)
	check(t, o.Err)
	return o
}

func server(t *testing.T, env *controllertest.Env, key store.Key) *Server {
	t.Helper()
	s, ok := controllertest.Get[*Server](env, key)
	if !ok {
		t.Fatalf("%s does not exist", key)
	}
	return s
}

func TestSlowCallsArePolled(t *testing.T) {
	cloud := newCloud()
	s := newServer("web")
	s.Spec.Image = "v1"
	env := controllertest.New(t, controllertest.Options{Store: options()}, s)
	c := must(t)(addCreate(env.Manager(), &servers{cloud}))
	for range 3 {
		if o := reconcile(t, env, c, web); o.Result.RequeueAfter != pollInterval {
			t.Fatalf("result %v", o.Result)
		}
	}
	cloud.done = true
	if o := reconcile(t, env, c, web); o.Result.RequeueAfter != 0 || server(t, env, web).Status.Image != "v1" {
		t.Fatalf("result %v", o.Result)
	}
	if o := reconcile(t, env, c, web); len(o.Changes) != 0 {
		t.Fatalf("changed %s", o.Changes)
	}
}

func TestHeartbeatsWakeNobody(t *testing.T) {
	s, err := store.New(etcdtest.Start(t, etcdtest.Options{}).Client(), options())
	check(t, err)
	m, err := controller.NewManager(s, controller.ManagerOptions{})
	check(t, err)
	must(t)(addAlive(m))
	etcdtest.Background(t, m.Run)
	ctx := t.Context()

	created, err := s.Create(ctx, newServer("web"))
	check(t, err)
	status := func(want metav1.ConditionStatus) {
		t.Helper()
		for e, err := range store.Watch[*Server](ctx, s, store.WatchOptions{From: created}) {
			check(t, err)
			if condition := meta.FindStatusCondition(e.Object.Status.Conditions, "Alive"); condition != nil && condition.Status == want {
				created, err = strconv.ParseInt(e.Object.ResourceVersion, 10, 64)
				check(t, err)
				return
			}
		}
	}
	status(metav1.ConditionFalse)
	check(t, Beat(ctx, s, web))
	status(metav1.ConditionTrue)
	for range 10 {
		check(t, Beat(ctx, s, web))
	}
	lease, err := store.Get[*coordinationv1.Lease](ctx, s, web)
	check(t, err)
	_, err = s.Delete(ctx, lease, store.DeleteOptions{}) // as etcd does when it expires
	check(t, err)
	status(metav1.ConditionFalse)
	// One for each status, and one for each change of it.
	if n := reconciles(t, m); n > 6 {
		t.Fatalf("%d reconciles", n)
	}
}

// reconciles returns how many reconciles a manager's controllers have done.
func reconciles(t *testing.T, m *controller.Manager) (n int) {
	t.Helper()
	families, err := m.Metrics().Gather()
	check(t, err)
	for _, family := range families {
		if family.GetName() == "controller_runtime_reconcile_total" {
			for _, metric := range family.GetMetric() {
				n += int(metric.GetCounter().GetValue())
			}
		}
	}
	return n
}

func TestFailureIsReported(t *testing.T) {
	cloud := newCloud()
	env := controllertest.New(t, controllertest.Options{Store: options()}, newServer("web"))
	c := add(t, env, "report", (&servers{cloud}).createOrReport)
	cloud.fails = errors.New("no capacity")
	if o := env.Reconcile(c, web); !errors.Is(o.Err, cloud.fails) {
		t.Fatalf("error %v", o.Err)
	}
	if c := server(t, env, web).Status.Conditions; len(c) != 1 || c[0].Message != "no capacity" {
		t.Fatalf("conditions %v", c)
	}
	cloud.fails = nil
	reconcile(t, env, c, web)
	if !meta.IsStatusConditionTrue(server(t, env, web).Status.Conditions, "Created") {
		t.Fatal("not created")
	}
}

func TestFinalizerComesFirst(t *testing.T) {
	cloud := newCloud()
	env := controllertest.New(t, controllertest.Options{Store: options()}, newServer("web"))
	c := add(t, env, "machine", (&servers{cloud}).createAndDelete)
	reconcile(t, env, c, web)
	if len(cloud.machines) != 0 {
		t.Fatal("the machine came before the finalizer")
	}
	reconcile(t, env, c, web)
	if len(cloud.machines) != 1 {
		t.Fatal("no machine")
	}
	_, err := env.Store().Delete(t.Context(), server(t, env, web), store.DeleteOptions{})
	check(t, err)
	reconcile(t, env, c, web)
	if _, ok := controllertest.Get[*Server](env, web); ok || len(cloud.machines) != 0 {
		t.Fatal("something is left")
	}
}

func TestBudgetIsKept(t *testing.T) {
	pool := &Pool{ObjectMeta: metav1.ObjectMeta{Namespace: "town", Name: "small"}, Spec: PoolSpec{MaxUpgrading: 2}}
	env := controllertest.New(t, controllertest.Options{Store: options()}, pool)
	names := []string{"a", "b", "c", "d", "e"}
	for _, name := range names {
		s := newServer(name)
		s.Spec.Pool, s.Spec.Image = "small", "v2"
		env.Put(s)
	}
	c := must(t)(addUpgrade(env.Manager()))
	allowed := func() (allowed string) {
		reconcile(t, env, c, store.KeyOf(pool))
		for _, name := range names {
			if s := server(t, env, store.Key{Namespace: "town", Name: name}); s.Status.Upgrade == "v2" {
				allowed += name
			}
		}
		return allowed
	}
	if got := allowed(); got != "ab" {
		t.Fatalf("allowed: %s", got)
	}
	a := server(t, env, store.Key{Namespace: "town", Name: "a"})
	a.Status.Image = "v2"
	_, err := env.Store().UpdateStatus(t.Context(), a)
	check(t, err)
	if got := allowed(); got != "abc" {
		t.Fatalf("allowed: %s", got)
	}
}

func TestNumbersDifferBesideHeartbeats(t *testing.T) {
	s, err := store.New(etcdtest.Start(t, etcdtest.Options{}).Client(), options())
	check(t, err)
	m, err := controller.NewManager(s, controller.ManagerOptions{})
	check(t, err)
	must(t)(addNumber(m))
	pool := &Pool{ObjectMeta: metav1.ObjectMeta{Namespace: "town", Name: "small"}}
	_, err = s.Create(t.Context(), pool)
	check(t, err)

	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	for i := range 50 {
		writer := newServer(fmt.Sprint("busy-", i))
		_, err := s.Create(ctx, writer)
		check(t, err)
		busy.Go(func() {
			for ctx.Err() == nil {
				writer.Status.Operation = fmt.Sprint(time.Now().UnixNano())
				_, _ = s.UpdateStatus(ctx, writer) // the end of the test interrupts it
			}
		})
	}
	etcdtest.Background(t, m.Run)
	const servers = 20
	for i := range servers {
		server := newServer(fmt.Sprint("web-", i))
		server.Spec.Pool = "small"
		_, err := s.Create(ctx, server)
		check(t, err)
	}
	var numbers map[string]int
	wait(t, func() bool {
		pool, err := store.Get[*Pool](ctx, s, store.KeyOf(pool))
		check(t, err)
		numbers = pool.Status.Numbers
		return len(numbers) == servers
	})
	sorted := slices.Sorted(maps.Values(numbers))
	if sorted[0] != 1 || len(slices.Compact(sorted)) != servers {
		t.Fatalf("numbers %v", numbers)
	}
}

func TestNumbersAreUsedAgain(t *testing.T) {
	pool := &Pool{ObjectMeta: metav1.ObjectMeta{Namespace: "town", Name: "small"}, Status: PoolStatus{Numbers: map[string]int{"gone": 1, "db": 2}}}
	env := controllertest.New(t, controllertest.Options{Store: options()}, pool)
	for _, name := range []string{"db", "web"} {
		s := newServer(name)
		s.Spec.Pool = "small"
		env.Put(s)
	}
	c := must(t)(addNumber(env.Manager()))
	reconcile(t, env, c, web)
	pool, _ = controllertest.Get[*Pool](env, store.KeyOf(pool))
	if got := pool.Status.Numbers; !maps.Equal(got, map[string]int{"db": 2, "web": 1}) {
		t.Fatalf("numbers %v", got)
	}
}

func TestFanOut(t *testing.T) {
	s := newServer("web")
	s.Spec.Config = "motd"
	s.Spec.Disks = []string{"root", "data"}
	env := controllertest.New(t, controllertest.Options{Store: options()}, s)
	c := must(t)(addDisks(env.Manager()))
	if o := reconcile(t, env, c, web); len(controllertest.Written[*corev1.PersistentVolumeClaim](o)) != 2 {
		t.Fatalf("changes: %s", o.Changes)
	}
	s = server(t, env, web)
	s.Spec.Disks = s.Spec.Disks[:1]
	_, err := env.Store().Update(t.Context(), s)
	check(t, err)
	if o := reconcile(t, env, c, web); len(controllertest.Deleted[*corev1.PersistentVolumeClaim](o)) != 1 {
		t.Fatalf("changes: %s", o.Changes)
	}
}

func TestConfigWakesItsServers(t *testing.T) {
	s, err := store.New(etcdtest.Start(t, etcdtest.Options{}).Client(), options())
	check(t, err)
	m, err := controller.NewManager(s, controller.ManagerOptions{})
	check(t, err)
	c := must(t)(addDisks(m))
	user := newServer("web")
	user.Spec.Config = "motd"
	_, err = s.Create(t.Context(), user)
	check(t, err)
	_, err = s.Create(t.Context(), newServer("db"))
	check(t, err)
	etcdtest.Background(t, m.Run)
	wait(t, func() bool { return reconciles(t, m) == 2 && c.State().Queued == 0 })
	_, err = s.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "town", Name: "motd"}})
	check(t, err)
	wait(t, func() bool { return reconciles(t, m) == 3 })
}

func wait(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

func TestScheduleWithAFakeClock(t *testing.T) {
	begin := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := clocktesting.NewFakePassiveClock(begin)
	s := newServer("web")
	s.CreationTimestamp = metav1.NewTime(begin)
	s.Spec.Backups.Duration = time.Hour
	env := controllertest.New(t, controllertest.Options{Store: options()}, s)
	c := add(t, env, "backup", scheduler{clock}.backup)
	at := func(minutes int, jobs int, wait time.Duration) {
		t.Helper()
		clock.SetTime(begin.Add(time.Duration(minutes) * time.Minute))
		o := reconcile(t, env, c, web)
		if got := len(controllertest.Written[*batchv1.Job](o)); got != jobs || o.Result.RequeueAfter != wait {
			t.Fatalf("after %d minutes: %d jobs, result %v", minutes, got, o.Result)
		}
	}
	at(0, 0, time.Hour)
	at(59, 0, time.Minute)
	at(60, 1, time.Hour)
	at(61, 0, 59*time.Minute)
	at(250, 1, 50*time.Minute) // three were missed
}

func TestPaymentIsRepeatedWithItsToken(t *testing.T) {
	cloud := newCloud()
	env := controllertest.New(t, controllertest.Options{Store: options()}, newServer("web"))
	c := add(t, env, "pay", (&servers{cloud}).pay)
	cloud.fails = errors.New("the answer was lost")
	_ = env.Reconcile(c, web)
	cloud.fails = nil
	reconcile(t, env, c, web)
	reconcile(t, env, c, web)
	if len(cloud.payments) != 1 {
		t.Fatalf("payments: %v", cloud.payments)
	}
	for token, calls := range cloud.payments {
		if s := server(t, env, web); calls != 2 || !strings.HasSuffix(s.Status.Receipt, token) {
			t.Fatalf("%d calls, receipt %q", calls, s.Status.Receipt)
		}
	}
}

func TestPoolMustExist(t *testing.T) {
	env := controllertest.New(t, controllertest.Options{Store: options()})
	s := newServer("web")
	s.Spec.Pool = "small"
	if _, err := env.Store().Create(t.Context(), s); !apierrors.IsInvalid(err) {
		t.Fatalf("error %v", err)
	}
	env.Put(&Pool{ObjectMeta: metav1.ObjectMeta{Namespace: "town", Name: "small"}})
	_, err := env.Store().Create(t.Context(), s)
	check(t, err)
}

func TestTimePassesAtOnce(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	s, err := store.New(etcdtest.Start(t, etcdtest.Options{}).Client(), store.Options{Kinds: Kinds(), Clock: clock})
	check(t, err)
	m, err := controller.NewManager(s, controller.ManagerOptions{Clock: clock})
	check(t, err)
	backups, err := controller.New(m, "backup", scheduler{clock}.backup, controller.Options{}, controller.Owns[*batchv1.Job]())
	check(t, err)
	etcdtest.Background(t, m.Run)

	daily := newServer("web")
	daily.Spec.Backups.Duration = 24 * time.Hour
	_, err = s.Create(t.Context(), daily)
	check(t, err)
	for day := range 3 {
		wait(t, func() bool { return backups.State().WaitingForTime == 1 })
		clock.Step(24 * time.Hour)
		wait(t, func() bool { return countJobs(t, s) == day+1 })
	}
}

func countJobs(t *testing.T, s *store.Store) int {
	t.Helper()
	jobs, err := store.List[*batchv1.Job](t.Context(), s, store.ListOptions{})
	check(t, err)
	return len(jobs.Items)
}
