package rollout

import (
	"encoding/binary"
	"hash/fnv"
	"io"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/utils/dump"
)

// Annotations that a Deployment controller writes on ReplicaSets. It writes the first
// one on the Deployment as well.
const (
	// RevisionAnnotation numbers the templates of a Deployment.
	RevisionAnnotation = "deployment.kubernetes.io/revision"
	// RevisionHistoryAnnotation lists the earlier revisions of a ReplicaSet to which
	// the Deployment was rolled back.
	RevisionHistoryAnnotation = "deployment.kubernetes.io/revision-history"
	// DesiredReplicasAnnotation is the Deployment's size when the ReplicaSet was last
	// resized. If it differs from the current size, the Deployment was scaled.
	DesiredReplicasAnnotation = "deployment.kubernetes.io/desired-replicas"
	// MaxReplicasAnnotation is that size plus the surge at that time. A ReplicaSet's
	// share of the Deployment is its own size divided by this.
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
	ReasonInvalid               = "InvalidDeployment" // nothing happens until the spec changes
	ReasonPaused                = "DeploymentPaused"
	ReasonResumed               = "DeploymentResumed"
)

// Reasons of the condition Available.
const (
	ReasonAvailable   = "MinimumReplicasAvailable"
	ReasonUnavailable = "MinimumReplicasUnavailable"
)

// Reasons of events. A failure to create a ReplicaSet has the reason
// ReasonReplicaSetCreateError.
const (
	ReasonScaling      = "ScalingReplicaSet"
	ReasonSelectingAll = "SelectingAll"
)

const hashLabel = appsv1.DefaultDeploymentUniqueLabelKey

func kind() schema.GroupVersionKind { return appsv1.SchemeGroupVersion.WithKind("Deployment") }

// ownAnnotation reports whether an annotation describes the object that has it, so that
// it must not be copied from the Deployment to a ReplicaSet.
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

const maxNameLength = 253

// Name returns the name of a Deployment's ReplicaSet with the given hash. It shortens a
// long Deployment name so that the result is valid, unless the hash leaves no room.
func Name(deployment, hash string) string {
	if room := maxNameLength - 1 - len(hash); room > 0 && len(deployment) > room {
		deployment = deployment[:room]
	}
	return deployment + "-" + hash
}

// Hash returns a hash of a template and a collision count. The count separates
// templates with the same hash; nil and 0 are different counts.
//
// The hash covers the Go struct, not its encoding. A new field in the API therefore
// changes the hash even of templates that do not use it. To find the ReplicaSet of a
// template, compare templates, not hashes.
func Hash(template *corev1.PodTemplateSpec, collisionCount *int32) string {
	h := fnv.New32a()
	io.WriteString(h, dump.ForHash(*template))
	if collisionCount != nil {
		// Kubernetes hashes eight bytes for this four-byte number.
		var count [8]byte
		binary.LittleEndian.PutUint32(count[:], uint32(*collisionCount))
		h.Write(count[:])
	}
	return rand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10))
}
