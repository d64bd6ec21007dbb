package store_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	kjson "sigs.k8s.io/json"

	"github.com/homeostat/homeostat/pkg/store"
)

// benchPod is the Pod of a typical application.
func benchPod(n int) corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName: "web", TerminationGracePeriodSeconds: ptr.To[int64](30),
		Containers: []corev1.Container{{
			Name: "web", Image: fmt.Sprintf("registry.example.com/team/web:v1.%d", n%10), ImagePullPolicy: "IfNotPresent",
			Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: "TCP"}},
			Env:   []corev1.EnvVar{{Name: "MODE", Value: "production"}, {Name: "SHARD", Value: fmt.Sprint(n % 100)}},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi")},
			},
		}},
	}
}

func benchMeta(n int) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: fmt.Sprintf("team-%d", n%50), Name: fmt.Sprintf("web-%06d", n), Generation: 1,
		UID: "4c4bd1c0-3ab6-4a0f-8a1c-2f8c1f4d5a10", CreationTimestamp: metav1.Unix(1700000000+int64(n), 0),
		Labels: map[string]string{"app.kubernetes.io/name": "web", "app.kubernetes.io/instance": fmt.Sprintf("web-%d", n%1000), "tier": "front"},
	}
}

// benchDeployment has about 1 KiB as JSON.
func benchDeployment(n int) *appsv1.Deployment {
	labels := map[string]string{"app.kubernetes.io/name": "web", "tier": "front"}
	return &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: benchMeta(n),
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](3), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Strategy: appsv1.DeploymentStrategy{Type: "RollingUpdate", RollingUpdate: &appsv1.RollingUpdateDeployment{
				MaxSurge: ptr.To(intstr.FromString("25%")), MaxUnavailable: ptr.To(intstr.FromString("25%"))}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: benchPod(n)},
		},
	}
}

type benchValue struct {
	key   string
	value []byte
}

func benchStore(tb testing.TB) *store.Store {
	s, err := store.New(clientv3.NewCtxClient(tb.Context()), store.Options{Scheme: scheme.Scheme})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func jsonValue(tb testing.TB, key string, obj any) benchValue {
	value, err := json.Marshal(obj)
	if err != nil {
		tb.Fatal(err)
	}
	return benchValue{key, value}
}

// protoValue is a value in Kubernetes' protobuf form.
func protoValue(tb testing.TB, key, apiVersion, kind string, obj interface{ Marshal() ([]byte, error) }) benchValue {
	raw, err := obj.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	unknown := k8sruntime.Unknown{TypeMeta: k8sruntime.TypeMeta{APIVersion: apiVersion, Kind: kind}, Raw: raw}
	value, err := unknown.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return benchValue{key, append([]byte("k8s\x00"), value...)}
}

// BenchmarkDecode decodes values as a replica does and, for comparison, with
// apimachinery's decoder.
func BenchmarkDecode(b *testing.B) {
	s := benchStore(b)
	d := benchDeployment(7)
	p := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: benchMeta(7), Spec: benchPod(7),
		Status: corev1.PodStatus{Phase: "Running", PodIP: "10.1.2.3", Conditions: []corev1.PodCondition{{Type: "Ready", Status: "True", LastTransitionTime: metav1.Unix(1700000000, 0)}}}}
	deployment, pod := s.Prefix()+"apps/deployments/team-7/web-000007", s.Prefix()+"core/pods/team-7/web-000007"
	for _, c := range []struct {
		name  string
		like  store.Object
		value benchValue
	}{
		{"Deployment/JSON", d, jsonValue(b, deployment, d)},
		{"Deployment/protobuf", d, protoValue(b, deployment, "apps/v1", "Deployment", d)},
		{"Pod/JSON", p, jsonValue(b, pod, p)},
		{"Pod/protobuf", p, protoValue(b, pod, "v1", "Pod", p)},
	} {
		b.Run(c.name, func(b *testing.B) { benchDecode(b, s, c.like, c.value, store.DecodeOptions{}) })
		b.Run(c.name+"/shared", func(b *testing.B) { benchDecode(b, s, c.like, c.value, store.DecodeOptions{Shared: true}) })
		b.Run(c.name+"/metadata", func(b *testing.B) {
			benchDecode(b, s, c.like, c.value, store.DecodeOptions{MetadataOnly: true, Shared: true})
		})
	}
	b.Run("Deployment/JSON/apimachinery", func(b *testing.B) {
		value := jsonValue(b, deployment, d).value
		b.SetBytes(int64(len(value)))
		b.ReportAllocs()
		for b.Loop() {
			if err := kjson.UnmarshalCaseSensitivePreserveInts(value, new(appsv1.Deployment)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchDecode(b *testing.B, s *store.Store, like store.Object, v benchValue, o store.DecodeOptions) {
	_, decode, err := s.Decoder(like, o)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(v.value)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(v.key, v.value, 12345); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRetained measures how much memory a decoded Deployment takes while it
// is kept and, for comparison, one decoded by apimachinery.
func BenchmarkRetained(b *testing.B) {
	const n = 20000
	s := benchStore(b)
	values := make([]benchValue, n)
	size := 0
	for i := range values {
		d := benchDeployment(i)
		values[i] = jsonValue(b, s.Prefix()+"apps/deployments/"+d.Namespace+"/"+d.Name, d)
		size += len(values[i].value)
	}
	own := func(o store.DecodeOptions) func(v benchValue) any {
		_, decode, err := s.Decoder(&appsv1.Deployment{}, o)
		if err != nil {
			b.Fatal(err)
		}
		return func(v benchValue) any {
			d, err := decode(string([]byte(v.key)), v.value, 12345)
			if err != nil {
				b.Fatal(err)
			}
			return d.Object
		}
	}
	for _, c := range []struct {
		name   string
		decode func(v benchValue) any
	}{
		{"store", own(store.DecodeOptions{})},
		{"shared", own(store.DecodeOptions{Shared: true})},
		{"metadata", own(store.DecodeOptions{Shared: true, MetadataOnly: true})},
		{"apimachinery", func(v benchValue) any {
			obj := new(appsv1.Deployment)
			if err := kjson.UnmarshalCaseSensitivePreserveInts(v.value, obj); err != nil {
				b.Fatal(err)
			}
			return obj
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var kept []any
			var before, after runtime.MemStats
			for b.Loop() {
				kept = make([]any, 0, n)
				runtime.GC()
				runtime.ReadMemStats(&before)
				for _, v := range values {
					kept = append(kept, c.decode(v))
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/object")
			b.ReportMetric(float64(size)/n, "B/value")
			runtime.KeepAlive(kept)
		})
	}
}
