package apiserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor/direct"
	apitypes "k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/homeostat/homeostat/pkg/internal/cost"
)

// cheap refuses values that take more time to decode than their length allows, such as a
// quantity of 1e-999999999. The store refuses them too, but the body of a request is decoded
// before the store sees it. See package cost for the way.
type cheap struct {
	runtime.Serializer
	// spoil returns a copy in which costly numbers are spoilt, and a reason if there are
	// any.
	spoil func(data []byte) (spoilt []byte, reason error)
	// plain decodes the copy.
	plain runtime.Decoder
}

// Decode implements runtime.Decoder.
func (c cheap) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if spoilt, reason := c.spoil(data); reason != nil {
		if spoilt == nil {
			return nil, nil, costly(reason)
		}
		if _, _, err := c.plain.Decode(spoilt, defaults, nil); err != nil {
			return nil, nil, costly(reason)
		}
	}
	return c.Serializer.Decode(data, defaults, into)
}

func costly(reason error) error {
	return apierrors.NewBadRequest(fmt.Sprintf("the object takes too long to decode: %v", reason))
}

func spoilYAML(data []byte) ([]byte, error) {
	converted, err := yaml.YAMLToJSON(data)
	if err != nil {
		return nil, nil // the decoder says what is wrong
	}
	return cost.JSON(converted)
}

func spoilCBOR(data []byte) ([]byte, error) {
	var value any
	if direct.Unmarshal(data, &value) != nil {
		return nil, nil // the decoder says what is wrong
	}
	converted, err := json.Marshal(value)
	if err != nil {
		return nil, nil
	}
	return cost.JSON(converted)
}

// protobufPrefix begins a body that is protobuf.
var protobufPrefix = []byte("k8s\x00")

func spoilProtobuf(data []byte) ([]byte, error) {
	message, ok := bytes.CutPrefix(data, protobufPrefix)
	if !ok {
		return nil, nil // the decoder says what is wrong
	}
	spoilt, reason := cost.Protobuf(message)
	if spoilt == nil {
		return nil, reason
	}
	return append(bytes.Clone(protobufPrefix), spoilt...), reason
}

// refuseCostlyPatches refuses strategic merge patches with costly numbers, wherever these
// are: such a patch is merged without a decoder.
func refuseCostlyPatches(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPatch || r.Header.Get("Content-Type") != string(apitypes.StrategicMergePatchType) {
			h.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes+1)) // the handler refuses one that is too large
		if err == nil {
			_, err = cost.JSON(body)
		}
		if err != nil {
			status := costly(err).(*apierrors.StatusError).ErrStatus
			status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
			writeJSON(w, int(status.Code), status)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		h.ServeHTTP(w, r)
	})
}
