package events

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

func TestNewName(t *testing.T) {
	for object, prefix := range map[string]string{
		"web":                            "web.",
		"web-1.example.com":              "web-1.example.com.",
		strings.Repeat("a", 253):         strings.Repeat("a", 228) + ".",
		strings.Repeat("a", 227) + "-.b": strings.Repeat("a", 227) + ".",
		"system:node":                    "event.",
		"Übung":                          "event.",
		"-":                              "event.",
	} {
		name := newName(object, epoch)
		if !strings.HasPrefix(name, prefix) || len(name) != len(prefix)+24 {
			t.Errorf("%q: got %q, want %q and 24 characters", object, name, prefix)
		}
		if msgs := validation.IsDNS1123Subdomain(name); len(msgs) > 0 {
			t.Errorf("%q: got %q: %v", object, name, msgs)
		}
	}
}

func TestNewNameSortsByTimeAndIsUnique(t *testing.T) {
	names := []string{newName("a", epoch), newName("a", epoch.Add(1)), newName("a", epoch.Add(time.Hour))}
	if !slices.IsSorted(names) {
		t.Errorf("%v is not in order", names)
	}
	if newName("a", epoch) == names[0] {
		t.Error("two names at one time are the same")
	}
}

func TestSeriesCountFitsItsField(t *testing.T) {
	s := newSeries(seen("a", 0).series(), epoch)
	s.add(seen("a", 0))
	s.count = math.MaxInt32 + 1
	if got := s.event().Series.Count; got != math.MaxInt32 {
		t.Errorf("got %d", got)
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"aéé", 3, "aé"}, {"aéé", 4, "aé"}, {"€", 2, ""}} {
		if got := cut(c.s, c.n); got != c.want {
			t.Errorf("cut(%q, %d): got %q, want %q", c.s, c.n, got, c.want)
		}
	}
}

func TestDropsAreSaidAtARate(t *testing.T) {
	d := &drops{}
	for i, s := range []struct {
		seconds int
		cause   dropCause
		n, want uint64
	}{
		{0, dropFull, 0, 0}, // nothing to say, and nothing said
		{0, dropFull, 1, 1},
		{1, dropFull, 1, 0},
		{1, dropFailed, 5, 5}, // each cause has its own
		{59, dropFull, 3, 0},
		{60, dropFull, 1, 5},
		{200, dropFull, 0, 0},
		{201, dropFull, 2, 2},
	} {
		if got := d.add(at(s.seconds), s.cause, s.n); got != s.want {
			t.Errorf("step %d: got %d, want %d", i, got, s.want)
		}
	}
}
