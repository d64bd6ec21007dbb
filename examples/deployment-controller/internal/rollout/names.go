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

const maxNameLength = 253

// Name is the name of a Deployment's ReplicaSet with the given hash. A long
// Deployment name is cut so that the whole is a valid name; with a hash that
// leaves no room there is nothing to be had by cutting.
func Name(deployment, hash string) string {
	if room := maxNameLength - 1 - len(hash); room > 0 && len(deployment) > room {
		deployment = deployment[:room]
	}
	return deployment + "-" + hash
}

// Hash names a template: the same template and count give the same hash.
// collisionCount tells apart templates whose hashes are the same; nil and 0 are
// different counts.
//
// The hash covers the Go struct, not its encoded form, so a field added to the
// API changes the hash of templates that do not use it. Compare templates, not
// hashes, to find the ReplicaSet of a template.
func Hash(template *corev1.PodTemplateSpec, collisionCount *int32) string {
	h := fnv.New32a()
	io.WriteString(h, dump.ForHash(*template))
	if collisionCount != nil {
		// Eight bytes for a four-byte number, as every hash written so far has.
		var count [8]byte
		binary.LittleEndian.PutUint32(count[:], uint32(*collisionCount))
		h.Write(count[:])
	}
	return rand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10))
}
