package informer

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/store"
)

// on reports whether a filter holds for an object with a key.
func (f Filter[T]) on(key store.Key, obj T) bool {
	c, _ := f.apply(change{key: string(appendKey(nil, key)), new: &entry{obj: obj}})
	return c.new != nil
}

func TestKeyGlob(t *testing.T) {
	for _, test := range []struct {
		pattern    string
		match, not []string
	}{
		{"team-*/web-?", []string{"team-a/web-1", "team-/web-x", "team-a/web-ü"}, []string{"team-a/web-10", "team-a/web-", "team/web-1", "web-1", "my-team-a/web-1"}},
		{"*/web", []string{"a/web", "web"}, []string{"a/webs", "a/b"}},
		{"web", []string{"a/web", "web"}, []string{"web/a", "a/webs"}},
		{"web*", []string{"a/web-1", "web"}, []string{"web/a", "a/my-web"}},
		{"/web", []string{"web"}, []string{"a/web"}},
		{"a/[w-y]eb[^0-9]", []string{"a/web-", "a/yebx"}, []string{"a/web1", "a/zeb-", "a/web"}},
		{`a/\*`, []string{"a/*"}, []string{"a/b", `a/\b`}},
	} {
		f, err := KeyGlob[*corev1.ConfigMap](test.pattern)
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		for _, key := range test.match {
			if !f.on(splitKey(key), nil) {
				t.Errorf("%s does not match %s", test.pattern, key)
			}
		}
		for _, key := range test.not {
			if f.on(splitKey(key), nil) {
				t.Errorf("%s matches %s", test.pattern, key)
			}
		}
	}
}

func TestKeyGlobRefuses(t *testing.T) {
	for _, pattern := range []string{"", "a/", "a/b/c", "[a", "a/[b", "[]/b", `a/b\`, "[a/b]", "x[-]/b"} {
		if _, err := KeyGlob[*corev1.ConfigMap](pattern); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", pattern)) {
			t.Errorf("%q: %v, want an error that names it", pattern, err)
		}
	}
}

// A pattern matches the same keys as its translation to a regular expression.
func FuzzKeyGlob(f *testing.F) {
	f.Add("team-*/web-?", "team-a", "web-1")
	f.Add("[a-c]?*", "", "b2")
	f.Add(`\*/[^\]x]`, "*", "y")
	f.Add("*a*b*c*", "n", "aabbcc")
	f.Fuzz(func(t *testing.T, pattern, namespace, name string) {
		if strings.Contains(namespace, "/") || strings.Contains(name, "/") || name == "" {
			return
		}
		glob, err := KeyGlob[*corev1.ConfigMap](pattern)
		if err != nil || strings.ContainsAny(pattern, `[\`) || strings.ContainsRune(pattern+namespace+name, '\uFFFD') {
			return
		}
		toRegexp := func(part string) string {
			part = regexp.QuoteMeta(part)
			return "(?s)^" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(part) + "$"
		}
		patternNS, patternName, both := strings.Cut(pattern, "/")
		if !both {
			patternNS, patternName = "*", pattern
		}
		expr, err := regexp.Compile(toRegexp(patternNS))
		exprName, errName := regexp.Compile(toRegexp(patternName))
		if err != nil || errName != nil {
			return // no valid text
		}
		key := store.Key{Namespace: namespace, Name: name}
		want := KeyRegexp[*corev1.ConfigMap](expr, exprName).on(key, nil)
		if got := glob.on(key, nil); got != want {
			t.Errorf("%q on %q: %v, want %v", pattern, key, got, want)
		}
	})
}

func TestKeyRegexp(t *testing.T) {
	for _, test := range []struct {
		namespace, name string
		key             string
		want            bool
	}{
		{"^team-", "^web-[0-9]+$", "team-a/web-10", true},
		{"^team-", "^web-[0-9]+$", "team-a/web-x", false},
		{"^team-", "^web-[0-9]+$", "a-team-b/web-1", false},
		{"", "eb", "anything/web", true},
		{"^$", "", "node", true},
		{"^$", "", "a/node", false},
	} {
		f := KeyRegexp[*corev1.ConfigMap](regexp.MustCompile(test.namespace), regexp.MustCompile(test.name))
		if got := f.on(splitKey(test.key), nil); got != test.want {
			t.Errorf("%q, %q on %s: %v", test.namespace, test.name, test.key, got)
		}
	}
	if !KeyRegexp[*corev1.ConfigMap](nil, nil).on(store.Key{Name: "a"}, nil) {
		t.Error("no expressions do not match all")
	}
}

func TestEmptyFilters(t *testing.T) {
	key, obj := store.Key{Name: "a"}, &corev1.ConfigMap{}
	selector, err := KeyGlob[*corev1.ConfigMap]("none")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		filter Filter[*corev1.ConfigMap]
		want   bool
	}{
		"zero":        {Filter[*corev1.ConfigMap]{}, true},
		"and":         {And[*corev1.ConfigMap](), true},
		"or":          {Or[*corev1.ConfigMap](), false},
		"not zero":    {Not(Filter[*corev1.ConfigMap]{}), false},
		"not or":      {Not(Or[*corev1.ConfigMap]()), true},
		"labels":      {LabelSelector[*corev1.ConfigMap](nil), true},
		"everything":  {LabelSelector[*corev1.ConfigMap](labels.Everything()), true},
		"nothing":     {LabelSelector[*corev1.ConfigMap](labels.Nothing()), false},
		"operations":  {Operations[*corev1.ConfigMap](), false},
		"zero in and": {And(Filter[*corev1.ConfigMap]{}, selector), false},
		"zero in or":  {Or(selector, Filter[*corev1.ConfigMap]{}), true},
	} {
		if got := c.filter.on(key, obj); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestFieldSelector(t *testing.T) {
	_, maps := offline(t)
	rose := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "garden", Name: "rose"}}
	for selector, want := range map[string]bool{
		"metadata.name=rose": true, "metadata.name!=rose": false, "metadata.namespace=garden,metadata.name=rose": true, "": true,
	} {
		parsed, err := fields.ParseSelector(selector)
		if err != nil {
			t.Fatal(err)
		}
		f, err := FieldSelector(maps, parsed)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.on(store.KeyOf(rose), rose); got != want {
			t.Errorf("%s: %v", selector, got)
		}
	}
	if _, err := FieldSelector(maps, fields.OneTermEqualSelector("spec.color", "red")); err == nil || !strings.Contains(err.Error(), "spec.color") {
		t.Errorf("an unknown field: %v", err)
	}
}

// A filter does not call functions that cannot change the result.
func TestFiltersCallNoMoreFunctionsThanNeeded(t *testing.T) {
	var asked []string
	leaf := func(name string, answer bool) Filter[*corev1.ConfigMap] {
		return Transition(func(_, _ *corev1.ConfigMap) bool {
			asked = append(asked, name)
			return answer
		})
	}
	is := &entry{obj: &corev1.ConfigMap{}}
	f := Or(And(leaf("a", true), leaf("b", false), leaf("c", true)), leaf("d", true), leaf("e", true))
	if _, err := f.apply(change{key: "x", old: is, new: is}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "d"}; !slices.Equal(asked, want) {
		t.Errorf("asked were %v, want %v, each once", asked, want)
	}
}

// If a filter fails, the change passes, and some of the failures are logged.
func TestFailingFilterLosesNothing(t *testing.T) {
	var log []string
	r, maps := offline(t)
	r.log = funcr.New(func(_, args string) { log = append(log, args) }, funcr.Options{})
	failing := Leaf[*corev1.ConfigMap]{Change: func(_, _ *corev1.ConfigMap) (bool, error) { return false, errors.New("who knows") }}.Filter()
	panicking := Not(Where(func(cm *corev1.ConfigMap) bool { return cm.Data["none"][1] == 'x' }))
	for i, f := range []Filter[*corev1.ConfigMap]{failing, panicking} {
		received := 0
		l := maps.AddHandler(func(context.Context, Event[*corev1.ConfigMap]) { received++ }, f).queue
		for n := range 5 {
			set(maps, "default", fmt.Sprint("cm-", i, n), "v")
		}
		l.received(100)
		if want := 5 + 5*i; received != want {
			t.Errorf("filter %d: %d events, want %d", i, received, want)
		}
		maps.kind.handlers = nil
	}
	if n := len(log); n != 3+4 { // 1, 2, 4 of 5; 1, 2, 4, 8 of 10
		t.Errorf("%d lines:\n%s", n, strings.Join(log, "\n"))
	}
	for _, part := range []string{"who knows", "filter panicked: runtime error", `"key"="default/cm-0 0"`, `"kind"="ConfigMap"`, `"failures"=8`} {
		if !strings.Contains(strings.Join(log, "\n"), part) {
			t.Errorf("the log does not tell %s:\n%s", part, strings.Join(log, "\n"))
		}
	}
}

// Changes that a filter drops are not queued.
func TestDroppedChangesAreNotQueued(t *testing.T) {
	_, maps := offline(t)
	l := maps.AddHandler(func(context.Context, Event[*corev1.ConfigMap]) {}, Or[*corev1.ConfigMap]()).queue
	for n := range 100 {
		set(maps, "default", fmt.Sprint("cm-", n), "v")
	}
	if l.pending() != 0 || len(l.backlog.queue) != 0 || len(l.backlog.last) != 0 {
		t.Errorf("%d changes wait in %d places", l.pending(), len(l.backlog.queue))
	}
}

// A filter may read the replica: no lock is held while it is evaluated.
func TestFilterMayReadTheReplica(t *testing.T) {
	r, maps := offline(t)
	var seen []int64
	f := Where(func(*corev1.ConfigMap) bool {
		seen = append(seen, r.Status().Revision)
		return true
	})
	maps.AddHandler(func(context.Context, Event[*corev1.ConfigMap]) {}, f)
	set(maps, "default", "a", "v")
	if !slices.Equal(seen, []int64{2}) {
		t.Errorf("seen were the revisions %v", seen)
	}
}
