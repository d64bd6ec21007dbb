package events

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
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

// reference returns a reference to an object as it is now. A reference stands for itself.
func (r *Recorder) reference(object runtime.Object) (ref corev1.ObjectReference, err error) {
	switch obj := object.(type) {
	case *corev1.ObjectReference:
		if obj == nil {
			return ref, errors.New("the reference is nil")
		}
		ref = *obj
	case store.Object:
		kind, err := r.kindOf(obj)
		if err != nil {
			return ref, err
		}
		apiVersion, kindName := kind.ToAPIVersionAndKind()
		ref = corev1.ObjectReference{
			APIVersion: apiVersion, Kind: kindName, Namespace: obj.GetNamespace(), Name: obj.GetName(),
			UID: obj.GetUID(), ResourceVersion: obj.GetResourceVersion(),
		}
	default:
		return ref, fmt.Errorf("%T is neither an object with metadata nor a reference to one", object)
	}
	return ref, checkReference(ref)
}

// kindOf returns the kind of an object. That of a kind that the store does not know is
// the kind which the object itself names, as metav1.PartialObjectMetadata does.
func (r *Recorder) kindOf(obj store.Object) (schema.GroupVersionKind, error) {
	kind, err := r.objects.KindOf(obj)
	if err == nil {
		return kind.GroupVersionKind, nil
	}
	if v := reflect.ValueOf(obj); v.Kind() == reflect.Pointer && v.IsNil() {
		return schema.GroupVersionKind{}, err
	}
	if named := obj.GetObjectKind().GroupVersionKind(); named.Kind != "" && named.Version != "" {
		return named, nil
	}
	return schema.GroupVersionKind{}, err
}

func checkReference(ref corev1.ObjectReference) error {
	switch {
	case ref.Kind == "":
		return errors.New("the reference has no kind")
	case ref.Name == "":
		return fmt.Errorf("%s has no name", cut(ref.Kind, maxIdentifier))
	case len(ref.Name) > maxName:
		return fmt.Errorf("name %q...: has %d bytes, more than %d", cut(ref.Name, maxIdentifier), len(ref.Name), maxName)
	case ref.Namespace != "" && len(validation.IsDNS1123Label(ref.Namespace)) > 0:
		return fmt.Errorf("namespace %q: not a valid name of a namespace", cut(ref.Namespace, maxIdentifier))
	}
	if n := len(ref.APIVersion) + len(ref.Kind) + len(ref.UID) + len(ref.ResourceVersion) + len(ref.FieldPath); n > maxName {
		return fmt.Errorf("%s %s: apiVersion, kind, uid, resourceVersion and fieldPath have %d bytes, more than %d",
			cut(ref.Kind, maxIdentifier), ref.Name, n, maxName)
	}
	return nil
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
