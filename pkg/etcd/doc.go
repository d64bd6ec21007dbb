// Package etcd reads and watches ranges of etcd keys. It knows keys, values and
// revisions, and nothing of the objects in the values: package store builds those
// on top. Use it where you need raw keys, or where you need more control over a
// watch than etcd's client gives.
//
// # Use
//
// [List] reads a range at one revision. [OpenWatch] from the next revision on
// continues the list without a gap:
//
//	keys := etcd.PrefixRange("/registry/")
//	revision, err := etcd.List(ctx, client, keys, 0, each)
//	...
//	watch, err := etcd.OpenWatch(ctx, client, keys, revision+1, etcd.WatchOptions{})
//	...
//	defer watch.Close()
//	for {
//		resp, ok := <-watch.Responses
//		if err := etcd.WatchError(resp, ok); err != nil {
//			return watch.Explain(err)
//		}
//		for _, event := range resp.Events {
//			...
//		}
//	}
//
// [Get] reads a few keys out of many, and [ReadTxn] executes any reads. Both take one
// round trip and read at one revision. [CurrentRevision] asks for etcd's revision.
// [Commit] executes a transaction.
//
// # Guarantees
//
//   - A list shows one revision, whether the server streams it or it comes in pages.
//     At revision 0 it is linearizable.
//   - A watch delivers each change from its first revision on once, in the order of
//     revisions, with all events of a revision in one response. If it cannot, it ends
//     with an error. It never continues on another connection, where etcd may have
//     been wiped or restored.
//   - One member that is cut off from the others, is a learner, or hangs does no lasting
//     harm if the client has several endpoints: reads, lists and the opening of
//     a watch are tried again on other members, see [Retry]. A member that is known to
//     have no leader costs milliseconds, and one that hangs costs seconds.
//   - When Close returns, no goroutine of the watch is left.
//   - Errors name the range and the revision. They wrap Kubernetes' errors where one
//     has the same meaning, such as ResourceExpired for a compacted revision, and
//     etcd's own.
//
// # Not guaranteed
//
//   - A watch is not opened again when it ends. The caller decides whether that is
//     safe: see [Resumable], and compare etcd's revision with the last one seen.
//   - A write to a member that hangs, or has not noticed yet that it is cut off, waits
//     for that member: its outcome is unknown, so nothing repeats it. That takes about
//     7 s for a member that is cut off, and for one that hangs until the client's
//     keepalive ends the connection.
//   - The memory for responses that nobody reads has no bound. Use
//     [WatchOptions].OnReceive to end a watch that falls behind.
//   - If the client's Watcher was replaced, such as by clientv3/namespace, lost
//     connections do not end a watch.
package etcd
