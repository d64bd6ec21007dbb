package controller

import (
	"strings"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// await makes the key come back when an object that was read no longer holds its name,
// whether or not the reconcile succeeds.
func (tx *Tx) await(holder store.Object) { tx.holders = append(tx.holders, holder) }

// findHolders awaits the objects that prevented the commit by their existence. It finds
// those that the snapshot has: the next snapshot has the others.
func (tx *Tx) findHolders() {
	for _, obj := range tx.named {
		prefix, _, err := tx.manager.Store().Decoder(obj, store.DecodeOptions{})
		key := store.KeyOf(obj)
		if err != nil || !tx.manager.Replica().Covers(prefix+strings.TrimPrefix(key.String(), "/")) {
			continue // the replica does not have the kind, and need not get it for this
		}
		inf, err := informer.ForObject(tx.manager.Replica(), obj)
		if err != nil {
			continue
		}
		if holder, exists := inf.Get(tx.snapshot, key); exists {
			tx.await(holder)
		}
	}
}
