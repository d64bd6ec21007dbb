package store

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// DefaultPrefix is the default of [Options].Prefix. Kubernetes uses it too.
const DefaultPrefix = "/registry/"

// coreGroup replaces the empty group in keys.
const coreGroup = "core"

// layout builds and parses etcd keys:
// <prefix><group, "core" for the empty one>/<resource>/[<namespace>/]<name>.
type layout struct{ prefix string }

func newLayout(prefix string) (layout, error) {
	switch {
	case prefix == "":
		return layout{DefaultPrefix}, nil
	case !strings.HasSuffix(prefix, "/"):
		return layout{}, fmt.Errorf("prefix %q: must end in a slash; without one it would match other prefixes", prefix)
	}
	return layout{prefix}, nil
}

func (l layout) kindPrefix(r schema.GroupResource) string {
	group := r.Group
	if group == "" {
		group = coreGroup
	}
	return l.prefix + group + "/" + r.Resource + "/"
}

// key returns the etcd key of an object. It refuses a namespace or name with a
// slash, which could reach into another kind or namespace.
func (l layout) key(k *kindInfo, key Key) (string, error) {
	if k.clusterScoped != (key.Namespace == "") {
		if k.clusterScoped {
			return "", fmt.Errorf("%s %q: namespace %q: the kind is cluster-scoped", k.gvk.Kind, key.Name, key.Namespace)
		}
		return "", fmt.Errorf("%s %q: namespace is missing", k.gvk.Kind, key.Name)
	}
	if err := checkSegment("name", key.Name); err != nil {
		return "", fmt.Errorf("%s: %w", k.gvk.Kind, err)
	}
	if k.clusterScoped {
		return l.kindPrefix(k.resource) + key.Name, nil
	}
	if err := checkSegment("namespace", key.Namespace); err != nil {
		return "", fmt.Errorf("%s: %w", k.gvk.Kind, err)
	}
	return l.kindPrefix(k.resource) + key.Namespace + "/" + key.Name, nil
}

// rangeOf returns the range of a kind's keys in a namespace, or in all namespaces
// if it is empty.
func (l layout) rangeOf(k *kindInfo, namespace string) (etcd.Range, error) {
	prefix := l.kindPrefix(k.resource)
	switch {
	case namespace == "":
		return etcd.PrefixRange(prefix), nil
	case k.clusterScoped:
		return etcd.Range{}, fmt.Errorf("namespace %q: %s is cluster-scoped", namespace, k.gvk.Kind)
	}
	if err := checkSegment("namespace", namespace); err != nil {
		return etcd.Range{}, fmt.Errorf("%s: %w", k.gvk.Kind, err)
	}
	return etcd.PrefixRange(prefix + namespace + "/"), nil
}

// etcdKey is layout.key for a valid key.
func (k *kindInfo) etcdKey(key Key) string {
	if key.Namespace == "" {
		return k.prefix + key.Name
	}
	return k.prefix + key.Namespace + "/" + key.Name
}

func checkSegment(what, s string) error {
	if s == "" {
		return fmt.Errorf("%s is missing", what)
	}
	if msgs := content.IsPathSegmentName(s); len(msgs) > 0 {
		return fmt.Errorf("%s %q: %s", what, s, strings.Join(msgs, "; "))
	}
	return nil
}

// split is the inverse of key. rest is an etcd key without its kind's prefix.
// split returns false if no object of the kind can have the key.
func (k *kindInfo) split(rest string) (Key, bool) {
	if k.clusterScoped {
		return Key{Name: rest}, checkSegment("name", rest) == nil
	}
	namespace, name, _ := strings.Cut(rest, "/")
	ok := checkSegment("namespace", namespace) == nil && checkSegment("name", name) == nil
	return Key{Namespace: namespace, Name: name}, ok
}
