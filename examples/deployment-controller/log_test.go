package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr"

	"github.com/homeostat/homeostat/pkg/store"
)

func TestLogIsForPeople(t *testing.T) {
	var lines []string
	log := logr.New(logSink{verbosity: 1, write: func(line string) {
		_, rest, _ := strings.Cut(line, " ") // without the time
		lines = append(lines, rest)
	}})
	key := store.Key{Namespace: "town", Name: "web"}
	log.WithName("deployment").WithValues("key", key).V(1).Info("scaled up", "causes", "added Pod a at 3", "n", 3)
	log.V(2).Info("unsaid")
	log.WithName("a").WithName("b").Error(errors.New("no space"), "write failed", "empty", "")
	log.Info("bare")
	want := []string{
		`deployment: scaled up  key=town/web causes="added Pod a at 3" n=3`,
		`a.b: write failed: no space  empty=""`,
		`bare`,
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}
