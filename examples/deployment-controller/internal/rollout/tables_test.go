package rollout

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var now = time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

func value(text string) *intstr.IntOrString {
	if text == "" {
		return nil
	}
	v := intstr.Parse(text)
	return &v
}

// deployment returns a rolling Deployment with fenceposts in text form.
func deployment(replicas int32, maxSurge, maxUnavailable string) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ns", UID: "web-uid", Generation: 1},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: template("v1"),
			Strategy: appsv1.DeploymentStrategy{
				Type: appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{
					MaxSurge: value(maxSurge), MaxUnavailable: value(maxUnavailable),
				},
			},
		},
	}
}

func recreating(replicas int32) *appsv1.Deployment {
	d := deployment(replicas, "", "")
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	return d
}

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: image}}},
	}
}

func limitsFor(t *testing.T, d *appsv1.Deployment) limits {
	t.Helper()
	l, err := limitsOf(d)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// set returns a ReplicaSet of a size; the age orders it among others.
func set(name string, replicas int32, age time.Duration) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age))},
		Spec:       appsv1.ReplicaSetSpec{Replicas: &replicas},
	}
}

func withStatus(rs *appsv1.ReplicaSet, replicas, available int32) *appsv1.ReplicaSet {
	rs.Status.Replicas, rs.Status.ReadyReplicas, rs.Status.AvailableReplicas = replicas, available, available
	return rs
}

func setNames(sets []*appsv1.ReplicaSet) []string {
	names := []string{}
	for _, rs := range sets {
		names = append(names, rs.Name)
	}
	return names
}

func TestNextSize(t *testing.T) {
	tests := []struct {
		name                                          string
		recreate                                      bool
		replicas, newReplicas, maxSurge, others, want int32
	}{
		{"can not scale up - to newRSReplicas", false, 1, 5, 1, 5, 5},
		{"scale up - to depReplicas", false, 6, 2, 10, 5, 6},
		{"recreate - to depReplicas", true, 3, 1, 1, 5, 3},
		{"room for some", false, 10, 2, 3, 9, 6},
		{"more than wanted", false, 3, 5, 10, 5, 3},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			l := limits{rolling: !tc.recreate, replicas: tc.replicas, surge: tc.maxSurge, unavailable: 1}
			if got := nextSize(l, tc.others, tc.newReplicas); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestResolveFenceposts(t *testing.T) {
	tests := []struct {
		maxSurge, maxUnavailable    string
		desired, surge, unavailable int32
		wantErr                     string
	}{
		{"0%", "0%", 0, 0, 1, ""},
		{"39%", "39%", 10, 4, 3, ""},
		{"oops", "39%", 10, 0, 0, "maxSurge"},
		{"55%", "urg", 10, 0, 0, "maxUnavailable"},
		{"", "39%", 10, 0, 3, ""},
		{"39%", "", 10, 4, 0, ""},
		{"", "", 10, 0, 1, ""},
		{"25%", "25%", 10, 3, 2, ""},
		{"1%", "99%", 1, 1, 0, ""},
		{"200%", "0", 3, 6, 0, ""},
		{"-1", "1", 10, 0, 0, "negative"},
		{"1", "-5%", 10, 0, 0, "negative"},
	}
	for _, tc := range tests {
		t.Run(tc.maxSurge+" "+tc.maxUnavailable, func(t *testing.T) {
			surge, unavailable, err := resolveFenceposts(value(tc.maxSurge), value(tc.maxUnavailable), tc.desired)
			if surge != tc.surge || unavailable != tc.unavailable {
				t.Errorf("got %d and %d, want %d and %d", surge, unavailable, tc.surge, tc.unavailable)
			}
			if (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("error %v, want %q", err, tc.wantErr)
			}
		})
	}
}

func TestMaxUnavailable(t *testing.T) {
	tests := []struct {
		name           string
		d              *appsv1.Deployment
		want, minAvail int32
	}{
		{"less than replicas", deployment(10, "1", "5"), 5, 5},
		{"equal replicas", deployment(10, "1", "10"), 10, 0},
		{"greater than replicas", deployment(5, "1", "10"), 5, 0},
		{"replicas is 0", deployment(0, "1", "10"), 0, 0},
		{"Recreate", recreating(10), 0, 0},
		{"50%", deployment(10, "1", "50%"), 5, 5},
		{"60%", deployment(10, "1", "60%"), 6, 4},
		{"100%", deployment(10, "1", "100%"), 10, 0},
		{"100% of 5", deployment(5, "1", "100%"), 5, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, unavailable, err := Fenceposts(tc.d)
			if err != nil || unavailable != tc.want {
				t.Errorf("unavailable %d error %v, want %d", unavailable, err, tc.want)
			}
			if got := limitsFor(t, tc.d).least(); got != tc.minAvail {
				t.Errorf("available at least %d, want %d", got, tc.minAvail)
			}
		})
	}
}

func TestLimitsDoNotOverflow(t *testing.T) {
	l := limitsFor(t, deployment(math.MaxInt32, "100%", "0"))
	if l.most() != math.MaxInt32 {
		t.Errorf("most %d", l.most())
	}
}

func TestFraction(t *testing.T) {
	tests := []struct {
		name                            string
		replicas, status, surge, rsSize int32
		annotation                      string
		want                            int32
	}{
		{"empty deployment always scales to 0", 0, 0, 0, 10, "", -10},
		{"unsynced, annotation missing", 10, 0, 0, 5, "", 0},
		{"unsynced, annotation 0", 10, 0, 0, 5, "0", 0},
		{"up 1/5, annotation missing", 120, 100, 0, 50, "", 10},
		{"up 1/5, annotation 0", 120, 100, 0, 50, "0", 10},
		{"up 1/5", 120, 0, 0, 50, "100", 10},
		{"up 1/5 with maxSurge", 120, 0, 10, 50, "110", 9},
		{"down 1/6", 10, 0, 0, 6, "12", -1},
		{"down 1/6 with maxSurge", 100, 0, 10, 50, "130", -8},
		{"annotation invalid", 120, 100, 0, 50, "many", 10},
		{"half away from zero", 5, 0, 0, 1, "2", 2},
		{"share beyond any number", math.MaxInt32, 0, 0, math.MaxInt32, "1", 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			rs := set("rs", tc.rsSize, 0)
			if tc.annotation != "" {
				rs.Annotations = map[string]string{MaxReplicasAnnotation: tc.annotation}
			}
			l := limits{rolling: true, replicas: tc.replicas, surge: tc.surge, unavailable: 1}
			if got := fraction(l, tc.status, rs); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestCountAnnotation(t *testing.T) {
	tests := []struct {
		value *string
		want  int32
		ok    bool
	}{
		{nil, 0, false},
		{ptr("invalid"), 0, false},
		{ptr("-1"), 0, false},
		{ptr("0"), 0, true},
		{ptr("13"), 13, true},
		{ptr("2147483647"), math.MaxInt32, true},
		{ptr("2147483648"), 0, false},
		{ptr("4294967296"), 0, false},
	}
	for _, tc := range tests {
		rs := set("rs", 1, 0)
		if tc.value != nil {
			rs.Annotations = map[string]string{DesiredReplicasAnnotation: *tc.value}
		}
		if got, ok := countAnnotation(rs, DesiredReplicasAnnotation); got != tc.want || ok != tc.ok {
			t.Errorf("%v: got %d %v, want %d %v", rs.Annotations, got, ok, tc.want, tc.ok)
		}
	}
}

func TestRevisionHistory(t *testing.T) {
	d, rs := deployment(1, "", ""), set("rs", 1, 0)
	want := map[int64]string{11: "", 12: "11", 13: "11,12", 14: "12,13", 15: "13,14", 16: "14,15", 17: "15,16", 18: "16,17", 19: "17,18", 20: "18,19"}
	for revision := int64(11); revision <= 20; revision++ {
		if !setAnnotations(d, rs, revision, 5) {
			t.Errorf("revision %d: said to change nothing", revision)
		}
		if got := rs.Annotations[RevisionAnnotation]; got != strconv.FormatInt(revision, 10) {
			t.Errorf("revision %d: is %s", revision, got)
		}
		if got := rs.Annotations[RevisionHistoryAnnotation]; got != want[revision] {
			t.Errorf("revision %d: history %q, want %q", revision, got, want[revision])
		}
	}
}

func TestAppendHistory(t *testing.T) {
	tests := []struct {
		history, revision string
		length            int
		want              string
	}{
		{"", "1", 5, "1"},
		{"1", "2", 5, "1,2"},
		{"1,2", "345", 5, "2,345"},
		{"1,2", "34567", 5, "34567"},
		{"1,2", "345678", 5, "1,2"},
	}
	for _, tc := range tests {
		if got := appendHistory(tc.history, tc.revision, tc.length); got != tc.want {
			t.Errorf("%q and %q: got %q, want %q", tc.history, tc.revision, got, tc.want)
		}
	}
}

func TestSetAnnotations(t *testing.T) {
	d := deployment(1, "", "")
	d.Annotations = map[string]string{
		"note": "x", "empty": "", corev1.LastAppliedConfigAnnotation: "{}", appsv1.DeprecatedRollbackTo: "1",
		RevisionAnnotation: "9", RevisionHistoryAnnotation: "8", DesiredReplicasAnnotation: "7", MaxReplicasAnnotation: "6",
	}
	rs := set("rs", 1, 0)
	rs.Annotations = map[string]string{RevisionAnnotation: "5", "mine": "y"}
	if !setAnnotations(d, rs, 4, maxHistoryLength) {
		t.Error("said to change nothing")
	}
	want := "map[deployment.kubernetes.io/revision:5 empty: mine:y note:x]"
	if got := fmt.Sprint(rs.Annotations); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if setAnnotations(d, rs, 5, maxHistoryLength) {
		t.Error("said to change what is up to date")
	}
	rs.Annotations[RevisionAnnotation] = "five"
	if setAnnotations(d, rs, 6, maxHistoryLength) || rs.Annotations[RevisionAnnotation] != "five" {
		t.Error("a revision that cannot be read must be left")
	}
}

func TestSetSizeAnnotations(t *testing.T) {
	tests := []struct {
		desired, most string
		want          bool
	}{
		{"", "", true},
		{"8", "20", true},
		{"10", "16", true},
		{"10", "20", false},
	}
	for _, tc := range tests {
		rs := set("rs", 1, 0)
		if tc.desired != "" {
			rs.Annotations = map[string]string{DesiredReplicasAnnotation: tc.desired, MaxReplicasAnnotation: tc.most}
		}
		if got := setSizeAnnotations(rs, limits{rolling: true, replicas: 10, surge: 10}); got != tc.want {
			t.Errorf("%s of %s: changed %v, want %v", tc.desired, tc.most, got, tc.want)
		}
		if rs.Annotations[DesiredReplicasAnnotation] != "10" || rs.Annotations[MaxReplicasAnnotation] != "20" {
			t.Errorf("%s of %s: became %v", tc.desired, tc.most, rs.Annotations)
		}
	}
}

func TestFind(t *testing.T) {
	make := func(name, image, hash string, age time.Duration, size int32) *appsv1.ReplicaSet {
		rs := set(name, size, age)
		rs.Spec.Template = template(image)
		rs.Spec.Template.Labels[hashLabel] = hash
		return rs
	}
	tests := []struct {
		name    string
		sets    []*appsv1.ReplicaSet
		wantNew string
		wantOld []string
		running []string
	}{
		{"same template, different hash label value",
			[]*appsv1.ReplicaSet{make("newRS", "v1", "x", 0, 0), make("oldRS", "v0", "y", time.Hour, 0)}, "newRS", []string{"oldRS"}, []string{}},
		{"two with same template",
			[]*appsv1.ReplicaSet{make("newRS", "v1", "x", 0, 1), make("oldRS", "v0", "y", 2*time.Hour, 0), make("newRSDup", "v1", "z", time.Hour, 0)},
			"newRSDup", []string{"oldRS", "newRS"}, []string{"newRS"}},
		{"none", []*appsv1.ReplicaSet{make("oldRS", "v0", "y", 0, 0)}, "", []string{"oldRS"}, []string{}},
		{"same age: by name",
			[]*appsv1.ReplicaSet{make("b", "v1", "x", 0, 0), make("a", "v1", "y", 0, 0)}, "a", []string{"b"}, []string{}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			want := template("v1")
			newRS, old := find(&want, tc.sets)
			got := ""
			if newRS != nil {
				got = newRS.Name
			}
			if got != tc.wantNew || !slices.Equal(setNames(old), tc.wantOld) || !slices.Equal(setNames(active(old)), tc.running) {
				t.Errorf("new %q old %v with replicas %v, want %q %v %v", got, setNames(old), setNames(active(old)), tc.wantNew, tc.wantOld, tc.running)
			}
		})
	}
}

func TestEqualIgnoringHash(t *testing.T) {
	type labels map[string]string
	make := func(name, node string, annotations, l labels) *corev1.PodTemplateSpec {
		return &corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: l, Annotations: annotations},
			Spec:       corev1.PodSpec{NodeName: node},
		}
	}
	both := func(hash string) labels { return labels{hashLabel: hash, "something": "else"} }
	tests := []struct {
		name           string
		former, latter *corev1.PodTemplateSpec
		want           bool
	}{
		{"same spec, same labels", make("foo", "foo-node", nil, both("value-1")), make("foo", "foo-node", nil, both("value-1")), true},
		{"only hash value differs", make("foo", "foo-node", nil, both("value-1")), make("foo", "foo-node", nil, both("value-2")), true},
		{"former has no hash", make("foo", "foo-node", nil, labels{"something": "else"}), make("foo", "foo-node", nil, both("value-2")), true},
		{"label differs, former no hash, same count", make("foo", "foo-node", nil, labels{"something": "else"}), make("foo", "foo-node", nil, labels{hashLabel: "value-2"}), false},
		{"label differs, latter no hash, same count", make("foo", "foo-node", nil, labels{hashLabel: "value-1"}), make("foo", "foo-node", nil, labels{"something": "else"}), false},
		{"label differs, same hash", make("foo", "foo-node", nil, labels{hashLabel: "value-1"}), make("foo", "foo-node", nil, both("value-1")), false},
		{"annotations differ", make("foo", "foo-node", labels{"former": "value"}, both("value-1")), make("foo", "foo-node", labels{"latter": "value"}, both("value-1")), false},
		{"template name differs, hash differs", make("foo-1", "foo-node", nil, both("value-1")), make("foo-2", "foo-node", nil, both("value-2")), false},
		{"name and node differ, former no hash", make("foo-1", "foo-node-1", nil, labels{"something": "else"}), make("foo-2", "foo-node-2", nil, both("value-2")), false},
		{"node and labels differ", make("foo", "foo-node-1", nil, labels{"something": "else"}), make("foo", "foo-node-2", nil, labels{"nothing": "else"}), false},
		{"no labels and only the hash", make("foo", "foo-node", nil, nil), make("foo", "foo-node", nil, labels{hashLabel: "value-1"}), true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			former, latter := tc.former.DeepCopy(), tc.latter.DeepCopy()
			if got := equalIgnoringHash(former, latter); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if got := equalIgnoringHash(latter, former); got != tc.want {
				t.Errorf("the other way round: got %v, want %v", got, tc.want)
			}
			if len(former.Labels) != len(tc.former.Labels) || len(latter.Labels) != len(tc.latter.Labels) {
				t.Error("labels were changed")
			}
		})
	}
}

func TestCounts(t *testing.T) {
	make := func(spec, status int32, terminating *int32, observed int64) *appsv1.ReplicaSet {
		rs := withStatus(set("rs", spec, 0), status, 0)
		rs.Status.TerminatingReplicas, rs.Status.ObservedGeneration = terminating, observed
		return rs
	}
	rs1, rs2 := make(1, 2, ptr[int32](3), 1), make(2, 3, ptr[int32](1), 0)
	rs3, rs4 := make(3, 0, nil, 0), make(1, 1, nil, 1)
	tests := []struct {
		sets         []*appsv1.ReplicaSet
		spec, status int32
		terminating  *int32
	}{
		{[]*appsv1.ReplicaSet{rs1}, 1, 2, ptr[int32](3)},
		{[]*appsv1.ReplicaSet{rs1, rs2}, 3, 5, ptr[int32](4)},
		{[]*appsv1.ReplicaSet{rs3}, 3, 0, ptr[int32](0)},
		{[]*appsv1.ReplicaSet{rs1, rs2, rs3}, 6, 5, ptr[int32](4)},
		{[]*appsv1.ReplicaSet{rs4}, 1, 1, nil},
		{[]*appsv1.ReplicaSet{rs1, rs2, rs3, rs4}, 7, 6, nil},
	}
	for i, tc := range tests {
		if got := sum(tc.sets, size); got != tc.spec {
			t.Errorf("%d: spec %d, want %d", i, got, tc.spec)
		}
		if got := sum(tc.sets, statusReplicas); got != tc.status {
			t.Errorf("%d: status %d, want %d", i, got, tc.status)
		}
		got := terminating(tc.sets)
		if (got == nil) != (tc.terminating == nil) || got != nil && *got != *tc.terminating {
			t.Errorf("%d: terminating %v, want %v", i, got, tc.terminating)
		}
	}
}

func TestName(t *testing.T) {
	r := strings.Repeat
	tests := []struct{ deployment, hash, want string }{
		{"my-deployment", "abcde12345", "my-deployment-abcde12345"},
		{r("a", 242), "abcde12345", r("a", 242) + "-abcde12345"},
		{r("b", 250), "abcde12345", r("b", 242) + "-abcde12345"},
		{r("d", 252), r("h", 252), r("d", 252) + "-" + r("h", 252)},
		{r("e", 252), r("h", 251), "e-" + r("h", 251)},
	}
	for _, tc := range tests {
		if got := Name(tc.deployment, tc.hash); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

func TestHash(t *testing.T) {
	v1, v2 := template("v1"), template("v2")
	if Hash(&v1, nil) != Hash(v1.DeepCopy(), nil) {
		t.Error("equal templates have different hashes")
	}
	different := map[string]bool{
		Hash(&v1, nil): true, Hash(&v2, nil): true, Hash(&v1, ptr[int32](0)): true, Hash(&v1, ptr[int32](1)): true,
	}
	if len(different) != 4 {
		t.Errorf("hashes are not different: %v", different)
	}
	for hash := range different {
		if strings.Trim(hash, "bcdfghjklmnpqrstvwxz2456789") != "" {
			t.Errorf("hash %q is not of the safe alphabet", hash)
		}
	}
}
