package store

import "github.com/homeostat/homeostat/pkg/store/internal/group"

// HoldGroups makes all transactions of a store wait for others, and calls hold before each
// group is formed. Call it before the store is used, and before another is made from it.
func HoldGroups(s *Store, hold func()) {
	s.group = group.New(s.client, group.Options{Hold: hold})
}
