package store

import (
	"bytes"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/internal/cost"
	"github.com/homeostat/homeostat/pkg/store/internal/fault"
	"github.com/homeostat/homeostat/pkg/store/internal/kubejson"
	"github.com/homeostat/homeostat/pkg/store/internal/preserve"
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

func encodeProtobuf(gvk schema.GroupVersionKind, message protoMessage) (value []byte, err error) {
	defer fault.Recover("encoding", &err)
	raw, err := message.Marshal()
	if err != nil {
		return nil, err
	}
	return wrapProtobuf(gvk, raw)
}

func wrapProtobuf(gvk schema.GroupVersionKind, raw []byte) ([]byte, error) {
	envelope := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind}, Raw: raw}
	value := make([]byte, len(protobufPrefix)+envelope.Size())
	copy(value, protobufPrefix)
	_, err := envelope.MarshalTo(value[len(protobufPrefix):])
	return value, err
}

// decodeProtobuf says what the value holds, even if it does not fit obj.
func decodeProtobuf(plain []byte, obj Object) (valueType, error) {
	var envelope runtime.Unknown
	if err := envelope.Unmarshal(plain[len(protobufPrefix):]); err != nil {
		return valueType{}, &fault.Error{Fault: "the protobuf envelope is malformed", Err: fmt.Errorf("protobuf envelope: %w", err)}
	}
	gvk := envelope.GroupVersionKind()
	message, ok := obj.(protoMessage)
	if !ok {
		return valueType{gvk: gvk}, &fault.Error{Fault: fmt.Sprintf("the value is protobuf, which %T does not have", obj),
			Err: fmt.Errorf("value of kind %q is protobuf, which %T does not have", gvk, obj)}
	}
	if err := unmarshalProtobuf(envelope.Raw, message); err != nil {
		return valueType{gvk: gvk}, &fault.Error{Fault: protobufFault(err), Err: fmt.Errorf("protobuf: %w", err)}
	}
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	return valueType{gvk, preserve.HasUnknown(reflect.TypeOf(obj).Elem(), envelope.Raw)}, nil
}

func protobufFault(err error) string {
	if text := fault.Of(err); text != fault.Withheld {
		return "protobuf: " + text
	}
	return "the protobuf message is malformed; " + fault.Withheld
}

// mergeProtobuf applies the difference between two encodings of a kind's objects to a
// stored one; see package preserve.
func mergeProtobuf(k *kindInfo, values ...[]byte) ([]byte, error) {
	raw := make([][]byte, len(values))
	for i, value := range values {
		var envelope runtime.Unknown
		if err := envelope.Unmarshal(value[len(protobufPrefix):]); err != nil {
			return nil, fmt.Errorf("protobuf envelope: %w", err)
		}
		raw[i] = envelope.Raw
	}
	merged, err := preserve.Protobuf(k.goType, raw[0], raw[1], raw[2])
	if err != nil {
		return nil, err
	}
	return wrapProtobuf(k.gvk, merged)
}

// unmarshalProtobuf decodes a message unless that takes more time than its length
// allows; see package cost.
func unmarshalProtobuf(raw []byte, message protoMessage) error {
	spoilt, reason := cost.Protobuf(raw)
	if reason != nil {
		if spoilt == nil {
			return reason
		}
		message.Reset()
		if err := message.Unmarshal(spoilt); err != nil {
			return &kubejson.CostError{Reason: reason, Decoding: err}
		}
	}
	message.Reset()
	return message.Unmarshal(raw)
}
