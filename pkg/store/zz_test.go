package store_test
import (
	"sync"
	"fmt"
	"time"
	. "github.com/onsi/ginkgo/v2"
	"github.com/homeostat/homeostat/pkg/store"
)
var _ = It("zz probe", func(ctx SpecContext) {
	w := &wire{}
	s := newStoreOn(newClient(w.tap))
	created(ctx, s, "a")
	for _, n := range []int{1, 10, 50, 200} {
	runs := 0
	var mu sync.Mutex
	t0 := time.Now()
	calls := w.during(func() {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			_, _, err := store.Mutate(ctx, s, store.Key{Namespace: "default", Name: "a"}, func(s *Site) error { mu.Lock(); runs++; mu.Unlock(); s.Spec.Replicas++; return nil })
			if err != nil { panic(err) }
		})
	}
	wg.Wait()
	})
	c := map[string]int{}
	for _, m := range calls { c[m]++ }
	fmt.Println("probe", n, runs, c, time.Since(t0))
	}
})
