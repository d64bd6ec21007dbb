package main

import (
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// deploymentPrefix is the default key prefix of Deployments.
const deploymentPrefix = "/registry/apps/deployments/"

// groupSize is the number of objects in a namespace. apps is the number of values of the
// indexed label.
const (
	groupSize = 100
	apps      = 100
)

func deploymentName(i int) types.NamespacedName {
	return types.NamespacedName{Namespace: fmt.Sprintf("team-%05d", i/groupSize), Name: fmt.Sprintf("web-%07d", i)}
}

func deploymentKey(i int) string { return deploymentPrefix + deploymentName(i).String() }

// newDeployment returns a Deployment with about 1 KiB of JSON. Versions differ in the
// status.
func newDeployment(i, version int) *appsv1.Deployment {
	name := deploymentName(i)
	app := fmt.Sprintf("app-%04d", i%apps)
	labels := map[string]string{"app.kubernetes.io/name": app}
	replicas := int32(3)
	port := intstr.FromInt32(8080)
	return &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: name.Namespace, Name: name.Name, Generation: 1, Labels: labels,
			UID:               types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", i, i)),
			CreationTimestamp: metav1.NewTime(time.Unix(1_750_000_000, 0).UTC()),
		},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "web", Image: fmt.Sprintf("images.example.com/web/server:1.%d", i%10),
					Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
					Env:   []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}},
					Resources: corev1.ResourceRequirements{
						Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
					},
					ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: port}}},
				}}},
			},
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType},
		},
		Status: appsv1.DeploymentStatus{
			ObservedGeneration: int64(1 + version), Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3,
			Conditions: []appsv1.DeploymentCondition{{
				Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable",
				Message: "Deployment has minimum availability.", LastTransitionTime: metav1.NewTime(time.Unix(1_750_000_060, 0).UTC()),
			}},
		},
	}
}

func encodeDeployment(i, version int) []byte {
	value, err := json.Marshal(newDeployment(i, version))
	if err != nil {
		panic(err) // it is always the same type
	}
	return value
}
