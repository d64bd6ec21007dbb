package controller

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	clocktesting "k8s.io/utils/clock/testing"
)

// Races are normal: they must not fill the log.
func TestRacesAreSummedUp(t *testing.T) {
	var lines []string
	log := funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{Verbosity: 1})
	c := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	var races raceLog
	for i := range 100 {
		races.lost(c, log, fmt.Errorf("race %d", i))
	}
	c.SetTime(time.Unix(0, 0).Add(racesInterval))
	races.lost(c, log, errors.New("later"))
	line := func(count int, cause string) string {
		return fmt.Sprintf(`"level"=1 "msg"="reconciles lost races against other writers and are repeated; this is the latest" "count"=%d "cause"=%q`, count, cause)
	}
	if want := []string{line(1, "race 0"), line(100, "later")}; !slices.Equal(lines, want) {
		t.Errorf("got %q\nwant %q", lines, want)
	}
}
