// Package controllertest calls a reconciler once and shows what it wrote. It is for
// tests of what a reconciler decides, without goroutines, waiting or mocks.
//
// An [Env] has an etcd of its own, and a manager that never runs. Objects are written
// there exactly as given, with their status, uid and deletionTimestamp. A reconcile is
// one call. Its [Outcome] has the net change of each object, and the Events:
//
//	env := controllertest.New(t, controllertest.Options{Store: store.Options{Kinds: Kinds()}}, backup)
//	backups, err := Add(env.Manager())
//	out := env.Reconcile(backups, store.KeyOf(backup))
//	if out.Err != nil { ... }
//	job, ok := controllertest.Get[*batchv1.Job](env, key)
//
// Add the controllers with the function that the program itself uses. The test then
// covers the program's own setup. With a clock in the [Options], the test sets the time.
//
// # Guarantees
//
//   - A reconcile sees everything that was put or written before it.
//   - Nothing else happens. No other controller runs, nothing is tried again, and no
//     source runs. Call Reconcile again for the next step.
//   - A test fails when a reconcile function forgets to write a change of its object's
//     status; see [Env.Reconcile].
//   - The etcd is a real one. Conflicts, fences, validation and defaults work as in
//     production.
//
// # What is not tested
//
//   - When a controller reconciles: its sources, filters and backoff. To test those,
//     run the manager with [etcdtest.Background].
//   - What a recorder of Events refuses, such as a reason that is too long. [Outcome]
//     shows the Events as they were recorded.
//   - The codec and the encryption of the store: values are plain JSON, whatever the
//     options say.
package controllertest
