package test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"sigs.k8s.io/yaml"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// watch runs the watch example against the world's etcd.
func (w *world) watch(args ...string) *gexec.Session {
	GinkgoHelper()
	args = append([]string{"--endpoints=" + strings.Join(w.cluster.Endpoints(), ",")}, args...)
	session, err := gexec.Start(exec.Command(watch, args...), nil, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { session.Kill().Wait(patience) })
	return session
}

// following waits until a session follows its keys.
func following(session *gexec.Session) *gexec.Session {
	GinkgoHelper()
	Eventually(session.Err).Should(gbytes.Say(`following .* from revision \d+ on`))
	return session
}

// stopped interrupts a session and returns all printed lines.
func stopped(session *gexec.Session) []string {
	GinkgoHelper()
	Eventually(session.Interrupt()).Should(gexec.Exit(0))
	return lines(session)
}

// lines returns the printed lines without a last one that a kill has cut off.
func lines(session *gexec.Session) []string {
	all := strings.Split(string(session.Out.Contents()), "\n")
	return all[:len(all)-1]
}

func (w *world) put(ctx context.Context, key, value string) int64 {
	GinkgoHelper()
	resp, err := w.client.Put(ctx, key, value)
	Expect(err).NotTo(HaveOccurred())
	return resp.Header.Revision
}

func (w *world) remove(ctx context.Context, key string) {
	GinkgoHelper()
	_, err := w.client.Delete(ctx, key)
	Expect(err).NotTo(HaveOccurred())
}

func (w *world) compact(ctx context.Context, revision int64) {
	GinkgoHelper()
	_, err := w.client.Compact(ctx, revision)
	Expect(err).NotTo(HaveOccurred())
}

// printed returns the expected lines for events.
func printed(events []*clientv3.Event) []string {
	var out []string
	for _, ev := range events {
		if ev.Type == mvccpb.DELETE {
			out = append(out, fmt.Sprintf("DELETE key=%q mod_revision=%d", ev.Kv.Key, ev.Kv.ModRevision))
			continue
		}
		out = append(out, fmt.Sprintf("PUT key=%q value=%q mod_revision=%d length=%d", ev.Kv.Key, ev.Kv.Value, ev.Kv.ModRevision, len(ev.Kv.Value)))
	}
	return out
}

// churn makes n changes below a prefix: creations, updates, deletions, and
// several in one revision.
func (w *world) churn(ctx context.Context, prefix string, n int) {
	GinkgoHelper()
	for i := range n {
		key := func(j int) string { return fmt.Sprintf("%s%d", prefix, (i+j)%7) }
		ops := []clientv3.Op{clientv3.OpPut(key(0), fmt.Sprint("value ", i))}
		if i%5 == 0 {
			ops = append(ops, clientv3.OpDelete(key(1)), clientv3.OpPut(key(2), ""))
		}
		_, err := w.client.Txn(ctx).Then(ops...).Commit()
		Expect(err).NotTo(HaveOccurred())
	}
}

// linked returns the flag for a separate connection that the test can cut.
func (w *world) linked() (*etcdtest.Link, string) {
	GinkgoHelper()
	link, err := w.cluster.Member(0).NewLink()
	Expect(err).NotTo(HaveOccurred())
	return link, "--endpoints=" + link.Endpoint()
}

// requirePasswords enables authentication in etcd: reader:secret may read the keys with a
// prefix. It returns a client for root.
func (w *world) requirePasswords(ctx context.Context, prefix string) *clientv3.Client {
	GinkgoHelper()
	c := w.client
	for _, do := range []func() error{
		func() error { _, err := c.RoleAdd(ctx, "root"); return err },
		func() error { _, err := c.UserAdd(ctx, "root", "secret"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := c.RoleAdd(ctx, "reader"); return err },
		func() error { _, err := c.UserAdd(ctx, "reader", "secret"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "reader", "reader"); return err },
		func() error {
			end := clientv3.GetPrefixRangeEnd(prefix)
			_, err := c.RoleGrantPermission(ctx, "reader", prefix, end, clientv3.PermissionType(clientv3.PermRead))
			return err
		},
		func() error { _, err := c.AuthEnable(ctx); return err },
	} {
		Expect(do()).To(Succeed())
	}
	root, err := w.cluster.NewClient(etcdtest.ClientOptions{Configure: func(c *clientv3.Config) { c.Username, c.Password = "root", "secret" }})
	Expect(err).NotTo(HaveOccurred())
	return root
}

// recordFile returns a path for --resume.
func recordFile() string { return filepath.Join(GinkgoT().TempDir(), "position") }

// recordedRevision returns 0 while there is no record.
func recordedRevision(path string) int64 {
	var record struct{ Revision int64 }
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &record) != nil {
		return 0
	}
	return record.Revision
}

var _ = Describe("The watch example", func() {
	It("prints each change of any keys, from a revision on", func(ctx SpecContext) {
		w := newWorld()
		w.put(ctx, "/other", "1")
		w.put(ctx, "/mykey", "my_value")
		w.put(ctx, "/mykey", "a \"quoted\"\nline, ü, \xff")
		w.put(ctx, "/mykey", "updated_value")
		w.remove(ctx, "/mykey")
		w.put(ctx, "\xff", "")

		one := w.watch("--key=/mykey", "--rev=3")
		Eventually(one.Out).Should(gbytes.Say("DELETE.*\n"))
		Expect(stopped(one)).To(Equal([]string{
			`PUT key="/mykey" value="my_value" mod_revision=3 length=8`,
			`PUT key="/mykey" value="a \"quoted\"\nline, ü, \xff" mod_revision=4 length=22`,
			`PUT key="/mykey" value="updated_value" mod_revision=5 length=13`,
			`DELETE key="/mykey" mod_revision=6`,
		}))

		all := w.watch("--rev=5")
		Eventually(all.Out).Should(gbytes.Say(`xff.*\n`))
		Expect(stopped(all)).To(Equal([]string{
			`PUT key="/mykey" value="updated_value" mod_revision=5 length=13`,
			`DELETE key="/mykey" mod_revision=6`,
			`PUT key="\xff" value="" mod_revision=7 length=0`,
		}))
	})

	It("prints the changes from now on if no revision is given", func(ctx SpecContext) {
		w := newWorld()
		w.put(ctx, "/a/before", "1")
		session := following(w.watch("--prefix=/a/"))
		w.put(ctx, "/b", "1")
		w.put(ctx, "/a/after", "1")
		Eventually(session.Out).Should(gbytes.Say("\n"))
		Expect(stopped(session)).To(Equal([]string{`PUT key="/a/after" value="1" mod_revision=4 length=1`}))
	})

	It("filters by operation and by pattern", func(ctx SpecContext) {
		w := newWorld()
		w.put(ctx, "/a/x/web", "1")
		w.put(ctx, "/a/x/web", "2")
		w.put(ctx, "/a/x/y/web", "1")
		w.put(ctx, "/a/x/db", "1")
		w.remove(ctx, "/a/x/web")
		w.put(ctx, "/b/x/web", "1")
		w.put(ctx, "/a/end", "1")

		revisions := func(args ...string) string {
			GinkgoHelper()
			session := w.watch(append(args, "--rev=2", "--where=key != '/a/end' || op == 'create'")...)
			Eventually(session.Out).Should(gbytes.Say("\n"))
			Eventually(session.Out).Should(gbytes.Say("/a/end.*\n|DELETE.*\n|/b/x.*\n"))
			var found []string
			for _, line := range stopped(session) {
				_, rest, _ := strings.Cut(line, "mod_revision=")
				revision, _, _ := strings.Cut(rest, " ")
				found = append(found, revision)
			}
			return strings.Join(found, " ")
		}
		Expect(revisions("--op=put", "--prefix=/a/")).To(Equal("2 3 4 5 8"))
		Expect(revisions("--op=create", "--op=delete", "--prefix=/a/")).To(Equal("2 4 5 6 8"))
		Expect(revisions("--op=update,delete", "--prefix=/a/")).To(Equal("3 6"))
		Expect(revisions("--op=create", "--match=/*/*/web", "--endpoints="+strings.Join(w.cluster.Endpoints(), ","))).To(Equal("2 7"))
		Expect(revisions("--match=/a/**")).To(Equal("2 3 4 5 6 8"))
	})

	It("filters by a condition on the values before and after", func(ctx SpecContext) {
		w := newWorld()
		phase := func(key, phase string) int64 {
			return w.put(ctx, key, fmt.Sprintf(`{"status": {"phase": %q, "restarts": 3}}`, phase))
		}
		phase("/pods/a", "Pending")
		phase("/pods/b", "Failed") // created so: there was no transition
		phase("/pods/a", "Running")
		phase("/pods/c", "Pending")
		failed := phase("/pods/c", "Failed")
		w.put(ctx, "/pods/d", "no JSON")
		w.remove(ctx, "/pods/c")
		again := phase("/pods/a", "Pending")
		last := phase("/pods/a", "Failed")

		session := w.watch("--rev=2", "--where", `old.status.phase == "Pending" && new.status.phase == "Failed"`)
		Eventually(session.Out).Should(gbytes.Say(`/pods/a.*\n`))
		Expect(stopped(session)).To(HaveExactElements(
			ContainSubstring("mod_revision=%d", failed), ContainSubstring("mod_revision=%d", last)))

		session = w.watch("--rev=2", "--where", `value == "no JSON" && new == null || op == "delete" && old.status.restarts > 2 ||
			revision == `+fmt.Sprint(again))
		Eventually(session.Out).Should(gbytes.Say(`/pods/a.*\n`))
		Expect(stopped(session)).To(HaveExactElements(
			ContainSubstring(`value="no JSON"`), HavePrefix("DELETE"), ContainSubstring("mod_revision=%d", again)))

		session = w.watch("--rev=2", "--where", `new.status.phase > 3 || key == "/pods/d"`)
		Eventually(session.Out).Should(gbytes.Say(`/pods/d.*\n`))
		stopped(session)
		Expect(session.Err).To(gbytes.Say(`left out key "/pods/a" at revision 2.*no such overload`))
		Expect(session.Err).To(gbytes.Say(`left out \d+ changes`))
	})

	It("resumes after cut connections without a gap or a repeat", func(ctx SpecContext) {
		w := newWorld()
		link, endpoint := w.linked()
		session := following(w.watch(endpoint, "--prefix=/k/"))
		for range 8 {
			w.churn(ctx, "/k/", 200)
			link.Cut()
			w.churn(ctx, "/k/", 50)
			link.Heal()
		}
		w.put(ctx, "/k/end", "")
		Eventually(session.Out).Should(gbytes.Say("/k/end.*\n"))
		Expect(stopped(session)).To(Equal(printed(w.events(ctx, "/k/"))))
	}, SpecTimeout(3*patience))

	It("resumes after restarts of etcd, and reports them", func(ctx SpecContext) {
		w := newWorld()
		session := following(w.watch("--prefix=/k/"))
		for range 2 {
			w.churn(ctx, "/k/", 100)
			Expect(w.cluster.Member(0).Stop()).To(Succeed())
			Eventually(session.Err).Should(gbytes.Say(`interrupted after revision \d+`))
			Expect(w.cluster.Member(0).Restart(ctx)).To(Succeed())
			w.churn(ctx, "/k/", 100)
			Eventually(session.Err).Should(gbytes.Say(`continuing after revision \d+`))
		}
		w.put(ctx, "/k/end", "")
		Eventually(session.Out).Should(gbytes.Say("/k/end.*\n"))
		Expect(stopped(session)).To(Equal(printed(w.events(ctx, "/k/"))))
	}, SpecTimeout(3*patience))

	It("resumes where it was stopped, without a gap or a repeat", func(ctx SpecContext) {
		w := newWorld()
		position := recordFile()
		var all []string
		for i := range 5 {
			session := following(w.watch("--prefix=/k/", "--rev=1", "--resume", position))
			w.churn(ctx, "/k/", 200)
			if i == 4 {
				w.put(ctx, "/k/end", "")
				Eventually(session.Out).Should(gbytes.Say("/k/end.*\n"))
			}
			all = append(all, stopped(session)...)
			w.churn(ctx, "/k/", 10)
		}
		events := printed(w.events(ctx, "/k/"))
		Expect(all).To(Equal(events[:len(all)]))
		Expect(all[len(all)-1]).To(ContainSubstring("/k/end"))
	}, SpecTimeout(3*patience))

	It("resumes where it was killed, without a gap", Label("soak"), func(ctx SpecContext) {
		w := newWorld()
		position := recordFile()
		next, repeats := 0, 0
		for range soakLength(2, 20) {
			before := recordedRevision(position)
			session := following(w.watch("--where=!key.endsWith('~')", "--prefix=/k/", "--rev=1", "--resume", position))
			w.churn(ctx, "/k/", 300)
			Eventually(func() int64 { return recordedRevision(position) }).Should(BeNumerically(">", before))
			w.churn(ctx, "/k/", 100)
			session.Kill().Wait(patience)

			events := printed(w.events(ctx, "/k/"))
			got := lines(session)
			Expect(got).NotTo(BeEmpty())
			first := indexOf(events, got[0])
			Expect(first).To(BeNumerically("<=", next), "a gap before %s", got[0])
			Expect(got).To(Equal(events[first : first+len(got)]))
			repeats += next - first
			next = first + len(got)
		}
		GinkgoWriter.Println("repeated changes:", repeats)
	}, SpecTimeout(5*patience))

	It("records its position while its own keys are quiet", func(ctx SpecContext) {
		w := newWorld()
		position := recordFile()
		session := following(w.watch("--prefix=/k/", "--resume", position))
		w.churn(ctx, "/elsewhere/", 20)
		now := w.revision(ctx)
		Eventually(func() int64 { return recordedRevision(position) }).Should(Equal(now))
		Expect(stopped(session)).To(BeEmpty())

		w.compact(ctx, now)
		session = following(w.watch("--prefix=/k/", "--resume", position))
		w.put(ctx, "/k/a", "")
		Eventually(session.Out).Should(gbytes.Say("/k/a"))
		stopped(session)
	}, SpecTimeout(2*patience))

	It("names the oldest revision left after a compaction", func(ctx SpecContext) {
		w := newWorld()
		position := recordFile()
		stopped(following(w.watch("--resume", position)))
		w.churn(ctx, "/k/", 10)
		w.compact(ctx, 9)

		session := w.watch("--rev=5")
		Eventually(session).Should(gexec.Exit(1))
		Expect(session.Err).To(gbytes.Say("revision 5 is compacted; the oldest left is 9: use --rev 9"))

		session = w.watch("--resume", position)
		Eventually(session).Should(gexec.Exit(1))
		Expect(session.Err).To(gbytes.Say("revision 2, where .* continues, is compacted; the oldest left is 9.*remove the file and use --rev 9"))

		session = w.watch("--rev=9", "--key=/none")
		following(session)
		stopped(session)
	})

	It("notices a wiped etcd, and rejects foreign records", func(ctx SpecContext) {
		w := newWorld()
		w.churn(ctx, "/k/", 20)
		position := recordFile()
		session := following(w.watch("--prefix=/k/", "--resume", position))
		w.put(ctx, "/k/last", "")
		Eventually(session.Out).Should(gbytes.Say("/k/last"))

		other := w.watch("--prefix=/other/", "--resume", position)
		Eventually(other).Should(gexec.Exit(1))
		Expect(other.Err).To(gbytes.Say(`the record in .* is for the keys from "/k/" to "/k0", not from`))

		Expect(w.cluster.Wipe(ctx)).To(Succeed())
		Eventually(session).Should(gexec.Exit(1))
		Expect(session.Err).To(gbytes.Say(`etcd went back: it is at revision 1, and was at 2\d`))

		again := w.watch("--prefix=/k/", "--resume", position)
		Eventually(again).Should(gexec.Exit(1))
		Expect(again.Err).To(gbytes.Say(`is at revision 2\d, and etcd only at 1: etcd was wiped or restored`))

		stranger := newWorld()
		foreign := stranger.watch("--prefix=/k/", "--resume", position)
		Eventually(foreign).Should(gexec.Exit(1))
		Expect(foreign.Err).To(gbytes.Say(`the record in .* belongs to cluster [0-9a-f]+, and cluster [0-9a-f]+ answers`))
	}, SpecTimeout(2*patience))

	It("merges bursts of changes into batches", func(ctx SpecContext) {
		w := newWorld()
		for i := range 6 {
			w.put(ctx, fmt.Sprint("/k/", i%3), fmt.Sprint(i))
		}
		w.remove(ctx, "/k/0")
		session := w.watch("--prefix=/k/", "--rev=2", "--window=100ms")
		Eventually(session.Out).Should(gbytes.Say("--.*\n"))
		Expect(lines(session)).To(Equal([]string{
			`PUT key="/k/1" value="4" mod_revision=6 length=1`,
			`PUT key="/k/2" value="5" mod_revision=7 length=1`,
			`DELETE key="/k/0" mod_revision=8`,
			`-- 3 keys up to revision 8`,
		}))
		// It waits for rest, but not forever.
		Eventually(func() *gbytes.Buffer {
			w.put(ctx, "/k/busy", "")
			return session.Out
		}).Should(gbytes.Say(`-- 1 key up to revision \d+\n`))
		stopped(session)
	})

	It("prints the unfinished batch at the end", func(ctx SpecContext) {
		w := newWorld()
		position := recordFile()
		w.put(ctx, "/k/a", "1")
		w.put(ctx, "/k/b", "not a number") // what it says about this shows that it has seen the other
		session := w.watch("--prefix=/k/", "--rev=1", "--window=1h", "--resume", position, "--where=int(value) == 1")
		Eventually(session.Err).Should(gbytes.Say(`left out key "/k/b"`))
		Expect(session.Out.Contents()).To(BeEmpty())
		Expect(recordedRevision(position)).To(BeZero())
		Expect(stopped(session)).To(Equal([]string{
			`PUT key="/k/a" value="1" mod_revision=2 length=1`,
			`-- 1 key up to revision 3`,
		}))
		Expect(recordedRevision(position)).To(BeNumerically("==", 3))
	})

	It("prints JSON and YAML that programs can read", func(ctx SpecContext) {
		type change struct {
			Type, Op                             string
			Key, Value                           *string
			KeyBase64, ValueBase64               []byte
			Length                               *int
			ModRevision, CreateRevision, Version int64
			Joined                               int
		}
		type batch struct {
			Revision int64
			Changes  []change
		}
		w := newWorld()
		w.put(ctx, "/k/a", `{"a": "<1>"}`)
		w.put(ctx, "/k/a", "")
		w.put(ctx, "/k/\xff", "\xfe")
		w.remove(ctx, "/k/a")
		text, empty, length := func(s string) *string { return &s }, 0, 1
		twelve := 12
		want := []change{
			{Type: "PUT", Op: "create", Key: text("/k/a"), Value: text(`{"a": "<1>"}`), Length: &twelve, ModRevision: 2, CreateRevision: 2, Version: 1},
			{Type: "PUT", Op: "update", Key: text("/k/a"), Value: text(""), Length: &empty, ModRevision: 3, CreateRevision: 2, Version: 2},
			{Type: "PUT", Op: "create", KeyBase64: []byte("/k/\xff"), ValueBase64: []byte("\xfe"), Length: &length, ModRevision: 4, CreateRevision: 4, Version: 1},
			{Type: "DELETE", Op: "delete", Key: text("/k/a"), ModRevision: 5},
		}
		session := w.watch("--rev=2", "-o=json")
		Eventually(session.Out).Should(gbytes.Say("DELETE.*\n"))
		Expect(session.Out.Contents()).To(ContainSubstring(`<1>`))
		Expect(parsed[change](stopped(session), json.Unmarshal)).To(Equal(want))

		session = w.watch("--rev=2", "-o=yaml")
		Eventually(session.Out).Should(gbytes.Say("DELETE\n"))
		documents := strings.Split(strings.Join(stopped(session), "\n"), "---\n")
		Expect(documents[0]).To(BeEmpty(), "every document begins with its separator")
		Expect(parsed[change](documents[1:], func(b []byte, v any) error { return yaml.Unmarshal(b, v) })).To(Equal(want))

		session = w.watch("--rev=2", "-o=json", "--window=200ms")
		Eventually(session.Out).Should(gbytes.Say("\n"))
		want[3].Joined = 3
		Expect(parsed[batch](stopped(session), json.Unmarshal)).To(Equal([]batch{{Revision: 5, Changes: want[2:]}}))
	})

	It("authenticates, and reports denied access", func(ctx SpecContext) {
		w := newWorld()
		root := w.requirePasswords(ctx, "/k/")
		session := following(w.watch("--user=reader:secret", "--prefix=/k/", "--where=old != null"))
		for range 2 {
			_, err := root.Put(ctx, "/k/a", "1")
			Expect(err).NotTo(HaveOccurred())
		}
		Eventually(session.Out).Should(gbytes.Say("\n"))
		Expect(stopped(session)).To(HaveExactElements(ContainSubstring("mod_revision=3")))

		for want, args := range map[string][]string{
			"permission denied":               {"--user=reader:secret", "--prefix=/other/"},
			"authentication failed":           {"--user=reader:wrong", "--prefix=/k/"},
			"user name is empty|token is not": {"--prefix=/k/"},
		} {
			session := w.watch(args...)
			Eventually(session).Should(gexec.Exit(1), "%v", args)
			Expect(string(session.Err.Contents())).To(MatchRegexp(want))
		}
	})

	It("ends with the reason if the command line is invalid", func() {
		w := newWorld()
		for want, args := range map[string][]string{
			`--where: condition "key == 3": line 1, column 5`: {"--where=key == 3"},
			"not one of put, create, update, delete":          {"--op=patch"},
			"give only one of":                                {"--key=a", "--prefix=b"},
			"not one of line, json, yaml":                     {"-o=xml"},
			"backslash":                                       {`--match=a\`},
			"must not be negative":                            {"--rev=-1"},
			"unexpected argument":                             {"/mykey"},
			"belong together":                                 {"--cert=x"},
			"want name:password":                              {"--user=x"},
			"flag provided but not defined":                   {"--nonsense"},
		} {
			session := w.watch(args...)
			Eventually(session).Should(gexec.Exit(2), "%v", args)
			Expect(string(session.Err.Contents())).To(ContainSubstring(want))
		}
	})

	It("ends when etcd is not at the revision yet", func() {
		w := newWorld()
		session := w.watch("--rev=100")
		Eventually(session).Should(gexec.Exit(1))
		Expect(session.Err).To(gbytes.Say(`--rev 100 is in the future: etcd is at revision 1`))
	})
})

// parsed parses each text.
func parsed[T any](texts []string, parse func([]byte, any) error) []T {
	GinkgoHelper()
	items := make([]T, len(texts))
	for i, text := range texts {
		Expect(parse([]byte(text), &items[i])).To(Succeed(), "%s", text)
	}
	return items
}

// indexOf returns the index of an item, or fails.
func indexOf(items []string, item string) int {
	GinkgoHelper()
	for i := range items {
		if items[i] == item {
			return i
		}
	}
	Fail("not printed: " + item)
	return -1
}
