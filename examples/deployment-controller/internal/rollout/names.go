package rollout

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Annotations that a Deployment controller writes on ReplicaSets, the first one
// also on the Deployment.
const (
	// RevisionAnnotation counts the templates that were rolled out.
	RevisionAnnotation = "deployment.kubernetes.io/revision"
	// RevisionHistoryAnnotation lists the earlier revisions of a ReplicaSet that
	// was rolled back to.
	RevisionHistoryAnnotation = "deployment.kubernetes.io/revision-history"
	// DesiredReplicasAnnotation is the Deployment's size when the ReplicaSet was
	// last resized. Where it differs from the size now, the Deployment was
	// scaled.
	DesiredReplicasAnnotation = "deployment.kubernetes.io/desired-replicas"
	// MaxReplicasAnnotation is that size and the surge then. A ReplicaSet's
	// share of the Deployment is its own size by this.
	MaxReplicasAnnotation = "deployment.kubernetes.io/max-replicas"
)

// Reasons of the condition Progressing.
const (
	ReasonReplicaSetCreated     = "NewReplicaSetCreated"
	ReasonReplicaSetFound       = "FoundNewReplicaSet"
	ReasonReplicaSetUpdated     = "ReplicaSetUpdated"
	ReasonReplicaSetAvailable   = "NewReplicaSetAvailable"
	ReasonReplicaSetCreateError = "ReplicaSetCreateError"
	ReasonTimedOut              = "ProgressDeadlineExceeded"
	ReasonPaused                = "DeploymentPaused"
	ReasonResumed               = "DeploymentResumed"
)

// Reasons of the condition Available.
const (
	ReasonAvailable   = "MinimumReplicasAvailable"
	ReasonUnavailable = "MinimumReplicasUnavailable"
)

// Reasons of events. A failure to create a ReplicaSet is an event with
// ReasonReplicaSetCreateError.
const (
	ReasonScaling      = "ScalingReplicaSet"
	ReasonSelectingAll = "SelectingAll"
)

const hashLabel = appsv1.DefaultDeploymentUniqueLabelKey

func kind() schema.GroupVersionKind { return appsv1.SchemeGroupVersion.WithKind("Deployment") }

// ownAnnotation tells whether an annotation is about the object it is on and
// must not be copied from the Deployment to a ReplicaSet.
func ownAnnotation(key string) bool {
	switch key {
	case corev1.LastAppliedConfigAnnotation,
		RevisionAnnotation,
		RevisionHistoryAnnotation,
		DesiredReplicasAnnotation,
		MaxReplicasAnnotation,
		appsv1.DeprecatedRollbackTo:
		return true
	}
	return false
}
