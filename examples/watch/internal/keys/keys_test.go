package keys_test

import (
	"strings"
	"testing"

	"github.com/homeostat/homeostat/examples/watch/internal/keys"
	"github.com/homeostat/homeostat/pkg/etcd"
)

func TestGlob(t *testing.T) {
	tests := []struct {
		pattern    string
		prefix     string
		match, not []string
	}{
		{"/a/*", "/a/", []string{"/a/", "/a/b", "/a/ü", "/a/\xff", "/a/new\nline"}, []string{"/a", "/a/b/c", "/ab", "x/a/b"}},
		{"/a/*/c", "/a/", []string{"/a/b/c", "/a//c"}, []string{"/a/c", "/a/b/b/c", "/a/b/cc"}},
		{"/a/b*d", "/a/b", []string{"/a/bd", "/a/bcd"}, []string{"/a/b/d", "/a/b"}},
		{"/a/**", "/a/", []string{"/a/", "/a/b", "/a/b/c", "/a/b/\xff/"}, []string{"/a", "/b/a/"}},
		{"/a/**/c", "/a/", []string{"/a/c", "/a/b/c", "/a/b/b/c"}, []string{"/a/bc", "/a/b/cc", "/ac"}},
		{"/a/b**c", "/a/b", []string{"/a/bc", "/a/b/x/c"}, []string{"/a/c"}},
		{"**/web", "", []string{"web", "/web", "/a/b/web"}, []string{"/a/oldweb"}},
		{"/a?c", "/a", []string{"/abc", "/aüc", "/a.c"}, []string{"/ac", "/a/c", "/abbc"}},
		{`/a\*/*`, "/a*/", []string{"/a*/b"}, []string{"/ab/b"}},
		{`/a.+(b)[c]/*`, "/a.+(b)[c]/", []string{"/a.+(b)[c]/d"}, []string{"/aa(b)[c]/d", "/a.+(b)c/d"}},
	}
	for _, test := range tests {
		s, err := keys.Glob(test.pattern)
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		if s.Range != keys.Prefix(test.prefix).Range {
			t.Errorf("%s: range %q, want that of prefix %q", test.pattern, s.Range, test.prefix)
		}
		for _, key := range test.match {
			if !s.Contains([]byte(key)) {
				t.Errorf("%s does not match %q", test.pattern, key)
			}
		}
		for _, key := range test.not {
			if s.Contains([]byte(key)) {
				t.Errorf("%s matches %q", test.pattern, key)
			}
		}
	}
}

func TestGlobWithoutWildcardIsOneKey(t *testing.T) {
	s, err := keys.Glob(`/a/\*`)
	if err != nil || s.Range != (etcd.Range{Start: "/a/*"}) || !s.Contains([]byte("/a/*")) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestGlobRefuses(t *testing.T) {
	for _, pattern := range []string{`/a\`, "/\xff*"} {
		if _, err := keys.Glob(pattern); err == nil || !strings.Contains(err.Error(), "pattern") {
			t.Errorf("%q: %v, want an error", pattern, err)
		}
	}
}

// Every key that matches a pattern lies in its range.
func FuzzGlob(f *testing.F) {
	f.Add("/a/*", "/a/b")
	f.Add("**/b", "/a/b")
	f.Add(`\*?`, "*x")
	f.Fuzz(func(t *testing.T, pattern, key string) {
		s, err := keys.Glob(pattern)
		if err != nil || !s.Contains([]byte(key)) {
			return
		}
		one := s.Range.End == "" && key == s.Range.Start
		all := s.Range == keys.All().Range
		if !one && !all && !s.Range.Contains(key) {
			t.Errorf("%q matches %q, which is outside of %q", pattern, key, s.Range)
		}
	})
}
