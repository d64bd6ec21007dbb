// Package etcdtest runs an etcd inside the process, for tests and examples:
// the real server, of one member or several, and the faults that a real one
// suffers. It is the only package that imports the etcd server.
//
// In a test one line is enough. The cluster is ready when Start returns, some
// 100 ms later, and is gone when the test has ended:
//
//	func TestStore(t *testing.T) {
//		etcdtest.VerifyNoLeaks(t)
//		client := etcdtest.Start(t, etcdtest.Options{}).Client()
//		...
//	}
//
// A program calls Run and Close. With a DataDir the next run serves the same
// data, at whatever address.
//
// # Faults
//
// Members are stopped and started again (Member.Stop, Member.Restart), lose
// their data (Cluster.Wipe), and lose each other (Cluster.Isolate, Cluster.Heal).
// A client loses its member through a Link, a proxy of its own:
//
//	link, err := cluster.Member(0).NewLink()
//	client, err := cluster.NewClient(etcdtest.ClientOptions{Endpoints: []string{link.Endpoint()}})
//	link.Freeze() // nothing passes, and nobody is told
//	link.Heal()
//
// Clients that do not go through the link are neither disturbed nor slowed.
//
// # What it guarantees
//
//   - Endpoints stay the same while the cluster lives, through every fault.
//     Sockets lie in a private directory, so no other process can take them.
//   - What etcd tells of its members' addresses is what Endpoints says.
//   - Close returns when the last goroutine that the cluster started has ended,
//     open watches or not. Clusters share nothing: run as many as fit.
//   - etcd writes nothing to the standard streams: see Options.Log.
//   - Every wait ends with its context, or within a minute.
//
// # What it does not
//
//   - It is not for production. There is no TLS, no compaction, and raft's
//     clocks run about ten times as fast as usual: 100 ms to an election in
//     a lone member, 200 ms in several.
//   - Without Options.Fsync a crash of the machine may lose data.
//   - Stopping a member is a kill that leaves its files whole. Torn files, full
//     disks and skewed clocks are not simulated.
//   - Isolate drops the messages of raft. A follower may still pass a lease's
//     keepalive to an old leader until it takes note that it has none.
//   - A member reserves about 130 MB of disk while it runs, for its log, and
//     a new one waits for the disk three times, even without Options.Fsync.
//     Where that is slow, a TMPDIR in memory helps.
package etcdtest
