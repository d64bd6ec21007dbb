package apiserver_test

import (
	"bytes"
	"encoding/json"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor/direct"
	"k8s.io/apimachinery/pkg/types"
)

// The quantity would take hours to decode.
var _ = DescribeTable("A body that takes too long to decode is refused", func(ctx SpecContext, contentType types.PatchType, body func() []byte) {
	r := serve(ctx)
	must(r.typed.AppsV1().Deployments("default").Create(ctx, newDeployment("d"), metav1.CreateOptions{}))
	request := r.typed.RESTClient().Post().AbsPath("/apis/apps/v1/namespaces/default/deployments")
	switch contentType {
	case types.StrategicMergePatchType, types.MergePatchType, types.JSONPatchType, types.ApplyYAMLPatchType:
		request = r.typed.RESTClient().Patch(contentType).AbsPath("/apis/apps/v1/namespaces/default/deployments/d").Param("fieldManager", "x")
	}
	var code int
	request.SetHeader("Content-Type", string(contentType)).Body(body()).Do(ctx).StatusCode(&code)
	Expect(code).To(And(BeNumerically(">=", 400), BeNumerically("<", 500)))

	By("but the same text elsewhere is harmless")
	d := newDeployment("text")
	d.Annotations = map[string]string{"note": "1e-999999999"}
	must(r.typed.AppsV1().Deployments("default").Create(ctx, d, metav1.CreateOptions{}))
},
	Entry(nil, types.PatchType("application/json"), costlyJSON, specTimeout),
	Entry(nil, types.PatchType("application/yaml"), costlyJSON, specTimeout),
	Entry(nil, types.PatchType("application/cbor"), func() []byte {
		var value map[string]any
		Expect(json.Unmarshal(costlyJSON(), &value)).To(Succeed())
		return must(direct.Marshal(value))
	}, specTimeout),
	Entry(nil, types.PatchType("application/vnd.kubernetes.protobuf"), func() []byte {
		cheap := newDeployment("costly")
		cheap.Spec.Template.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("123456789011")}
		raw := bytes.Replace(must(cheap.Marshal()), []byte("123456789011"), []byte("1e-999999999"), 1)
		unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, Raw: raw}
		return append([]byte("k8s\x00"), must(unknown.Marshal())...)
	}, specTimeout),
	Entry(nil, types.StrategicMergePatchType, func() []byte {
		return []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"web","resources":{"limits":{"cpu":"1e-999999999"}}}]}}}}`)
	}, specTimeout),
	Entry(nil, types.MergePatchType, func() []byte {
		return []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"web","resources":{"limits":{"cpu":" 1e-999999999"}}}]}}}}`)
	}, specTimeout),
	Entry(nil, types.JSONPatchType, func() []byte {
		return []byte(`[{"op":"add","path":"/spec/template/spec/containers/0/resources","value":{"limits":{"cpu":"1e-999999999"}}}]`)
	}, specTimeout),
	Entry(nil, types.ApplyYAMLPatchType, costlyJSON, specTimeout),
)

func costlyJSON() []byte {
	return []byte(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"app":"d"}},"template":{` +
		`"metadata":{"labels":{"app":"d"}},"spec":{"containers":[{"name":"web","image":"x","resources":{"limits":{"cpu":"1e-999999999"}}}]}}}}`)
}
