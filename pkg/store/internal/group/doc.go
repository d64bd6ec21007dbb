// Package group commits independent transactions of one etcd client together.
//
// etcd agrees on one request at a time, and its transactions nest. While requests of a
// [Committer] are under way, further transactions wait, and then go together: as the
// members of one outer transaction, in one request. Each member has its own conditions,
// its own branch and its own answer. With nothing under way, a transaction goes at once,
// alone and not nested, as if there were no Committer.
//
// # Guarantees
//
//   - An answer means what the answer to a transaction of its own would mean. What the
//     members of a group did and saw is what they would have done and seen one after the
//     other, in any order.
//   - A member whose conditions do not hold leaves the others as they are.
//   - If etcd refuses a group, because of one member or because of its size, each member
//     goes on its own and gets its own answer. An error that leaves the outcome of the
//     group unknown leaves that of each member unknown, and every member gets it.
//   - A caller whose context ends leaves its group if that was not sent, and learns so:
//     [NotSentError]. Later its outcome is unknown, as if it were alone. The others go on.
//   - Groups are bounded, and no transaction waits for a later one: the one that has
//     waited longest is part of the next group. Nothing waits for time to pass.
//
// # Not guaranteed
//
//   - That revisions are distinct. The members of a group have one revision, which is that
//     of the header in each of their answers.
//   - An order among transactions of several callers. Two that wait may go in either order.
//   - Bounds of the client that are narrower than etcd's own. A client that limits the size
//     of responses may see that limit for a group, though no member alone would reach it.
//   - The last bytes of etcd's quota: etcd may refuse a group where its first member would
//     have fitted.
//
// # What may share a group
//
// etcd evaluates the conditions of all members before it applies any of them. If one member
// put what another compares, both would succeed, where the second should have failed: a
// lost update, or a write skew. A read, in contrast, sees what earlier members have put.
// So no member of a group writes a key that another reads, compares or writes. Ranges
// count as all keys within them. Both branches of a member count, whichever is taken.
// Two members may read and compare the same keys, such as fences.
//
// A group never mixes members that put with members that do not: an etcd that is out of
// space still deletes, and refuses a request with a single put.
//
// Transactions without writes go alone, since etcd answers them without a consensus. So do
// those that nest already, and those whose context has gRPC metadata of its own.
//
// # What etcd and proxies accept
//
// etcd counts the members of a group plus the operations of its largest member, and accepts
// 128 unless its --max-txn-ops says otherwise. A request has at most 1.5 MiB, or
// --max-request-bytes. Groups respect the defaults. When etcd refuses a smaller group,
// later groups are smaller still.
//
// Before its first group a Committer sends a nested transaction that only reads. If the
// server or a proxy does not answer it as etcd does, the Committer logs that once and
// groups nothing any more.
package group
