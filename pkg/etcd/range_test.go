package etcd_test

import (
	"testing"

	"github.com/homeostat/homeostat/pkg/etcd"
)

func TestRanges(t *testing.T) {
	all := etcd.EnclosingRange(etcd.PrefixRange("/b/"), etcd.KeyRange("/a"), etcd.PrefixRange("/c/"))
	if want := (etcd.Range{Start: "/a", End: "/c0"}); all != want {
		t.Errorf("enclosing range: %q, want %q", all, want)
	}
	for _, c := range []struct {
		r        etcd.Range
		key      string
		contains bool
	}{
		{etcd.PrefixRange("/a/"), "/a/", true},
		{etcd.PrefixRange("/a/"), "/a/\xff", true},
		{etcd.PrefixRange("/a/"), "/a", false},
		{etcd.PrefixRange("/a/"), "/a0", false},
		{etcd.KeyRange("/a"), "/a", true},
		{etcd.KeyRange("/a"), "/a/", false},
		{all, "/b", true},
	} {
		if got := c.r.Contains(c.key); got != c.contains {
			t.Errorf("%q contains %q: %v, want %v", c.r, c.key, got, c.contains)
		}
	}
}
