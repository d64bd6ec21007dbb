// Package keys says which keys are followed: one, those with a prefix, or those
// that match a pattern.
package keys

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/homeostat/homeostat/pkg/store"
)

// Selection is a range of etcd's keys, and which of them count.
type Selection struct {
	// Range is the smallest range of etcd's that is known to hold them all.
	Range store.Range

	what    string
	pattern *regexp.Regexp // nil when the whole range counts
}

// String describes the selection to the user.
func (s Selection) String() string { return s.what }

// Contains reports whether a key of the range counts.
func (s Selection) Contains(key []byte) bool { return s.pattern == nil || s.pattern.Match(key) }

// All selects every key.
func All() Selection {
	// To etcd, a range that ends in a zero byte has no end.
	return Selection{Range: store.Range{Start: "\x00", End: "\x00"}, what: "all keys"}
}

// Key selects one key.
func Key(key string) Selection {
	return Selection{Range: store.Range{Start: key}, what: fmt.Sprintf("key %q", key)}
}

// Prefix selects the keys with a prefix; an empty one selects all.
func Prefix(prefix string) Selection {
	if prefix == "" {
		return All()
	}
	return Selection{Range: store.PrefixRange(prefix), what: fmt.Sprintf("prefix %q", prefix)}
}

// Glob selects the keys that match a pattern as a whole. The parts of a key are
// what its slashes separate.
//
//   - anything within a part, or nothing
//     **   anything, slashes included, or nothing
//     **/  any number of whole parts, or none, where a part begins
//     ?    one character other than a slash
//     \    takes the next character as it is
//
// All other characters stand for themselves.
func Glob(pattern string) (Selection, error) {
	literal, expr, err := translate(pattern)
	if err != nil {
		return Selection{}, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	s := Prefix(literal)
	if expr == regexp.QuoteMeta(literal) && literal != "" {
		s = Key(literal)
	}
	s.what = fmt.Sprintf("pattern %q", pattern)
	if s.pattern, err = regexp.Compile(`(?s)\A` + expr + `\z`); err != nil {
		return Selection{}, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	return s, nil
}

// translate returns what all keys that match begin with, and the pattern as
// a regular expression.
func translate(glob string) (literal, expr string, err error) {
	var out strings.Builder
	plain := true // nothing but characters that stand for themselves so far
	for i := 0; i < len(glob); i++ {
		if wild, n := wildcard(glob[i:], i == 0 || glob[i-1] == '/'); n > 0 {
			plain = false
			out.WriteString(wild)
			i += n - 1
			continue
		}
		if glob[i] == '\\' {
			if i++; i == len(glob) {
				return "", "", errors.New("nothing follows the last backslash")
			}
		}
		out.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		if plain {
			literal += glob[i : i+1]
		}
	}
	return literal, out.String(), nil
}

// wildcard returns the expression for what s begins with and its length, which
// is 0 when that is no wildcard.
func wildcard(s string, beginsPart bool) (string, int) {
	switch {
	case strings.HasPrefix(s, "**/") && beginsPart:
		return `(?:.*/)?`, 3
	case strings.HasPrefix(s, "**"):
		return `.*`, 2
	case s[0] == '*':
		return `[^/]*`, 1
	case s[0] == '?':
		return `[^/]`, 1
	}
	return "", 0
}
