package patch

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A strategic merge patch never loses an element of a list because its merge key does
// not tell it from another one.
func TestStrategicMergeKeys(t *testing.T) {
	// DNS has one port number with two protocols, as the service of that name does.
	dns := func() *corev1.Service {
		s := &corev1.Service{}
		s.Name, s.Namespace = "dns", "default"
		s.Spec.Ports = []corev1.ServicePort{
			{Name: "udp", Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromInt32(53)},
			{Name: "tcp", Port: 53, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(53)},
		}
		return s
	}
	pod := func() *corev1.Pod {
		p := &corev1.Pod{}
		p.Spec.Containers = []corev1.Container{{Name: "a", Ports: []corev1.ContainerPort{{ContainerPort: 80}}}, {Name: "b"}}
		return p
	}
	const ambiguous = `: more than one element has the `
	for name, c := range map[string]struct {
		obj         any
		patch, want string // want is part of the result's JSON, or of the error
	}{
		"one of two that exist":        {dns(), `{"spec":{"ports":[{"port":53,"protocol":"TCP","targetPort":1053}]}}`, `.spec.ports` + ambiguous + `port "53"`},
		"two new ones":                 {&corev1.Service{}, `{"spec":{"ports":[{"port":53,"protocol":"TCP"},{"port":53,"protocol":"UDP"}]}}`, ambiguous},
		"two for one that exists":      {pod(), `{"spec":{"containers":[{"name":"a","ports":[{"containerPort":80,"protocol":"TCP"},{"containerPort":80.0,"protocol":"UDP"}]}]}}`, `.spec.containers.ports` + ambiguous + `containerPort "80"`},
		"in a new element":             {pod(), `{"spec":{"containers":[{"name":"c","ports":[{"containerPort":1},{"containerPort":1}]}]}}`, ambiguous},
		"names":                        {pod(), `{"spec":{"containers":[{"name":"c"},{"name":"c"}]}}`, `.spec.containers` + ambiguous + `name "c"`},
		"another one beside them":      {dns(), `{"spec":{"ports":[{"name":"metrics","port":9153}],"$setElementOrder/ports":[{"port":53},{"port":53},{"port":9153}]}}`, `3 ports`},
		"only their order":             {dns(), `{"spec":{"$setElementOrder/ports":[{"port":53},{"port":53}]}}`, `2 ports`},
		"another field":                {dns(), `{"metadata":{"labels":{"a":"b"}}}`, `2 ports`},
		"both deleted":                 {dns(), `{"spec":{"ports":[{"$patch":"delete","port":53}]}}`, `0 ports`},
		"both deleted, and one is new": {dns(), `{"spec":{"ports":[{"$patch":"delete","port":53},{"port":53,"protocol":"TCP"}]}}`, `1 ports`},
		"the list is replaced":         {dns(), `{"spec":{"ports":[{"$patch":"replace"},{"port":53,"protocol":"TCP"},{"port":53,"protocol":"UDP"},{"port":1}]}}`, `3 ports`},
		"the object is replaced":       {dns(), `{"spec":{"$patch":"replace","ports":[{"port":53,"protocol":"TCP"},{"port":53,"protocol":"UDP"}]}}`, `2 ports`},
		"one and one":                  {pod(), `{"spec":{"containers":[{"name":"a","ports":[{"containerPort":80,"name":"web"}]}]}}`, `"ports":[{"name":"web","containerPort":80}]`},
		"a list without a key":         {pod(), `{"spec":{"containers":[{"name":"a","args":["x","x"]}]}}`, `"args":["x","x"]`},
		"null":                         {pod(), `null`, `malformed strategic merge patch: want an object`},
	} {
		t.Run(name, func(t *testing.T) {
			before, err := json.Marshal(c.obj)
			if err != nil {
				t.Fatal(err)
			}
			after, err := applyStrategic(before, []byte(c.patch), c.obj)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Fatalf("the error is %v, want %s", err, c.want)
				}
				return
			}
			s := dns()
			s.Spec.Ports = nil
			if err := json.Unmarshal(after, s); err != nil {
				t.Fatal(err)
			}
			ports, counts := strings.CutSuffix(c.want, " ports")
			switch {
			case counts && ports != string(rune('0'+len(s.Spec.Ports))):
				t.Fatalf("the result has %d ports: %s", len(s.Spec.Ports), after)
			case !counts:
				p := &corev1.Pod{}
				if err := json.Unmarshal(after, p); err != nil {
					t.Fatal(err)
				}
				if got, _ := json.Marshal(p); !strings.Contains(string(got), c.want) {
					t.Fatalf("the result is %s, want %s", got, c.want)
				}
			}
		})
	}
}
