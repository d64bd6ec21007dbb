package rollout

import (
	"encoding/binary"
	"hash/fnv"
	"io"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/utils/dump"
)

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
