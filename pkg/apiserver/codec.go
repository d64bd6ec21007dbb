package apiserver

import (
	"io"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"

	"github.com/homeostat/homeostat/pkg/internal/cost"
)

// negotiated is the runtime.NegotiatedSerializer of a group and version. It converts
// between the versions of a kind, and to no internal version.
type negotiated struct {
	types *types
	media []runtime.SerializerInfo
}

// newNegotiated offers protobuf only if all types of the group and version have it.
func newNegotiated(t *types, withProtobuf bool) *negotiated {
	n := &negotiated{types: t, media: []runtime.SerializerInfo{jsonInfo(t), yamlInfo(t)}}
	if withProtobuf {
		n.media = append(n.media, protobufInfo(t))
	}
	n.media = append(n.media, cborInfo(t))
	return n
}

func jsonInfo(t *types) runtime.SerializerInfo {
	serializer := func(o json.SerializerOptions) runtime.Serializer {
		return cheap{json.NewSerializerWithOptions(json.DefaultMetaFactory, t, t, o), cost.JSON, plainJSON(t)}
	}
	plain := serializer(json.SerializerOptions{StreamingCollectionsEncoding: true})
	return runtime.SerializerInfo{
		MediaType: runtime.ContentTypeJSON, MediaTypeType: "application", MediaTypeSubType: "json", EncodesAsText: true,
		Serializer: plain, PrettySerializer: serializer(json.SerializerOptions{Pretty: true}),
		StrictSerializer: serializer(json.SerializerOptions{Strict: true, StreamingCollectionsEncoding: true}),
		StreamSerializer: &runtime.StreamSerializerInfo{EncodesAsText: true, Serializer: plain, Framer: json.Framer},
	}
}

func yamlInfo(t *types) runtime.SerializerInfo {
	serializer := func(strict bool) runtime.Serializer {
		return cheap{json.NewSerializerWithOptions(json.DefaultMetaFactory, t, t, json.SerializerOptions{Yaml: true, Strict: strict}), spoilYAML, plainJSON(t)}
	}
	return runtime.SerializerInfo{
		MediaType: runtime.ContentTypeYAML, MediaTypeType: "application", MediaTypeSubType: "yaml", EncodesAsText: true,
		Serializer: serializer(false), StrictSerializer: serializer(true),
	}
}

func protobufInfo(t *types) runtime.SerializerInfo {
	decoder := protobuf.NewSerializerWithOptions(t, t, protobuf.SerializerOptions{StreamingCollectionsEncoding: true})
	whole := cheap{decoder, spoilProtobuf, decoder}
	return runtime.SerializerInfo{
		MediaType: runtime.ContentTypeProtobuf, MediaTypeType: "application", MediaTypeSubType: "vnd.kubernetes.protobuf",
		Serializer: whole, StrictSerializer: whole, // protobuf has no strict decoding
		StreamSerializer: &runtime.StreamSerializerInfo{Serializer: protobuf.NewRawSerializer(t, t), Framer: protobuf.LengthDelimitedFramer},
	}
}

func cborInfo(t *types) runtime.SerializerInfo {
	info := cbor.NewSerializerInfo(t, t)
	info.Serializer = cheap{info.Serializer, spoilCBOR, plainJSON(t)}
	info.StrictSerializer = cheap{info.StrictSerializer, spoilCBOR, plainJSON(t)}
	return info
}

func plainJSON(t *types) runtime.Decoder {
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, t, t, json.SerializerOptions{})
}

func (n *negotiated) SupportedMediaTypes() []runtime.SerializerInfo { return n.media }

func (n *negotiated) EncoderForVersion(e runtime.Encoder, gv runtime.GroupVersioner) runtime.Encoder {
	return &encoder{n.types, e, gv}
}

// DecoderToVersion returns the decoder as it is: an object has the version that the
// client sent, and the handlers check that.
func (n *negotiated) DecoderToVersion(d runtime.Decoder, _ runtime.GroupVersioner) runtime.Decoder {
	return d
}

// encoder converts objects to a version and sets their apiVersion and kind before it
// encodes them.
type encoder struct {
	types *types
	inner runtime.Encoder
	to    runtime.GroupVersioner
}

func (e *encoder) Encode(obj runtime.Object, w io.Writer) error {
	return e.cached(obj, w, e.inner.Encode)
}

// EncodeWithAllocator implements runtime.EncoderWithAllocator.
func (e *encoder) EncodeWithAllocator(obj runtime.Object, w io.Writer, memory runtime.MemoryAllocator) error {
	inner, ok := e.inner.(runtime.EncoderWithAllocator)
	if !ok {
		return e.Encode(obj, w)
	}
	return e.cached(obj, w, func(obj runtime.Object, w io.Writer) error { return inner.EncodeWithAllocator(obj, w, memory) })
}

// cached encodes an object that keeps its encodings only once.
func (e *encoder) cached(obj runtime.Object, w io.Writer, encode func(runtime.Object, io.Writer) error) error {
	convert := func(obj runtime.Object, w io.Writer) error {
		out, err := e.types.ConvertToVersion(obj, e.to)
		if err != nil {
			return err
		}
		return encode(out, w)
	}
	if c, ok := obj.(runtime.CacheableObject); ok {
		return c.CacheEncode(e.Identifier(), convert, w)
	}
	return convert(obj, w)
}

// Identifier implements runtime.Encoder.
func (e *encoder) Identifier() runtime.Identifier {
	return runtime.Identifier(e.to.Identifier() + " " + string(e.inner.Identifier()))
}
