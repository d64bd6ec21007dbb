package informer

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/homeostat/homeostat/pkg/store"
)

// KeyGlob holds for objects whose key matches a pattern: that of a namespace and
// that of a name, with a slash between them, or that of a name alone, in any
// namespace or none:
//
//   - any number of characters, none included
//     ?       one character
//     [a-z0]  one character of these; [^a-z0] one that is none of these
//     \       takes the next character as it is
//
// All other characters stand for themselves. A pattern matches a part as a whole
// and never beyond it. The namespace of a cluster-scoped object is empty. An
// invalid pattern is an error.
func KeyGlob[T store.Object](pattern string) (Filter[T], error) {
	namespace, name, both := strings.Cut(pattern, "/")
	if !both {
		namespace, name = "*", pattern
	}
	switch {
	case name == "":
		return Filter[T]{}, fmt.Errorf("informer: key pattern %q matches no name", pattern)
	case strings.Contains(name, "/"):
		return Filter[T]{}, fmt.Errorf("informer: key pattern %q has more than the two parts namespace/name", pattern)
	}
	for _, part := range []string{namespace, name} {
		if _, err := path.Match(part, ""); err != nil {
			return Filter[T]{}, fmt.Errorf("informer: key pattern %q: %q is malformed", pattern, part)
		}
	}
	return aboutKey[T](func(key store.Key) bool {
		return (!both || matches(namespace, key.Namespace)) && matches(name, key.Name)
	}), nil
}

// matches is asked about patterns that were found well-formed.
func matches(pattern, part string) bool {
	ok, _ := path.Match(pattern, part)
	return ok
}

// KeyRegexp holds for objects whose namespace and name match one regular
// expression each; nil matches all. An expression matches a part wherever it is
// found in it: one that is meant to match the whole says so, as in ^web-[0-9]+$.
func KeyRegexp[T store.Object](namespace, name *regexp.Regexp) Filter[T] {
	return aboutKey[T](func(key store.Key) bool {
		return (namespace == nil || namespace.MatchString(key.Namespace)) && (name == nil || name.MatchString(key.Name))
	})
}

// aboutKey is a leaf that says the same of both sides, since they share the key.
func aboutKey[T store.Object](f func(store.Key) bool) Filter[T] {
	return aboutChange(func(e *evaluation[T]) (bool, error) { return f(e.key), nil })
}

// splitKey returns what [appendKey] made a key of.
func splitKey(key string) store.Key {
	namespace, name, ok := strings.Cut(key, "/")
	if !ok {
		return store.Key{Name: key}
	}
	return store.Key{Namespace: namespace, Name: name}
}
