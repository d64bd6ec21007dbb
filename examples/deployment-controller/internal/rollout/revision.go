package rollout

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxHistoryLength bounds the revision-history annotation, in characters.
const maxHistoryLength = 2000

// maxRevisionNumber is the highest revision that counts. No Deployment gets there by
// rollouts: a higher number was written by hand.
const maxRevisionNumber = 1_000_000_000_000_000

// revisionOf returns an object's revision. It returns 0 without an annotation, and false
// if the annotation is not a number from 0 to maxRevisionNumber.
func revisionOf(object metav1.Object) (revision int64, ok bool) {
	text := object.GetAnnotations()[RevisionAnnotation]
	if text == "" {
		return 0, true
	}
	revision, err := strconv.ParseInt(text, 10, 64)
	if err != nil || revision < 0 || revision > maxRevisionNumber {
		return 0, false
	}
	return revision, true
}

// isNumber reports whether a revision is a number, of whatever size.
func isNumber(revision string) bool {
	_, err := strconv.ParseInt(revision, 10, 64)
	return err == nil || errors.Is(err, strconv.ErrRange)
}

func maxRevision(sets []*appsv1.ReplicaSet) int64 {
	highest := int64(0)
	for _, rs := range sets {
		revision, _ := revisionOf(rs)
		highest = max(highest, revision)
	}
	return highest
}

// setAnnotations copies the Deployment's annotations to the new ReplicaSet and sets its
// revision. It reports whether anything changed.
//
// A revision only ever rises, because clients may have seen it. If it rises, the
// Deployment was rolled back to this ReplicaSet, and the previous revision moves to the
// history. A revision that is a number but cannot count is replaced; one that is no
// number stays as it is.
func setAnnotations(d *appsv1.Deployment, rs *appsv1.ReplicaSet, revision int64, historyLength int) bool {
	changed := copyAnnotations(d, rs)
	had := rs.Annotations[RevisionAnnotation]
	current, ok := revisionOf(rs)
	if ok && current >= revision || !ok && !isNumber(had) {
		return changed
	}
	if had != "" {
		history := appendHistory(rs.Annotations[RevisionHistoryAnnotation], had, historyLength)
		rs.Annotations[RevisionHistoryAnnotation] = history
	}
	rs.Annotations[RevisionAnnotation] = strconv.FormatInt(revision, 10)
	return true
}

// copyAnnotations copies the Deployment's annotations, except those that describe the
// Deployment itself. It removes none: an annotation on the ReplicaSet may be its own.
func copyAnnotations(d *appsv1.Deployment, rs *appsv1.ReplicaSet) bool {
	if rs.Annotations == nil {
		rs.Annotations = make(map[string]string)
	}
	changed := false
	for key, value := range d.Annotations {
		if had, ok := rs.Annotations[key]; ownAnnotation(key) || ok && had == value {
			continue
		}
		rs.Annotations[key] = value
		changed = true
	}
	return changed
}

// appendHistory appends a revision to a list and drops the oldest entries until the list
// fits into length. If even the revision alone does not fit, the list does not change.
func appendHistory(history, revision string, length int) string {
	if history == "" {
		return revision
	}
	if len(revision) > length {
		return history
	}
	entries := strings.Split(history+","+revision, ",")
	total := len(history) + 1 + len(revision)
	for total > length {
		total -= len(entries[0]) + 1
		entries = entries[1:]
	}
	return strings.Join(entries, ",")
}

// surplus returns the old ReplicaSets beyond the Deployment's history limit: those with
// the lowest revisions and, among equals, the oldest. It keeps a ReplicaSet that has
// Pods, or may have Pods that its controller has not reported yet.
func surplus(d *appsv1.Deployment, old []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	limit := d.Spec.RevisionHistoryLimit
	if limit == nil || *limit == math.MaxInt32 {
		return nil
	}
	alive := slices.DeleteFunc(slices.Clone(old), func(rs *appsv1.ReplicaSet) bool { return rs.DeletionTimestamp != nil })
	excess := len(alive) - int(*limit)
	if excess <= 0 {
		return nil
	}
	sortByRevision(alive)
	return slices.DeleteFunc(alive[:min(excess, len(alive))], func(rs *appsv1.ReplicaSet) bool { return !unused(rs) })
}

func unused(rs *appsv1.ReplicaSet) bool {
	return size(rs) == 0 && rs.Status.Replicas == 0 && rs.Generation <= rs.Status.ObservedGeneration
}

// sortByRevision puts the lowest revision first and, among equals, the oldest. A
// ReplicaSet whose revision cannot count gets the highest of those that are older.
func sortByRevision(sets []*appsv1.ReplicaSet) {
	slices.SortFunc(sets, compareAge)
	revisions, highest := make(map[*appsv1.ReplicaSet]int64, len(sets)), int64(0)
	for _, rs := range sets {
		revision, ok := revisionOf(rs)
		if highest = max(highest, revision); !ok {
			revision = highest
		}
		revisions[rs] = revision
	}
	slices.SortStableFunc(sets, func(a, b *appsv1.ReplicaSet) int { return cmp.Compare(revisions[a], revisions[b]) })
}
