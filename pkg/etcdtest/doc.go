// Package etcdtest runs an etcd inside the process, for tests and examples. It is the real
// server, with one member or several, and it can suffer the faults that a real one
// suffers. It is the only package that imports the etcd server.
//
// A test needs one line. The cluster serves when Start returns, after about 100 ms, and is
// closed when the test ends:
//
//	func TestStore(t *testing.T) {
//		etcdtest.VerifyNoLeaks(t)
//		client := etcdtest.Start(t, etcdtest.Options{}).Client()
//		...
//	}
//
// A program calls [Run] and [Cluster.Close]. With a DataDir the next run serves the same
// data, at any address.
//
// # Faults
//
// Members can be stopped and restarted ([Member.Stop], [Member.Restart]), lose their data
// ([Cluster.Wipe]), and lose each other ([Cluster.Isolate], [Cluster.Heal]). A client loses
// its member through a [Link], a proxy of its own:
//
//	link, err := cluster.Member(0).NewLink()
//	client, err := cluster.NewClient(etcdtest.ClientOptions{Endpoints: []string{link.Endpoint()}})
//	link.Freeze() // no byte passes, and no connection breaks
//	link.Heal()
//
// Other clients do not use the link: it neither disturbs nor slows them.
//
// # Guarantees
//
//   - Endpoints stay the same through every fault, for as long as the cluster lives.
//     Sockets lie in a private directory, so that no other process can take them.
//   - etcd advertises the addresses that Endpoints returns.
//   - Close returns when the last goroutine that the cluster started has ended, even if
//     watches are open. Clusters share nothing: run as many as you like.
//   - etcd writes nothing to the standard streams; see [Options.Log].
//   - Every wait ends with its context, or within a minute.
//
// # Not guaranteed
//
//   - Fitness for production. There is no TLS and no automatic compaction. Raft's
//     clocks run about ten times as fast as usual: the election timeout is 100 ms in a
//     cluster of one member, and 200 ms in larger ones.
//   - That data survive a crash of the machine, unless [Options.Fsync] is set.
//   - That all faults occur. Stopping a member is like a kill that leaves its files
//     whole. Torn files, full disks and skewed clocks are not simulated.
//   - That an isolated leader has no effect from the moment of Isolate. Isolate drops
//     raft's messages. But a follower that has not noticed the isolation may still pass
//     the keepalive of a lease to the old leader.
//   - That clusters are free. A member reserves about 130 MB of disk for its log while it
//     runs, and a new one syncs the disk three times, even without Options.Fsync. Where
//     that is slow, set TMPDIR to a directory in memory.
package etcdtest
