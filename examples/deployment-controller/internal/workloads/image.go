package workloads

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// pullPolicy returns the default for an image: what is tagged latest may change and is always pulled. So is what has
// neither tag nor digest, since it means latest.
func pullPolicy(image string) corev1.PullPolicy {
	name, _, hasDigest := strings.Cut(image, "@")
	// A colon before the last slash belongs to the port of a registry.
	_, tag, hasTag := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":")
	if image != "" && (tag == "latest" || !hasTag && !hasDigest) {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}
