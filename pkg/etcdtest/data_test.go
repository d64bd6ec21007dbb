package etcdtest

import (
	"testing"
)

func TestRestartKeepsData(t *testing.T) {
	for _, o := range []Options{{}, {ClientAddr: "127.0.0.1:0"}} {
		t.Run(o.ClientAddr, func(t *testing.T) {
			VerifyNoLeaks(t)
			c := Start(t, o)
			put(t, c.Client(), "a", "1")
			m, endpoint := c.Member(0), c.Member(0).Endpoint()

			must(t, m.Stop())
			must(t, m.Stop())
			must(t, m.Restart(bounded(t)))
			if m.Endpoint() != endpoint {
				t.Errorf("the endpoint was %s and is %s", endpoint, m.Endpoint())
			}
			if got := get(t, c.Client(), "a"); got != "1" {
				t.Errorf("after Stop and Restart a is %q", got)
			}
			must(t, m.Restart(bounded(t)))
			if got := get(t, c.Client(), "a"); got != "1" {
				t.Errorf("after Restart alone a is %q", got)
			}
		})
	}
}

func TestWipe(t *testing.T) {
	for _, n := range []int{1, 3} {
		VerifyNoLeaks(t)
		c := Start(t, Options{Members: n})
		put(t, c.Client(), "a", "1")
		put(t, c.Client(), "a", "2")
		before, err := c.Client().MemberList(bounded(t))
		must(t, err)

		must(t, c.Wipe(bounded(t)))
		if rev := revision(t, c.Client()); rev != 1 {
			t.Errorf("%d members: the revision is %d", n, rev)
		}
		if got := get(t, c.Client(), "a"); got != "" {
			t.Errorf("%d members: a is still %q", n, got)
		}
		after, err := c.Client().MemberList(bounded(t))
		must(t, err)
		if before.Header.ClusterId != after.Header.ClusterId {
			t.Errorf("%d members: the cluster id changed", n)
		}
	}
}

func TestWipeMember(t *testing.T) {
	VerifyNoLeaks(t)
	one, three := Start(t, Options{}), Start(t, Options{Members: 3})
	put(t, one.Client(), "a", "1")
	must(t, one.Member(0).Stop())
	must(t, one.Member(0).Wipe(bounded(t)))
	if rev := revision(t, one.Client()); rev != 1 {
		t.Errorf("the revision is %d", rev)
	}
	if err := three.Member(0).Wipe(bounded(t)); err == nil {
		t.Error("one of three members was wiped")
	}
	put(t, three.Client(), "a", "1")
}

// The next run finds the data although its addresses differ.
func TestDataDir(t *testing.T) {
	for _, n := range []int{1, 3} {
		VerifyNoLeaks(t)
		dir := t.TempDir()
		var rev int64
		for run, addr := range []string{"127.0.0.1:0", "127.0.0.1:0", Unix} {
			c, err := Run(bounded(t), Options{Members: n, DataDir: dir, ClientAddr: addr, Fsync: run > 0})
			must(t, err)
			if run > 0 {
				if got := get(t, c.Client(), "a"); got != "1" || revision(t, c.Client()) != rev {
					t.Errorf("%d members, run %d: a is %q, revision %d not %d", n, run, got, revision(t, c.Client()), rev)
				}
			}
			put(t, c.Client(), "a", "1")
			must(t, c.Client().Sync(bounded(t)))
			put(t, c.Client(), "b", "1")
			rev = revision(t, c.Client())
			must(t, c.Close())
		}
	}
}

func TestWipeKeptData(t *testing.T) {
	VerifyNoLeaks(t)
	o := Options{Members: 3, DataDir: t.TempDir()}
	c := Start(t, o)
	put(t, c.Client(), "a", "1")
	must(t, c.Wipe(bounded(t)))
	put(t, c.Client(), "b", "1")
	must(t, c.Close())

	c = Start(t, o)
	if get(t, c.Client(), "a") != "" || get(t, c.Client(), "b") != "1" {
		t.Error("the next run does not serve what was written since the wipe")
	}
}
