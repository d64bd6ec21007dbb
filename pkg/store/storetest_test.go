package store_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
	"github.com/homeostat/homeostat/pkg/store/storetest"
)

// forms are all the forms in which values can be written.
func forms() map[string]func(*store.Options) {
	encrypted := func(o *store.Options) {
		o.EncryptionKeys = []store.EncryptionKey{{Name: "alpha", Secret: bytes.Repeat([]byte("a"), 32)}}
	}
	return map[string]func(*store.Options){
		"JSON":               func(o *store.Options) { o.Codec = store.JSON },
		"protobuf":           func(o *store.Options) { o.Codec = store.Protobuf },
		"encrypted JSON":     func(o *store.Options) { o.Codec = store.JSON; encrypted(o) },
		"encrypted protobuf": func(o *store.Options) { o.Codec = store.Protobuf; encrypted(o) },
	}
}

// storesOn makes stores in one form, each below a prefix of its own.
func storesOn(client *clientv3.Client, form string) storetest.NewStore {
	return func(t *testing.T, o store.Options) *store.Store {
		t.Helper()
		o.Prefix = fmt.Sprintf("/%s/%d/", form, specs.Add(1))
		forms()[form](&o)
		s, err := store.New(client, o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestConformance(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	client := etcdtest.Start(t, etcdtest.Options{}).Client()
	// The tests below run the other forms. All of them run here if HOMEOSTAT_SOAK is
	// set.
	run := []string{"JSON", "encrypted JSON"}
	if os.Getenv("HOMEOSTAT_SOAK") != "" {
		run = slices.Sorted(maps.Keys(forms()))
	}
	for _, form := range run {
		t.Run(form, func(t *testing.T) { storetest.Run(t, storesOn(client, form)) })
	}
	t.Run("protobuf in the largest groups", func(t *testing.T) { storetest.Run(t, inGroups(storesOn(client, "protobuf"))) })
	t.Run("protobuf without groups", func(t *testing.T) {
		newStore := storesOn(client, "protobuf")
		storetest.Run(t, func(t *testing.T, o store.Options) *store.Store {
			o.Ungrouped = true
			return newStore(t, o)
		})
	})
}

// inGroups makes all transactions of new stores wait for others.
func inGroups(newStore storetest.NewStore) storetest.NewStore {
	return func(t *testing.T, o store.Options) *store.Store { return holdBriefly(newStore(t, o)) }
}

func TestConformanceWithOneOfThreeMembersDown(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	leader, err := cluster.Leader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.Member(leader).Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.Leader(t.Context()); err != nil {
		t.Fatal(err)
	}
	client, err := cluster.NewClient(etcdtest.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, storesOn(client, "protobuf"))
}

func TestConformanceAcrossRestarts(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	cluster := etcdtest.Start(t, etcdtest.Options{})
	storetest.RunInterrupted(t, inGroups(storesOn(cluster.Client(), "encrypted protobuf")), func(t *testing.T) {
		if err := cluster.Member(0).Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
