package apiserver

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/store"
)

// looks are those of Kubernetes' own kinds, as kubectl users know them.
func looks() map[schema.GroupVersionKind]look {
	all := []string{"all"}
	scale := &Scale{Replicas: "spec.replicas", StatusReplicas: "status.replicas", Selector: "spec.selector"}
	return map[schema.GroupVersionKind]look{
		appsv1.SchemeGroupVersion.WithKind("Deployment"):         {shortNames: []string{"deploy"}, categories: all, columns: deploymentColumns(), scale: scale},
		appsv1.SchemeGroupVersion.WithKind("ReplicaSet"):         {shortNames: []string{"rs"}, categories: all, columns: replicaSetColumns(), scale: scale},
		appsv1.SchemeGroupVersion.WithKind("StatefulSet"):        {shortNames: []string{"sts"}, categories: all, scale: scale},
		appsv1.SchemeGroupVersion.WithKind("DaemonSet"):          {shortNames: []string{"ds"}, categories: all},
		corev1.SchemeGroupVersion.WithKind("Pod"):                {shortNames: []string{"po"}, categories: all, columns: podColumns()},
		corev1.SchemeGroupVersion.WithKind("Service"):            {shortNames: []string{"svc"}, categories: all, columns: serviceColumns()},
		corev1.SchemeGroupVersion.WithKind("ConfigMap"):          {shortNames: []string{"cm"}, columns: configMapColumns()},
		corev1.SchemeGroupVersion.WithKind("Secret"):             {columns: secretColumns()},
		corev1.SchemeGroupVersion.WithKind("Namespace"):          {shortNames: []string{"ns"}, columns: namespaceColumns()},
		corev1.SchemeGroupVersion.WithKind("Node"):               {shortNames: []string{"no"}},
		corev1.SchemeGroupVersion.WithKind("ServiceAccount"):     {shortNames: []string{"sa"}},
		eventsv1.SchemeGroupVersion.WithKind("Event"):            {shortNames: []string{"ev"}, columns: eventColumns()},
		discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"): {columns: endpointSliceColumns()},
	}
}

// or completes a look by another one.
func (l look) or(d look) look {
	if l.shortNames == nil {
		l.shortNames = d.shortNames
	}
	if l.categories == nil {
		l.categories = d.categories
	}
	if l.columns == nil {
		l.columns = d.columns
	}
	if l.scale == nil {
		l.scale = d.scale
	}
	return l
}

// columnsOf returns the columns of a kind after the name.
func columnsOf(k *kind) []column {
	if k.look.columns != nil {
		return k.look.columns
	}
	columns := fieldColumns(k.goType)
	if index, found, err := jsonField(k.goType, "status.conditions"); err == nil && found == reflect.TypeFor[[]metav1.Condition]() {
		columns = append(columns, column{name: "Conditions", description: "The conditions that are true.", value: func(obj store.Object) any {
			v, _ := fieldAt(obj, index, false)
			return trueConditions(v)
		}})
	}
	return append(columns, age())
}

// fieldColumns returns columns for the fields that many types have.
func fieldColumns(t reflect.Type) (columns []column) {
	for _, c := range []struct{ name, path, description string }{
		{"Replicas", "spec.replicas", "The desired number of replicas."},
		{"Ready", "status.readyReplicas", "The number of replicas that are ready."},
		{"Ready", "status.ready", "How much is ready."},
		{"Phase", "status.phase", "The phase of the object."},
	} {
		if index, found, err := jsonField(t, c.path); err == nil && isPlain(found) {
			columns = append(columns, column{name: c.name, description: c.description, value: func(obj store.Object) any {
				v, ok := fieldAt(obj, index, false)
				if !ok || v.Kind() == reflect.Pointer && v.IsNil() {
					return nil
				}
				return reflect.Indirect(v).Interface()
			}})
		}
	}
	return columns
}

func isPlain(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Bool || t.Kind() == reflect.String || t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64
}

func trueConditions(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	var names []string
	for _, c := range v.Interface().([]metav1.Condition) {
		if c.Status == metav1.ConditionTrue {
			names = append(names, c.Type)
		}
	}
	return strings.Join(names, ",")
}

func age() column {
	return column{name: "Age", description: "The time since the object was created.",
		value: func(obj store.Object) any { return obj.GetCreationTimestamp() }}
}

// of makes a column of a known type.
func of[T store.Object](name, description string, value func(T) any) column {
	return column{name: name, description: description, value: func(obj store.Object) any { return value(obj.(T)) }}
}

func wide(c column) column {
	c.wide = true
	return c
}

func deploymentColumns() []column {
	return []column{
		of("Ready", "The number of ready Pods, and of desired ones.", func(d *appsv1.Deployment) any {
			return fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, orOne(d.Spec.Replicas))
		}),
		of("Up-to-date", "The number of Pods that have the present template.", func(d *appsv1.Deployment) any { return d.Status.UpdatedReplicas }),
		of("Available", "The number of Pods that have been ready for long enough.", func(d *appsv1.Deployment) any { return d.Status.AvailableReplicas }),
		age(),
		wide(of("Containers", "The names of the containers.", func(d *appsv1.Deployment) any { return containers(d.Spec.Template.Spec) })),
		wide(of("Images", "The images of the containers.", func(d *appsv1.Deployment) any { return images(d.Spec.Template.Spec) })),
		wide(of("Selector", "The selector of the Pods.", func(d *appsv1.Deployment) any { return metav1.FormatLabelSelector(d.Spec.Selector) })),
	}
}

func replicaSetColumns() []column {
	return []column{
		of("Desired", "The desired number of Pods.", func(r *appsv1.ReplicaSet) any { return orOne(r.Spec.Replicas) }),
		of("Current", "The present number of Pods.", func(r *appsv1.ReplicaSet) any { return r.Status.Replicas }),
		of("Ready", "The number of ready Pods.", func(r *appsv1.ReplicaSet) any { return r.Status.ReadyReplicas }),
		age(),
		wide(of("Containers", "The names of the containers.", func(r *appsv1.ReplicaSet) any { return containers(r.Spec.Template.Spec) })),
		wide(of("Images", "The images of the containers.", func(r *appsv1.ReplicaSet) any { return images(r.Spec.Template.Spec) })),
		wide(of("Selector", "The selector of the Pods.", func(r *appsv1.ReplicaSet) any { return metav1.FormatLabelSelector(r.Spec.Selector) })),
	}
}

func orOne(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

func containers(p corev1.PodSpec) any {
	var names []string
	for _, c := range p.Containers {
		names = append(names, c.Name)
	}
	return strings.Join(names, ",")
}

func images(p corev1.PodSpec) any {
	var names []string
	for _, c := range p.Containers {
		names = append(names, c.Image)
	}
	return strings.Join(names, ",")
}

func podColumns() []column {
	return []column{
		of("Ready", "The number of ready containers, and of all.", func(p *corev1.Pod) any {
			ready := 0
			for _, c := range p.Status.ContainerStatuses {
				if c.Ready {
					ready++
				}
			}
			return fmt.Sprintf("%d/%d", ready, len(p.Spec.Containers))
		}),
		of("Status", "The phase, or what a container waits for or died of.", func(p *corev1.Pod) any { return podStatus(p) }),
		of("Restarts", "How often containers were started again.", func(p *corev1.Pod) any {
			n := int32(0)
			for _, c := range p.Status.ContainerStatuses {
				n += c.RestartCount
			}
			return n
		}),
		age(),
		wide(of("IP", "The address of the Pod.", func(p *corev1.Pod) any { return p.Status.PodIP })),
		wide(of("Node", "The node of the Pod.", func(p *corev1.Pod) any { return p.Spec.NodeName })),
	}
}

func podStatus(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "Terminating"
	}
	if p.Status.Reason != "" {
		return p.Status.Reason
	}
	for _, c := range p.Status.ContainerStatuses {
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "":
			return c.State.Waiting.Reason
		case c.State.Terminated != nil && c.State.Terminated.Reason != "":
			return c.State.Terminated.Reason
		}
	}
	return string(p.Status.Phase)
}

func serviceColumns() []column {
	return []column{
		of("Type", "How the Service is reached.", func(s *corev1.Service) any { return string(s.Spec.Type) }),
		of("Cluster-IP", "The address in the cluster.", func(s *corev1.Service) any { return s.Spec.ClusterIP }),
		of("External-IP", "The addresses outside of it.", func(s *corev1.Service) any { return strings.Join(s.Spec.ExternalIPs, ",") }),
		of("Port(s)", "The ports and their protocols.", func(s *corev1.Service) any {
			var ports []string
			for _, p := range s.Spec.Ports {
				ports = append(ports, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
			}
			return strings.Join(ports, ",")
		}),
		age(),
		wide(of("Selector", "The selector of the Pods.", func(s *corev1.Service) any {
			return metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: s.Spec.Selector})
		})),
	}
}

func configMapColumns() []column {
	return []column{
		of("Data", "The number of entries.", func(c *corev1.ConfigMap) any { return len(c.Data) + len(c.BinaryData) }),
		age(),
	}
}

func secretColumns() []column {
	return []column{
		of("Type", "The type of the Secret.", func(s *corev1.Secret) any { return string(s.Type) }),
		of("Data", "The number of entries.", func(s *corev1.Secret) any { return len(s.Data) }),
		age(),
	}
}

func namespaceColumns() []column {
	return []column{
		of("Status", "The phase of the Namespace.", func(n *corev1.Namespace) any { return string(n.Status.Phase) }),
		age(),
	}
}

func eventColumns() []column {
	return []column{
		of("Last Seen", "The time since the Event, or its series, was seen last.", func(e *eventsv1.Event) any {
			switch {
			case e.Series != nil:
				return metav1.Time(e.Series.LastObservedTime)
			case !e.EventTime.IsZero():
				return metav1.Time(e.EventTime)
			}
			return e.DeprecatedLastTimestamp
		}),
		of("Type", "Normal or Warning.", func(e *eventsv1.Event) any { return e.Type }),
		of("Reason", "Why it happened.", func(e *eventsv1.Event) any { return e.Reason }),
		of("Object", "What it is about.", func(e *eventsv1.Event) any {
			return strings.ToLower(e.Regarding.Kind) + "/" + e.Regarding.Name
		}),
		of("Message", "What happened.", func(e *eventsv1.Event) any { return strings.TrimSpace(e.Note) }),
	}
}

func endpointSliceColumns() []column {
	return []column{
		of("AddressType", "The family of the addresses.", func(e *discoveryv1.EndpointSlice) any { return string(e.AddressType) }),
		of("Ports", "The ports.", func(e *discoveryv1.EndpointSlice) any {
			ports := map[string]bool{}
			for _, p := range e.Ports {
				if p.Port != nil {
					ports[fmt.Sprint(*p.Port)] = true
				}
			}
			return strings.Join(slices.Sorted(maps.Keys(ports)), ",")
		}),
		of("Endpoints", "The first addresses.", func(e *discoveryv1.EndpointSlice) any {
			var addresses []string
			for _, p := range e.Endpoints {
				addresses = append(addresses, p.Addresses...)
			}
			if n := len(addresses); n > 3 {
				return fmt.Sprintf("%s + %d more...", strings.Join(addresses[:3], ","), n-3)
			}
			return strings.Join(addresses, ",")
		}),
		age(),
	}
}
