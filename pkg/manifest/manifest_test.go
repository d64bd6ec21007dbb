package manifest_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/manifest"
	"github.com/homeostat/homeostat/pkg/store"
)

// newScheme returns a scheme with few kinds, so that messages that list them are short.
func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	core, apps := schema.GroupVersion{Version: "v1"}, appsv1.SchemeGroupVersion
	scheme.AddKnownTypes(core, &corev1.Namespace{}, &corev1.ConfigMap{}, &corev1.ConfigMapList{}, &corev1.Pod{})
	scheme.AddKnownTypes(apps, &appsv1.Deployment{}, &appsv1.ReplicaSet{})
	metav1.AddToGroupVersion(scheme, core)
	return scheme
}

// unused returns a store that must not be asked for anything: its etcd is nowhere.
func unused(t testing.TB, scheme *runtime.Scheme) *store.Store {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://127.0.0.1:1"}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() }) //nolint:errcheck // It was never connected.
	s, err := store.New(client, store.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func namespace(name string) string {
	return "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + name + "\n"
}

func namespaceJSON(name string) string {
	return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": %q}}`, name)
}

// loadText loads text from standard input. It returns a line for each document, "<index> <kind> <name>", and then the
// errors.
func loadText(t testing.TB, text string) (docs, errs []string) {
	t.Helper()
	return lines(manifest.Load(unused(t, newScheme()), []string{"-"}, strings.NewReader(text)))
}

func lines(documents []manifest.Document, problems []*manifest.Error) (docs, errs []string) {
	for _, d := range documents {
		kind := d.Object.GetObjectKind().GroupVersionKind().Kind
		docs = append(docs, fmt.Sprintf("%s %d %s %s", d.Source, d.Index, kind, d.Object.GetName()+d.Object.GetGenerateName()))
	}
	for _, e := range problems {
		errs = append(errs, e.Error())
	}
	return docs, errs
}

func check(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n  got  %s\n  want %s", what, strings.Join(got, "\n       "), strings.Join(want, "\n       "))
	}
}

func TestGoodDocuments(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"one":           {namespace("a"), []string{"stdin 1 Namespace a"}},
		"several":       {namespace("a") + "---\n" + namespace("b"), []string{"stdin 1 Namespace a", "stdin 2 Namespace b"}},
		"CRLF":          {strings.ReplaceAll(namespace("a")+"---\n"+namespace("b"), "\n", "\r\n"), []string{"stdin 1 Namespace a", "stdin 2 Namespace b"}},
		"BOM":           {"\ufeff---\n" + namespace("a") + "\ufeff---\n" + namespace("b"), []string{"stdin 1 Namespace a", "stdin 2 Namespace b"}},
		"empty ones":    {"# licence\n---\n\n---\n---\n" + namespace("a") + "--- # nothing\n  # here\n---\nnull\n---\n" + namespace("b") + "---\n", []string{"stdin 1 Namespace a", "stdin 2 Namespace b"}},
		"directive":     {"%YAML 1.1\n---\n" + namespace("a") + "...\n# end\n", []string{"stdin 1 Namespace a"}},
		"document end":  {namespace("a") + "...\n" + namespace("b"), []string{"stdin 1 Namespace a", "stdin 2 Namespace b"}},
		"no last break": {strings.TrimSpace(namespace("a")) + "\n---", []string{"stdin 1 Namespace a"}},
		"on its line":   {`--- {apiVersion: v1, kind: Namespace, metadata: {name: a}}`, []string{"stdin 1 Namespace a"}},
		"flow style":    {"{apiVersion: v1,\nkind: Namespace, metadata: {name: a,},}", []string{"stdin 1 Namespace a"}},
		"dashes inside": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  pem: |\n    ---\n    ---BEGIN\n", []string{"stdin 1 ConfigMap a"}},
		"JSON":          {namespaceJSON("a"), []string{"stdin 1 Namespace a"}},
		"JSON values":   {namespaceJSON("a") + namespaceJSON("b") + "\n\n" + namespaceJSON("c") + "\n", []string{"stdin 1 Namespace a", "stdin 2 Namespace b", "stdin 3 Namespace c"}},
		"JSON comments": {"# first\n" + namespaceJSON("a") + " # same line\n# second\n" + namespaceJSON("b"), []string{"stdin 1 Namespace a", "stdin 2 Namespace b"}},
		"JSON and YAML": {namespaceJSON("a") + "\n---\n" + namespace("b") + "---\n" + namespaceJSON("c"), []string{"stdin 1 Namespace a", "stdin 2 Namespace b", "stdin 3 Namespace c"}},
		"anchors":       {"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: &n a\n  labels: {x: *n}\n", []string{"stdin 1 Namespace a"}},
		"generateName":  {"apiVersion: v1\nkind: Namespace\nmetadata: {generateName: a-}", []string{"stdin 1 Namespace a-"}},
		"List": {
			"apiVersion: v1\nkind: List\nmetadata: {resourceVersion: ''}\nitems:\n- " + namespaceJSON("a") + "\n- apiVersion: v1\n  kind: List\n  items: [" + namespaceJSON("b") + "]\n---\n" + namespace("c"),
			[]string{"stdin 1 Namespace a", "stdin 1 Namespace b", "stdin 2 Namespace c"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			docs, errs := loadText(t, c.text)
			check(t, "documents", docs, c.want)
			check(t, "errors", errs, nil)
		})
	}
}

func TestErrors(t *testing.T) {
	deployment := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"unknown field":       {deployment + "spec:\n  replcias: 3\n  paussed: true\n", []string{"spec.paussed: unknown field", "spec.replcias: unknown field"}},
		"unknown inner field": {deployment + "spec: {template: {spec: {containers: [{name: a}, {imag: b}]}}}", []string{"spec.template.spec.containers[1].imag: unknown field"}},
		"wrong case":          {deployment + "spec: {Replicas: 3}", []string{"spec.Replicas: unknown field"}},
		"wrong case of kind":  {"apiversion: v1\nKind: Namespace", []string{"apiVersion: is missing", "kind: is missing"}},
		"duplicate key":       {deployment + "spec:\n  replicas: 3\n  paused: true\n  replicas: 4\n", []string{`line 7: key "replicas" already set in map`}},
		"duplicate JSON key":  {`{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "name": "b"}}`, []string{"metadata.name: duplicate field"}},
		"string for int":      {deployment + "spec: {replicas: three}", []string{`spec.replicas: wants an integer (int32), not the string "three"`}},
		"fraction":            {deployment + "spec: {replicas: 1.5}", []string{"spec.replicas: wants an integer (int32), not the number 1.5"}},
		"too large":           {deployment + "spec: {replicas: 5000000000}", []string{"spec.replicas: wants an integer (int32), not the number 5000000000"}},
		"number label":        {"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels: {b: 'x', c: 1, d: yes}", []string{"metadata.labels.c: wants a string, not the number 1", "metadata.labels.d: wants a string, not the boolean true"}},
		"list for object":     {deployment + "spec: [1]", []string{"spec: wants an object, not a list"}},
		"object for list":     {deployment + "spec: {template: {spec: {containers: {name: a}}}}", []string{"spec.template.spec.containers: wants a list, not an object"}},
		"int or string":       {deployment + "spec: {strategy: {rollingUpdate: {maxSurge: true}}}", []string{"spec.strategy.rollingUpdate.maxSurge: the boolean true does not fit"}},
		"quantity":            {deployment + "spec: {template: {spec: {containers: [{resources: {limits: {cpu: lots}}}]}}}", []string{`spec.template.spec.containers[0].resources.limits.cpu: the string "lots" does not fit`}},
		"costly quantity": {deployment + "spec: {template: {spec: {overhead: {cpu: '1e-999999999', a: ' 1e-999999999 ', b: \"\\u0031e9999\"}, containers: [{resources: {limits: {cpu: 1E+99999, x: 1e30}}}]}}}", []string{
			`spec.template.spec.containers[0].resources.limits.cpu: the string "1E+99999" does not fit: the exponent has more than three digits`,
			`spec.template.spec.overhead.a: the string " 1e-999999999 " does not fit: the exponent has more than three digits`,
			`spec.template.spec.overhead.b: the string "1e9999" does not fit: the exponent has more than three digits`,
			`spec.template.spec.overhead.cpu: the string "1e-999999999" does not fit: the exponent has more than three digits`,
		}},
		"time":                 {"apiVersion: v1\nkind: Namespace\nmetadata: {name: a, creationTimestamp: today}", []string{`metadata.creationTimestamp: the string "today" does not fit`}},
		"base64":               {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nbinaryData: {k: '%'}", []string{`binaryData.k: wants a base64 string, not the string "%"`}},
		"kind of a wrong type": {"apiVersion: v1\nkind: 3", []string{"kind: wants a string, not the number 3"}},
		"no kind":              {"apiVersion: v1\nmetadata: {name: a}", []string{"kind: is missing"}},
		"no apiVersion":        {"kind: Pod\nmetadata: {name: a}", []string{"apiVersion: is missing"}},
		"no name":              {"apiVersion: v1\nkind: Pod", []string{"metadata.name: is missing, and so is metadata.generateName"}},
		"unknown version":      {"apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: a}", []string{"kind: apps/v1beta1 Deployment is unknown; known: apps/v1 Deployment"}},
		"unknown kind":         {"apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}", []string{"kind: batch/v1 Job is unknown; known: apps/v1 Deployment, apps/v1 ReplicaSet, v1 ConfigMap, v1 Namespace, v1 Pod"}},
		"malformed version":    {"apiVersion: a/b/c\nkind: Job", []string{"apiVersion: unexpected GroupVersion string: a/b/c"}},
		"no object":            {"apiVersion: v1\nkind: ConfigMapList\nitems: []", []string{"kind: v1 ConfigMapList is unknown; known: apps/v1 Deployment, apps/v1 ReplicaSet, v1 ConfigMap, v1 Namespace, v1 Pod"}},
		"a sequence":           {"- a\n- b", []string{"is a list; a manifest is an object with apiVersion and kind"}},
		"a word":               {"hello", []string{`is the string "hello"; a manifest is an object with apiVersion and kind`}},
		"a tab":                {"# one\napiVersion: v1\nkind: Pod\nmetadata:\n\tname: a\n", []string{"line 5: found character that cannot start any token (a tab indents this line; YAML wants spaces)"}},
		"bad indentation":      {"a:\n  b: 1\n c: 2\n", []string{"line 3: did not find expected key"}},
		"open bracket":         {"a: [1,\nb: 2\n", []string{"line 2: did not find expected ',' or ']'"}},
		"first line":           {"a: b: c\n", []string{"line 1: mapping values are not allowed in this context"}},
		"unknown anchor":       {"a: *b", []string{"unknown anchor 'b' referenced"}},
		"not a number":         {"a: .nan", []string{"json: unsupported value: NaN"}},
		"not UTF-8":            {"a: b\nc: \xff\n", []string{"line 2: is not UTF-8 text"}},
		"control character":    {"a: \x1b[31m\n", []string{"control characters are not allowed"}},
		"two in one, tagged":   {"!!map {a: b}\n{c: d}\n", []string{"line 2: did not find expected <document start>"}},
		"broken JSON":          {"{\n  \"apiVersion\": \"v1\",\n  \"kind\" \"Pod\"\n}", []string{"line 3: malformed JSON: invalid character '\"' after object key"}},
		"cut JSON":             {"{\"apiVersion\": \"v1\",\n\"kind\":\n", []string{"line 2: malformed JSON: unexpected end of JSON input"}},
		"too deep":             {strings.Repeat(`{"apiVersion":"v1","kind":"List","items":[`, 9) + strings.Repeat("]}", 9), []string{"items[0].items[0].items[0].items[0]: more than 4 Lists stand in one another"}},
		"large JSON":           {`{"a": "` + strings.Repeat("x", 2<<20) + `"}`, []string{"is 2097161 bytes long, over the limit of 1572864 (1.5 MiB)"}},
		"large by aliases":     {"a: &a " + strings.Repeat("x", 1<<20) + "\nb: [*a, *a]", []string{"is over the limit of 1.5 MiB with its aliases written out"}},
		"item of a List":       {"apiVersion: v1\nkind: List\nitems:\n- null\n- {apiVersion: v1, kind: Pod}\n- {apiVersion: v1, kind: Pod, metadata: {name: a}, spek: {}}", []string{"items[0]: is null; a manifest is an object with apiVersion and kind", "items[1].metadata.name: is missing, and so is metadata.generateName", "items[2].spek: unknown field"}},
		"List itself":          {"apiVersion: v1\nkind: List\nitem: []", []string{"item: unknown field"}},
		"items":                {"apiVersion: v1\nkind: List\nitems: 3", []string{"items: wants a list, not the number 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			// The document stands between good ones, four lines down.
			docs, errs := loadText(t, namespace("before")+"---\n"+c.text+"\n---\n"+namespace("after"))
			check(t, "documents", docs, []string{"stdin 1 Namespace before", "stdin 3 Namespace after"})
			if len(errs) != len(c.want) {
				t.Fatalf("errors: got %q, want %q", errs, c.want)
			}
			_, alone := loadText(t, c.text)
			for i, want := range c.want {
				checkMessage(t, alone[i], "stdin: document 1: ", want)
				if !strings.HasPrefix(want, "line ") {
					checkMessage(t, errs[i], "stdin: document 2: ", want)
				}
			}
		})
	}
}

// Time does not grow with the number of errors times the length.
func TestManyErrors(t *testing.T) {
	start := time.Now()
	_, errs := loadText(t, "spec: {"+strings.Repeat("a: 1e-9999, ", 100_000)+"}")
	if len(errs) != 21 || errs[20] != "stdin: document 1: and 99979 more errors" {
		t.Errorf("%d errors: %.2000q", len(errs), errs)
	}
	if took := time.Since(start); took > time.Minute {
		t.Error(took)
	}
}

// checkMessage checks that the message is prefix and want. If want ends in "does not fit", an error text of another
// package may follow.
func checkMessage(t *testing.T, got, prefix, want string) {
	t.Helper()
	if got != prefix+want && !(strings.HasSuffix(want, "does not fit") && strings.HasPrefix(got, prefix+want+": ")) {
		t.Errorf("\n  got  %s\n  want %s", got, prefix+want)
	}
}

func TestLinesCountFromTheFile(t *testing.T) {
	text := namespace("a") + "---\r\n" + "x: {\n---\n" + namespace("b") + "--- # late\n# comment\na:\n\t- b\n"
	docs, errs := loadText(t, text)
	check(t, "documents", docs, []string{"stdin 1 Namespace a", "stdin 3 Namespace b"})
	check(t, "errors", errs, []string{
		"stdin: document 2: line 6: did not find expected node content",
		"stdin: document 4: line 15: found character that cannot start any token (a tab indents this line; YAML wants spaces)",
	})
}

func TestBrokenJSONLosesOnlyItself(t *testing.T) {
	docs, errs := loadText(t, "{a: b}\n{c: d}\n")
	check(t, "documents", docs, nil)
	check(t, "errors", errs, []string{
		"stdin: document 1: line 1: malformed JSON: invalid character 'a' looking for beginning of object key string",
		"stdin: document 2: line 2: malformed JSON: invalid character 'c' looking for beginning of object key string",
	})
	docs, errs = loadText(t, namespaceJSON("a")+"\n{\"apiVersion\": v1}\n"+namespaceJSON("c")+"\n{\n\"x\": [\n"+namespaceJSON("d"))
	check(t, "documents", docs, []string{"stdin 1 Namespace a", "stdin 3 Namespace c", "stdin 5 Namespace d"})
	check(t, "errors", errs, []string{
		"stdin: document 2: line 2: malformed JSON: invalid character 'v' looking for beginning of value",
		"stdin: document 4: line 5: malformed JSON: unexpected end of JSON input",
	})
}

func TestMuchBrokenJSONIsGivenUp(t *testing.T) {
	docs, errs := loadText(t, strings.Repeat("{\"a\":\n", 100_000)+"---\n"+namespace("after"))
	check(t, "documents", docs, []string{"stdin 22 Namespace after"})
	if len(errs) != 21 || errs[20] != "stdin: document 21: line 21: too many JSON values are broken; nothing from here on is read" {
		t.Errorf("got %d errors, the last is %q", len(errs), errs[len(errs)-1])
	}
}

func TestLargeDocument(t *testing.T) {
	text := namespace("a") + "# " + strings.Repeat("x", manifest.MaxDocument-len(namespace("a"))-2)
	docs, errs := loadText(t, text)
	check(t, "documents", docs, []string{"stdin 1 Namespace a"})
	check(t, "errors", errs, nil)
	docs, errs = loadText(t, text+"x")
	check(t, "documents", docs, nil)
	check(t, "errors", errs, []string{"stdin: document 1: is 1572865 bytes long, over the limit of 1572864 (1.5 MiB)"})
}

func TestErrorFields(t *testing.T) {
	_, errs := manifest.Load(unused(t, newScheme()), []string{"-"}, strings.NewReader(namespace("a")+"---\n"+namespace("b")+"spek: 1\n"))
	if len(errs) != 1 {
		t.Fatalf("errors: %v", errs)
	}
	e := errs[0]
	if e.Source != "stdin" || e.Index != 2 || e.Field != "spek" || e.Err.Error() != "unknown field" || e.Unwrap() != e.Err {
		t.Errorf("got %#v", e)
	}
}

func TestPaths(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("many/b.yml", namespace("b"))
	write("many/a.yaml", namespace("a1")+"---\n"+namespace("a2"))
	write("many/c.json", namespaceJSON("c"))
	write("many/broken.yaml", "a: [")
	write("many/.hidden.yaml", "a: [")
	write("many/readme.md", "# text")
	write("many/only-comments.yaml", "# nothing\n")
	write("many/sub.yaml/d.yaml", namespace("d"))
	write("none/readme.md", "# text")
	single := write("no-extension", namespace("single"))
	comments := write("comments.yaml", "# nothing\n---\n")
	if err := os.Symlink(single, filepath.Join(dir, "many", "link.yaml")); err != nil {
		t.Fatal(err)
	}
	many, none, missing := filepath.Join(dir, "many"), filepath.Join(dir, "none"), filepath.Join(dir, "missing.yaml")

	documents, problems := manifest.Load(unused(t, newScheme()), []string{single, "-", many, none, missing, comments, "-"}, strings.NewReader(namespaceJSON("piped")))
	docs, errs := lines(documents, problems)
	check(t, "documents", docs, []string{
		single + " 1 Namespace single",
		"stdin 1 Namespace piped",
		many + "/a.yaml 1 Namespace a1",
		many + "/a.yaml 2 Namespace a2",
		many + "/b.yml 1 Namespace b",
		many + "/c.json 1 Namespace c",
		many + "/link.yaml 1 Namespace single",
	})
	check(t, "errors", errs, []string{
		many + "/broken.yaml: document 1: line 1: did not find expected node content",
		none + ": the directory holds no *.yaml, *.yml or *.json file",
		missing + ": no such file or directory",
		comments + ": holds no document",
		`stdin: "-" is given twice, but can be read only once`,
	})
	if !errors.Is(problems[2], fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", problems[2].Err)
	}
}

func TestSourcesThatCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		stdin io.Reader
		want  string
	}{
		"none":     {nil, "stdin: there is no standard input"},
		"empty":    {strings.NewReader(""), "stdin: holds no document"},
		"failing":  {io.MultiReader(strings.NewReader(namespace("a")), failing{}), "stdin: read failed"},
		"endless":  {zeros{}, "stdin: is over the limit of 16.0 MiB"},
		"UTF-16LE": {strings.NewReader("\xff\xfea\x00"), "stdin: is UTF-16 text; save it as UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			docs, errs := lines(manifest.Load(unused(t, newScheme()), []string{"-"}, c.stdin))
			check(t, "documents", docs, nil)
			check(t, "errors", errs, []string{c.want})
		})
	}
}

// Nobody writes to the pipe: to open it would never end.
func TestPipesAreNotRead(t *testing.T) {
	dir := t.TempDir()
	pipe, good := filepath.Join(dir, "pipe.yaml"), filepath.Join(dir, "x.yaml")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(good, []byte(namespace("a")), 0o600)); err != nil {
		t.Fatal(err)
	}
	refused := `: is not a regular file; use "-" to read from a pipe`
	docs, errs := manifest.Load(unused(t, newScheme()), []string{dir, pipe, "/dev/zero"}, nil)
	if len(docs) != 1 || docs[0].Source != good {
		t.Errorf("got %v", docs)
	}
	_, got := lines(docs, errs)
	check(t, "errors", got, []string{pipe + refused, pipe + refused, "/dev/zero" + refused})

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = w.WriteString(namespace("b"))
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	docs, errs = manifest.Load(unused(t, newScheme()), []string{fmt.Sprintf("/dev/fd/%d", r.Fd())}, nil) // as from a shell's <(command)
	if len(docs) != 1 || len(errs) != 0 {
		t.Errorf("of a pipe that is open: got %v, %v", docs, errs)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, fmt.Errorf("read\nfailed") }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestObjectIsTyped(t *testing.T) {
	docs, errs := manifest.Load(unused(t, newScheme()), []string{"-"}, strings.NewReader(
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: 3\n  strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}}\n"))
	if len(errs) > 0 || len(docs) != 1 {
		t.Fatalf("got %v, %v", docs, errs)
	}
	d, ok := docs[0].Object.(*appsv1.Deployment)
	if !ok {
		t.Fatalf("got a %T", docs[0].Object)
	}
	rolling := d.Spec.Strategy.RollingUpdate
	if *d.Spec.Replicas != 3 || rolling.MaxSurge.String() != "25%" || rolling.MaxUnavailable.String() != "0" {
		t.Errorf("got %+v", d.Spec)
	}
}

func TestKindsAreNotAllNamed(t *testing.T) {
	scheme := newScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	_, errs := manifest.Load(unused(t, scheme), []string{"-"}, strings.NewReader("apiVersion: v1\nkind: Pood"))
	if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), "stdin: document 1: kind: v1 Pood is unknown; known: v1 Binding, ") ||
		!strings.Contains(errs[0].Error(), " more") {
		t.Errorf("got %v", errs)
	}
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "---", "a: [", "{", "{}{", "null", "# x", "\tx: y", "\ufeff", "%YAML 9", "!!binary x", "? [a]: b", "a: &a [*a]",
		"<<: 1", "{\"a\":1}\n{", "x\r---\ry", "a\u2028--- b", "--- |\n ---\n", "1e999999999", "&a {}\n{}", "\x00",
		namespaceJSON("a") + "{", "apiVersion: v1\nkind: List\nitems: [~, 1, {kind: List}]",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: x, template: {spec: {containers: [{resources: {limits: {cpu: 1e99}}}]}}}",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: a, creationTimestamp: 2020-01-01}",
	} {
		f.Add(seed)
	}
	scheme := unused(f, newScheme())
	f.Fuzz(func(t *testing.T, text string) {
		all := namespace("first") + "---\n" + text + "\n---\n" + namespace("last")
		docs, errs := manifest.Load(scheme, []string{"-"}, strings.NewReader(all))
		if len(docs) < 2 || docs[0].Object.GetName() != "first" || docs[len(docs)-1].Object.GetName() != "last" {
			t.Fatalf("the good documents did not survive: %v, %v", docs, errs)
		}
		for i := range docs[1:] {
			if docs[i+1].Index < docs[i].Index {
				t.Fatalf("document %d comes behind %d", docs[i+1].Index, docs[i].Index)
			}
		}
		for _, e := range errs {
			if strings.ContainsAny(e.Error(), "\n\r\x1b") {
				t.Fatalf("not one line: %q", e.Error())
			}
			if e.Index < 1 || e.Source != "stdin" {
				t.Fatalf("no place: %#v", e)
			}
		}
		manifest.Load(scheme, []string{"-"}, strings.NewReader(text))
	})
}
