package progress_test

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/progress"
)

// clock returns a time that is 100 ms later with each call.
func clock() func() time.Time {
	now := time.Date(2026, 1, 2, 12, 0, 1, 134e6, time.UTC)
	return func() time.Time {
		now = now.Add(100 * time.Millisecond)
		return now
	}
}

func width(n int) func() int { return func() int { return n } }

// steps are the states of a rollout to which each Update of a test leads.
func steps() []progress.State {
	at := func(rev int64, deployments ...*appsv1.Deployment) progress.State {
		return progress.State{Revision: rev, Deployments: deployments}
	}
	other := deployment("web", 7, 1, status{updated: 1, ready: 1, available: 1, total: 1, reason: "NewReplicaSetAvailable"})
	gone := at(46, other)
	gone.Deleted = []types.NamespacedName{{Namespace: "default", Name: "nginx"}, {Namespace: "default", Name: "never-shown"}}
	return []progress.State{
		at(41),
		at(42, deployment("nginx", 1, 3, status{updated: 2, ready: 1, available: 1, total: 2, reason: "ReplicaSetUpdated"})),
		at(43, deployment("nginx", 1, 3, status{updated: 2, ready: 1, available: 1, total: 2, reason: "ReplicaSetUpdated"})),
		at(44, other, deployment("nginx", 1, 3, status{updated: 3, ready: 2, available: 1, total: 3, reason: "ReplicaSetUpdated"})),
		at(45, other, deployment("nginx", 1, 3, status{updated: 3, ready: 3, available: 3, total: 3, reason: "NewReplicaSetAvailable"})),
		gone,
		at(47, other),
		at(48, deployment("nginx", 1, 3, status{updated: 3, ready: 3, available: 3, total: 3, reason: "NewReplicaSetAvailable"})),
	}
}

func TestLines(t *testing.T) {
	var b strings.Builder
	d := progress.New(&b, false, width(20), clock())
	for i, s := range steps() {
		d.Update(s)
		if i == 2 {
			d.Note("nginx is\x07 configured")
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d.Update(progress.State{Revision: 50})
	checkText(t, b.String(), strings.TrimPrefix(`
12:00:01.334 rev 42  default/nginx  revision 1  updated 2/3  ready 1/3  available 1/3  old 0  Progressing: ReplicaSetUpdated
nginx is? configured
12:00:01.534 rev 44  default/nginx  revision 1  updated 3/3  ready 2/3  available 1/3  old 0  Progressing: ReplicaSetUpdated
12:00:01.534 rev 44  default/web  revision 7  updated 1/1  ready 1/1  available 1/1  old 0  Progressing: NewReplicaSetAvailable
12:00:01.634 rev 45  default/nginx  revision 1  updated 3/3  ready 3/3  available 3/3  old 0  Progressing: NewReplicaSetAvailable
12:00:01.734 rev 46  default/nginx  deleted
12:00:01.934 rev 48  default/nginx  revision 1  updated 3/3  ready 3/3  available 3/3  old 0  Progressing: NewReplicaSetAvailable
`, "\n"))
}

func TestLiveBytes(t *testing.T) {
	var b strings.Builder
	d := progress.New(&b, true, nil, clock())
	d.Update(steps()[1])
	d.Update(steps()[5])
	checkText(t, strings.ReplaceAll(b.String(), "\x1b", "^"), strings.TrimPrefix(`
12:00:01.234 rev 42^[K
NAME           REV  UPDATED  READY  AVAIL  STATE^[K
default/nginx  1    2/3      1/3    1/3    ReplicaSetUpdated^[K
^[J^[3A`, "\n")+"\r"+strings.TrimPrefix(`
12:00:01.334 rev 46^[K
NAME         REV  UPDATED  READY  AVAIL  STATE^[K
default/web  7    1/1      1/1    1/1    NewReplicaSetAvailable^[K
^[J`, "\n"))
}

func TestLiveIsRedrawnInPlace(t *testing.T) {
	screen := &screen{width: 100}
	screen.lines, screen.row = []string{"$ go run .", ""}, 1
	d := progress.New(screen, true, func() int { return screen.width }, clock())
	writes := 0
	for i, s := range steps() {
		d.Update(s)
		if i == 3 {
			d.Note("nginx configured")
			writes++
		}
		writes++
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if screen.writes != writes {
		t.Errorf("%d writes for %d frames", screen.writes, writes)
	}
	checkText(t, screen.text(), strings.TrimPrefix(`
$ go run .
nginx configured
12:00:01.934 rev 48
NAME           REV  UPDATED  READY  AVAIL  STATE
default/nginx  1    3/3      3/3    3/3    NewReplicaSetAvailable
default/web    7    1/1      1/1    1/1    NewReplicaSetAvailable
`, "\n"))
}

func TestLiveOnTerminalThatGetsNarrower(t *testing.T) {
	screen := &screen{width: 100}
	screen.lines, screen.row = []string{"above", ""}, 1
	d := progress.New(screen, true, func() int { return screen.width }, clock())
	d.Update(steps()[4])
	screen.resize(30)
	d.Update(steps()[4])
	checkText(t, screen.text(), strings.TrimPrefix(`
above
12:00:01.334 rev 45
NAME           REV  UPDATED …
default/nginx  1    3/3     …
default/web    7    1/1     …
`, "\n"))
}

func TestWriteErrorIsKept(t *testing.T) {
	d := progress.New(failing{}, false, nil, nil)
	d.Note("a")
	d.Note("b")
	if err := d.Close(); err == nil || err.Error() != "broken pipe" {
		t.Errorf("got %v", err)
	}
	if err := d.Close(); err == nil {
		t.Error("the error is gone")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// screen is as much of a terminal as a Display uses. It fails on whatever else it is told.
type screen struct {
	width, row, writes int
	column             int
	lines              []string
}

func (s *screen) text() string { return strings.Join(s.lines, "\n") }

func (s *screen) Write(p []byte) (int, error) {
	s.writes++
	text := []rune(string(p))
	for i := 0; i < len(text); i++ {
		switch r := text[i]; r {
		case '\n':
			s.row, s.column = s.row+1, 0
			if s.row == len(s.lines) {
				s.lines = append(s.lines, "")
			}
		case '\r':
			s.column = 0
		case '\x1b':
			end := i + strings.IndexFunc(string(text[i:]), func(r rune) bool { return r >= 'A' && r <= 'Z' })
			s.control(string(text[i+2 : end+1]))
			i = end
		default:
			line := append([]rune(s.lines[s.row]), []rune(strings.Repeat(" ", s.width))...)
			line[s.column] = r
			s.column++
			if s.column == s.width {
				panic("a line is full")
			}
			s.lines[s.row] = strings.TrimRight(string(line), " ")
		}
	}
	return len(p), nil
}

func (s *screen) control(code string) {
	switch code[len(code)-1:] {
	case "A":
		n, err := strconv.Atoi(strings.TrimSuffix(code, "A"))
		if err != nil || n > s.row {
			panic(fmt.Sprintf("%q in line %d", code, s.row))
		}
		s.row -= n
	case "K":
		line := []rune(s.lines[s.row])
		s.lines[s.row] = strings.TrimRight(string(line[:min(s.column, len(line))]), " ")
	case "J":
		s.control("K")
		s.lines = s.lines[:s.row+1]
	default:
		panic(fmt.Sprintf("unknown code %q", code))
	}
}

// resize wraps the lines that have become too long, as terminals do.
func (s *screen) resize(width int) {
	var lines []string
	for _, line := range s.lines {
		runes := []rune(line)
		for len(runes) > width {
			lines = append(lines, string(runes[:width]))
			runes = runes[width:]
		}
		lines = append(lines, string(runes))
	}
	s.width, s.lines, s.row = width, lines, len(lines)-1
}

// Everything that an object holds may come from anybody.
func TestNoObjectWritesEscapes(t *testing.T) {
	const evil = "\x1b[2J\x1b]0;x\x07\r\n\u202e\x9b31m"
	d := deployment("evil", 1, 1, status{reason: "InvalidDeployment"})
	rs := replicaSet("evil", 1, 1, 1)
	pod := pods(rs.UID, 1, waiting(evil))[0]
	for _, object := range []metav1.Object{d, rs, pod} {
		object.SetNamespace(evil)
		object.SetName(evil)
		object.SetAnnotations(map[string]string{revision: evil})
	}
	for _, template := range []*corev1.PodTemplateSpec{&d.Spec.Template, &rs.Spec.Template} {
		template.Spec.Containers[0].Image = evil
	}
	for i := range d.Status.Conditions {
		d.Status.Conditions[i].Message = evil
	}
	d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{
		Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: evil, Message: evil})
	own := regexp.MustCompile("\x1b\\[[KJ]|\x1b\\[[0-9]+A\r|\n")
	for _, live := range []bool{false, true} {
		var b strings.Builder
		display := progress.New(&b, live, width(300), clock())
		display.Update(progress.State{Revision: 1, Deployments: []*appsv1.Deployment{d}, ReplicaSets: []*appsv1.ReplicaSet{rs}, Pods: []*corev1.Pod{pod}})
		display.Note(evil)
		display.Update(progress.State{Revision: 2, Deleted: []types.NamespacedName{{Namespace: evil, Name: evil}}})
		rest := own.ReplaceAllString(b.String(), "")
		if strings.ContainsFunc(rest, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("live %t: %q", live, rest)
		}
	}
}

// Of thousands of Deployments, an Update names those that changed; the others stay.
func TestUpdateOfAPart(t *testing.T) {
	done := status{updated: 1, ready: 1, available: 1, total: 1, reason: "NewReplicaSetAvailable"}
	var lines, table strings.Builder
	for _, b := range []*strings.Builder{&lines, &table} {
		d := progress.New(b, b == &table, width(60), clock())
		d.Update(progress.State{Revision: 1, Deployments: []*appsv1.Deployment{deployment("b", 1, 1, done), deployment("a", 1, 1, status{})}})
		b.Reset()
		d.Update(progress.State{Revision: 2, Deployments: []*appsv1.Deployment{deployment("a", 2, 1, done)}})
	}
	checkText(t, lines.String(), "12:00:01.334 rev 2  default/a  revision 2  updated 1/1  ready 1/1  available 1/1  old 0  Progressing: NewReplicaSetAvailable\n")
	for _, want := range []string{"default/a  2", "default/b  1"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q: %q", want, table.String())
		}
	}
}
