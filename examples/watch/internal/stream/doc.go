// Package stream follows a range of etcd's keys through every interruption, and
// hands each change on once.
//
// # What is guaranteed
//
//   - Every change after the starting position arrives, once, in the order of
//     revisions, and never half of a revision. What cannot be had any more ends
//     the stream: changes that are compacted, an etcd that went back.
//   - Steps that are not taken use bounded memory: a reader that is too slow
//     makes the stream give up its watch and ask for the rest later.
//   - An etcd that was wiped or restored is found out when its revision is
//     lower than what was seen, or when the key that changed last contradicts
//     what was seen of it. That is checked before a watch is opened and every
//     few seconds.
//
// # What is not
//
//   - An etcd that was restored and has gone on since, and whose key that
//     changed last was changed once more or is gone, looks like one that was
//     not. Between two checks, changes of such an etcd may be handed on.
//   - It replays rather than lists: when it is far behind, that takes etcd long.
package stream
