package deepcopy_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/homeostat/homeostat/pkg/store/internal/deepcopy"
)

type tree struct {
	Name     string
	Children map[string]*tree
	Tags     [][]string
}

func TestInto(t *testing.T) {
	src := tree{Name: "a", Children: map[string]*tree{"b": {Name: "b", Tags: [][]string{{"x"}, nil, {}}}}}
	var dst tree
	deepcopy.Into(&dst, &src)
	if !reflect.DeepEqual(dst, src) {
		t.Fatalf("copy %+v, want %+v", dst, src)
	}
	dst.Children["b"].Tags[0][0] = "y"
	if got := src.Children["b"].Tags[0][0]; got != "x" {
		t.Fatalf("a change of the copy made the original %q", got)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		t    reflect.Type
		want string // empty: it can be copied
	}{
		{reflect.TypeFor[tree](), ""},
		{reflect.TypeFor[struct{ C chan int }](), "C: chan int cannot be copied"},
		{reflect.TypeFor[struct{ A any }](), "A: interface {} cannot be copied"},
		{reflect.TypeFor[struct{ p *int }](), "unexported field"},
		{reflect.TypeFor[map[*int]int](), "keys hold references"},
	} {
		err := deepcopy.Check(c.t)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.t, err, c.want)
		}
	}
}
