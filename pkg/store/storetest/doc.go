// Package storetest is the specification of package store as a suite of tests,
// so that another backend, a fork, or another configuration can show that it
// keeps every rule:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T, o store.Options) *store.Store {
//			o.Prefix = newPrefix()
//			o.Codec = store.Protobuf
//			s, err := store.New(client, o)
//			if err != nil {
//				t.Fatal(err)
//			}
//			return s
//		})
//	}
//
// Each rule is a subtest that bears its name. Those for all objects run twice:
// on a Deployment, which has a protobuf form, and on a [store.Resource], which is
// always JSON.
//
// # What it needs
//
//   - Every call of NewStore gives a store on keys of its own. The suite fills
//     in Scheme and Kinds; the rest of the options is the caller's.
//   - Nobody else writes to that etcd meanwhile: the revision must stand still
//     when the rules say that nothing is written.
//   - The suite compacts that etcd.
//   - A store's client lives until the test ends.
//
// # What it shows, and what it does not
//
// The rules use the public API alone. They show that each promise of package
// store is kept in the situations that they make, some with many writers at
// once, and with [RunInterrupted] across interruptions too. They show nothing
// about speed, nor about data that are wiped or restored.
package storetest
