// Package keys selects the keys to follow: one key, a prefix, or a pattern.
package keys

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// Selection is a range of etcd's keys, optionally filtered by a pattern.
type Selection struct {
	// Range encloses all selected keys.
	Range etcd.Range

	what    string
	pattern *regexp.Regexp // nil selects the whole range
}

// String describes the selection to the user.
func (s Selection) String() string { return s.what }

// Contains reports whether a key of the range is selected.
func (s Selection) Contains(key []byte) bool { return s.pattern == nil || s.pattern.Match(key) }

// All selects every key.
func All() Selection {
	// In etcd, a range whose end is a zero byte has no end.
	return Selection{Range: etcd.Range{Start: "\x00", End: "\x00"}, what: "all keys"}
}

// Key selects one key.
func Key(key string) Selection {
	return Selection{Range: etcd.Range{Start: key}, what: fmt.Sprintf("key %q", key)}
}

// Prefix selects the keys with a prefix; an empty one selects all.
func Prefix(prefix string) Selection {
	if prefix == "" {
		return All()
	}
	return Selection{Range: etcd.PrefixRange(prefix), what: fmt.Sprintf("prefix %q", prefix)}
}

// Glob selects the keys that match a pattern from beginning to end. Slashes separate
// the parts of a key.
//
//   - anything within a part, or nothing
//     **   anything, slashes included, or nothing
//     **/  any number of whole parts, or none, where a part begins
//     ?    one character other than a slash
//     \    takes the next character literally
//
// All other characters match themselves.
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

// translate returns the literal prefix of all keys that match, and the pattern as a
// regular expression.
func translate(glob string) (literal, expr string, err error) {
	var out strings.Builder
	plain := true // no wildcard so far
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

// wildcard returns the regular expression for the wildcard at the beginning of s, and
// the wildcard's length, which is 0 if there is none.
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
