// Package storetest is the specification of package store as a test suite. Run it to show that
// another backend, a fork or a configuration of the store keeps every rule:
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
// Each rule is a subtest with the rule as its name. The rules for all objects run twice: on
// a Deployment, which has a protobuf encoding, and on a [store.Resource], which is always
// JSON.
//
// # Requirements
//
//   - Each call of [NewStore] returns a store on keys of its own. The suite sets Scheme and
//     Kinds; the caller may set any other option.
//   - No other client writes to the etcd while the suite runs: some rules check that the
//     revision does not change.
//   - The suite may compact the etcd.
//   - The client of a store stays open until its test ends.
//
// # What it shows
//
// The rules use the public API only. They show that package store keeps each promise in the
// situations that they create, some with many writers at once, and with [RunInterrupted]
// across interruptions. They show nothing about speed, or about a store whose data were
// wiped or restored.
package storetest
