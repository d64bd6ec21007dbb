package informer

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/homeostat/homeostat/pkg/store"
)

// KeyGlob holds for objects with a key that matches a pattern. The pattern is
// namespace/name, or only a name, which matches in any namespace and in none:
//
//	?       one character
//	*       any number of characters, or none
//	[a-z0]  one of these characters; [^a-z0] any other character
//	\       takes the next character literally
//
// All other characters stand for themselves. A pattern must match the whole
// namespace and the whole name. The namespace of a cluster-scoped object is empty.
// KeyGlob returns an error if the pattern is malformed.
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

// matches expects a pattern that is well-formed.
func matches(pattern, part string) bool {
	ok, _ := path.Match(pattern, part)
	return ok
}

// KeyRegexp holds for objects whose namespace and name match the regular
// expressions; nil matches all. An expression matches anywhere in the text. To match
// the whole text, anchor it, as in ^web-[0-9]+$.
func KeyRegexp[T store.Object](namespace, name *regexp.Regexp) Filter[T] {
	return aboutKey[T](func(key store.Key) bool {
		return (namespace == nil || namespace.MatchString(key.Namespace)) && (name == nil || name.MatchString(key.Name))
	})
}

// aboutKey returns a leaf about objects that is evaluated once, since both sides
// have the same key.
func aboutKey[T store.Object](f func(store.Key) bool) Filter[T] {
	return aboutChange(func(e *evaluation[T]) (bool, error) { return f(e.key), nil })
}

// splitKey is the inverse of [appendKey].
func splitKey(key string) store.Key {
	namespace, name, ok := strings.Cut(key, "/")
	if !ok {
		return store.Key{Name: key}
	}
	return store.Key{Namespace: namespace, Name: name}
}
