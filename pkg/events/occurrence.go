package events

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/homeostat/homeostat/pkg/store"
)

const (
	// maxNote is Kubernetes' limit for the note, in bytes.
	maxNote = 1024
	// maxName limits the names of objects, in bytes, so that a transaction of many
	// Events stays below etcd's limit. Most kinds have a lower limit of their own.
	maxName = 1024
)

// seriesKey is what the calls of one series agree in.
type seriesKey struct {
	reporter                  reporter
	regarding, related        corev1.ObjectReference // related is empty if there is none
	eventType, reason, action string
}

// occurrence is one call of Eventf.
type occurrence struct {
	what seriesKey // with the objects' resource versions
	note string
	at   time.Time
}

// series returns the key of the series that an occurrence belongs to.
func (o occurrence) series() seriesKey {
	k := o.what
	k.regarding.ResourceVersion, k.related.ResourceVersion = "", ""
	return k
}

func (r *Recorder) newOccurrence(regarding, related runtime.Object, eventType, reason, action string) (o occurrence, err error) {
	o.what = seriesKey{reporter: r.by, eventType: eventType, reason: reason, action: action}
	if o.what.regarding, err = r.reference(regarding); err != nil {
		return o, fmt.Errorf("regarding: %w", err)
	}
	if related != nil {
		if o.what.related, err = r.reference(related); err != nil {
			return o, fmt.Errorf("related: %w", err)
		}
	}
	if eventType != corev1.EventTypeNormal && eventType != corev1.EventTypeWarning {
		return o, fmt.Errorf("type %q: must be %q or %q", eventType, corev1.EventTypeNormal, corev1.EventTypeWarning)
	}
	return o, errors.Join(checkIdentifier("reason", reason), checkIdentifier("action", action))
}

func checkIdentifier(what, s string) error {
	if s == "" || len(s) > maxIdentifier {
		return fmt.Errorf("%s %q: must have 1 to %d bytes", what, cut(s, maxIdentifier), maxIdentifier)
	}
	return nil
}

// reference returns a reference to an object as it is now.
func (r *Recorder) reference(object runtime.Object) (ref corev1.ObjectReference, err error) {
	obj, ok := object.(store.Object)
	if !ok {
		return ref, fmt.Errorf("%T is not an object with metadata", object)
	}
	kind, err := r.objects.KindOf(obj)
	if err != nil {
		return ref, err
	}
	name, namespace := obj.GetName(), obj.GetNamespace()
	switch {
	case name == "":
		return ref, fmt.Errorf("%s has no name", kind.GroupVersionKind.Kind)
	case len(name) > maxName:
		return ref, fmt.Errorf("name %q...: has %d bytes, more than %d", cut(name, maxIdentifier), len(name), maxName)
	case namespace != "" && len(validation.IsDNS1123Label(namespace)) > 0:
		return ref, fmt.Errorf("namespace %q: not a valid name of a namespace", cut(namespace, maxIdentifier))
	}
	apiVersion, kindName := kind.GroupVersionKind.ToAPIVersionAndKind()
	return corev1.ObjectReference{
		APIVersion: apiVersion, Kind: kindName, Namespace: namespace, Name: name,
		UID: obj.GetUID(), ResourceVersion: obj.GetResourceVersion(),
	}, nil
}

// namespaceOf returns the namespace of an Event about an object.
func namespaceOf(regarding corev1.ObjectReference) string {
	if regarding.Namespace == "" {
		return metav1.NamespaceDefault
	}
	return regarding.Namespace
}

func cutNote(note string) string {
	return cut(strings.ToValidUTF8(note, string(utf8.RuneError)), maxNote)
}

// cut shortens a string to at most n bytes without cutting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
