package store

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
)

// encode returns the stored form of an object: JSON with apiVersion and kind,
// without a resourceVersion, which is the key's ModRevision and never stored.
// obj must be the caller's own: it is changed on the way and put back.
func (k *kindInfo) encode(obj Object) (string, error) {
	rv := obj.GetResourceVersion()
	obj.SetResourceVersion("")
	obj.GetObjectKind().SetGroupVersionKind(k.gvk)
	value, err := json.Marshal(obj)
	obj.SetResourceVersion(rv)
	if err != nil {
		return "", fmt.Errorf("encode %s %s: %w", k.gvk.Kind, KeyOf(obj), err)
	}
	return string(value), nil
}

// decode turns a stored value into an object. Field names are matched
// exactly, and integers stay integers. The object's name must be its key's: a
// value copied to another key by hand is a mistake that no controller should
// act on.
func (k *kindInfo) decode(key Key, value []byte, modRevision int64) (Object, error) {
	obj := k.newObject()
	if err := kjson.UnmarshalCaseSensitivePreserveInts(value, obj); err != nil {
		return nil, err
	}
	if gvk := obj.GetObjectKind().GroupVersionKind(); gvk != k.gvk {
		return nil, fmt.Errorf("value is of kind %q, want %q", gvk, k.gvk)
	}
	if got := KeyOf(obj); got != key {
		return nil, fmt.Errorf("value is of object %q, want %q", got, key)
	}
	obj.SetResourceVersion(FormatRevision(modRevision))
	return obj, nil
}

// timestamp is a time as it is after it has been stored, so that what a write
// returns equals what a read does.
func timestamp(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second).Local()) }

// FormatRevision is a revision in the form of a resourceVersion.
func FormatRevision(revision int64) string { return strconv.FormatInt(revision, 10) }

// ParseRevision is the inverse of [FormatRevision]. The empty string and "0"
// are 0, which stands for "any".
func ParseRevision(resourceVersion string) (int64, error) {
	if resourceVersion == "" {
		return 0, nil
	}
	rev, err := strconv.ParseInt(resourceVersion, 10, 64)
	if err != nil || rev < 0 {
		return 0, fmt.Errorf("resourceVersion %q is not a revision of etcd", resourceVersion)
	}
	return rev, nil
}
