package store

import (
	"bytes"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// protobufPrefix is the prefix of Kubernetes' protobuf values.
var protobufPrefix = []byte("k8s\x00")

// protoMessage is implemented by Kubernetes' types with a protobuf form. A type that
// embeds TypeMeta and ObjectMeta does not inherit the methods, because they are
// ambiguous.
type protoMessage interface {
	Reset()
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

func isProtobuf(plain []byte) bool { return bytes.HasPrefix(plain, protobufPrefix) }

func encodeProtobuf(gvk schema.GroupVersionKind, message protoMessage) ([]byte, error) {
	raw, err := message.Marshal()
	if err != nil {
		return nil, err
	}
	envelope := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind}, Raw: raw}
	value := make([]byte, len(protobufPrefix)+envelope.Size())
	copy(value, protobufPrefix)
	_, err = envelope.MarshalTo(value[len(protobufPrefix):])
	return value, err
}

// decodeProtobuf returns the kind of the value, even if it does not fit obj.
func decodeProtobuf(plain []byte, obj Object) (schema.GroupVersionKind, error) {
	var envelope runtime.Unknown
	if err := envelope.Unmarshal(plain[len(protobufPrefix):]); err != nil {
		return schema.GroupVersionKind{}, fmt.Errorf("protobuf envelope: %w", err)
	}
	gvk := envelope.GroupVersionKind()
	message, ok := obj.(protoMessage)
	if !ok {
		return gvk, fmt.Errorf("value of kind %q is protobuf, which %T does not have", gvk, obj)
	}
	message.Reset()
	if err := message.Unmarshal(envelope.Raw); err != nil {
		return gvk, fmt.Errorf("protobuf: %w", err)
	}
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	return gvk, nil
}
