package controllers

import (
	"hash/fnv"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Annotations of Pods that make the hollow node fail. Write them into a Deployment's
// template.
const (
	// CrashAnnotation is the probability, from 0 to 1, that the containers crash instead
	// of becoming ready. They restart after a time that doubles with each crash, unless
	// the Pod's restartPolicy is Never.
	CrashAnnotation = "hollow-node.example.com/crash"
	// FailAnnotation is the probability that the Pod fails for good instead of becoming
	// ready.
	FailAnnotation = "hollow-node.example.com/fail"
	// StopAnnotation is how long the containers take to stop, as in "3s". Those that take
	// longer than the grace period are killed at its end. Defaults to 0.
	StopAnnotation = "hollow-node.example.com/stop"
)

// outcome is how a start of the containers ends.
type outcome int

const (
	becomesReady outcome = iota
	crashes
	fails
)

// outcomeOf decides how a start ends. It depends only on the seed, the Pod's name and the
// number of its restarts, so that a repeated reconcile decides the same.
func outcomeOf(seed int64, pod *corev1.Pod) outcome {
	failing, crashing := probability(pod, FailAnnotation), probability(pod, CrashAnnotation)
	if failing == 0 && crashing == 0 {
		return becomesReady
	}
	switch drawn := draw(seed, pod.Name, restartsOf(pod)); {
	case drawn < failing:
		return fails
	case drawn >= failing+crashing:
		return becomesReady
	case pod.Spec.RestartPolicy == corev1.RestartPolicyNever:
		return fails
	}
	return crashes
}

// draw returns a number from 0 up to 1.
func draw(seed int64, name string, restarts int32) float64 {
	h := fnv.New64a()
	h.Write(strconv.AppendInt(strconv.AppendInt(append([]byte(name), '/'), seed, 10), int64(restarts), 36)) //nolint:errcheck // It never fails.
	mixed := h.Sum64()
	mixed ^= mixed >> 33 // the last bytes hardly reach the upper bits
	mixed *= 0xff51afd7ed558ccd
	mixed ^= mixed >> 33
	return float64(mixed>>11) / (1 << 53)
}

// probability reads an annotation. What is no number counts as 0.
func probability(pod *corev1.Pod, annotation string) float64 {
	p, err := strconv.ParseFloat(pod.Annotations[annotation], 64)
	if err != nil || !(p > 0) {
		return 0
	}
	return min(p, 1)
}

// restartsOf returns how often the containers of a Pod have restarted.
func restartsOf(pod *corev1.Pod) int32 {
	restarts := int32(0)
	for _, status := range pod.Status.ContainerStatuses {
		restarts = max(restarts, status.RestartCount)
	}
	return restarts
}

// maxDoublings bounds how often the time of a start doubles.
const maxDoublings = 5

// startTime returns how long the containers take to start: after a crash, they wait first.
func startTime(delay time.Duration, restarts int32) time.Duration {
	return delay << min(restarts, maxDoublings)
}

// stopTime returns how long the containers of a dying Pod still run, from the time of its
// deletion. It is at most the grace period.
func stopTime(pod *corev1.Pod) time.Duration {
	grace := time.Duration(0)
	if seconds := pod.DeletionGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	stop, err := time.ParseDuration(pod.Annotations[StopAnnotation])
	if err != nil {
		return 0
	}
	return max(0, min(stop, grace))
}
