// Package controllertest runs one reconcile at a time and shows what it wrote:
// for tests of what a reconciler decides, without goroutines, waiting or mocks.
//
// An [Env] has an etcd of its own and a manager that never runs. Objects are put
// there as they are given, status, uid and marks of deletion included; then a
// reconcile is one call, and its [Outcome] has the net change of every object:
//
//	env := controllertest.New(t, store.Options{Kinds: Kinds()}, backup)
//	backups, err := Add(env.Manager())
//	out := env.Reconcile(backups, store.KeyOf(backup))
//	if out.Err != nil { ... }
//	job, ok := controllertest.Get[*batchv1.Job](env, key)
//
// The same function that adds the controllers to the program's manager adds them
// here, so what is tested is what runs.
//
// # What it guarantees
//
//   - A reconcile sees everything that was put or written before it.
//   - Nothing else happens: no other controller runs, nothing is retried, no
//     source is asked. Call Reconcile again for the next step.
//   - The etcd is a real one: conflicts, fences, validation and defaults are
//     what they are in production.
//
// # What it does not
//
//   - It tells nothing of when a controller reconciles: of its sources,
//     filters and backoff. To test those, run the manager: see
//     [etcdtest.Background].
//   - Values are stored in plain JSON, whatever the options say.
package controllertest
