package etcdtest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

// label is the pprof label of a cluster's goroutines. Its value is unique to the cluster.
// A goroutine passes its labels on to those that it starts, so that all goroutines of an
// etcd can be recognised, whatever their functions are.
const label = "etcdtest"

// tagged runs f in a goroutine with the cluster's label. It returns, once the goroutine has
// the label, a channel that is closed when f has returned.
func tagged(cluster string, f func()) <-chan struct{} {
	begun, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(label, cluster)))
		close(begun)
		f()
	}()
	<-begun
	return done
}

// counts holds the number of goroutines by the function that they were started with.
type counts map[string]int

// census counts the goroutines of this process.
type census struct {
	etcd   map[string]counts // by cluster
	others counts
}

// unstarted stands for the function of a goroutine that has not run yet. The runtime does
// not name the function if it takes arguments.
const unstarted = "a function that has not begun"

func takeCensus() (census, error) {
	c := census{etcd: map[string]counts{}, others: counts{}}
	var buf bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&buf, 1); err != nil {
		return c, fmt.Errorf("list the goroutines: %w", err)
	}
	// A head line, and then for every kind of goroutine:
	//
	//	2 @ 0x47b4d8 0x48a1b2
	//	# labels: {"etcdtest":"a"}
	//	#	0x47b4d8	pkg.inner+0x88	file:line
	//	#	0x48a1b2	pkg.outer+0x12	file:line
	_, text, _ := strings.Cut(buf.String(), "\n")
	for kind := range strings.SplitSeq(text, "\n\n") {
		c.count(kind)
	}
	return c, nil
}

func (c census) count(kind string) {
	var n int
	if _, err := fmt.Sscanf(kind, "%d @", &n); err != nil {
		return
	}
	if strings.Contains(kind, ".takeCensus+") {
		return // the caller is not counted
	}
	into, outer := c.others, unstarted
	for line := range strings.Lines(kind) {
		if labels, ok := strings.CutPrefix(line, "# labels: "); ok {
			into = c.of(labels)
		} else if f := strings.Fields(line); len(f) > 2 && f[0] == "#" {
			outer, _, _ = strings.Cut(f[2], "+0x")
		}
	}
	into[outer] += n
}

// of returns the counts for goroutines with these labels, {"k":"v", "k":"v"}.
func (c census) of(labels string) counts {
	_, rest, ok := strings.Cut(labels, `"`+label+`":"`)
	if !ok {
		return c.others
	}
	cluster, _, _ := strings.Cut(rest, `"`)
	if c.etcd[cluster] == nil {
		c.etcd[cluster] = counts{}
	}
	return c.etcd[cluster]
}

// since returns by how much each count exceeds the one before.
func (c counts) since(before counts) counts {
	more := counts{}
	for f, n := range c {
		if n > before[f] {
			more[f] = n - before[f]
		}
	}
	return more
}

// err returns an error that lists the goroutines, or nil if there are none.
func (c counts) err() error {
	if len(c) == 0 {
		return nil
	}
	var list []string
	for _, f := range slices.Sorted(maps.Keys(c)) {
		list = append(list, fmt.Sprintf("%d of %s", c[f], f))
	}
	return fmt.Errorf("still there: %s", strings.Join(list, ", "))
}

// pollPause is the pause between two checks of something that gives no notice.
const pollPause = 5 * time.Millisecond

// poll calls check until it returns nil or the bound is over, and returns the last
// result.
func poll(bound time.Duration, check func() error) error {
	end := time.Now().Add(bound)
	for {
		err := check()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(pollPause)
	}
}
