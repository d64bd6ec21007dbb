// Package stream follows a range of etcd's keys through interruptions and delivers
// each change once.
//
// # What is guaranteed
//
//   - Every change after the starting position arrives once, in revision order, and
//     never half of a revision. The stream ends with an error if changes are lost:
//     revisions were compacted, or etcd went back.
//   - Waiting steps use bounded memory. If the reader is too slow, the stream closes
//     its watch and reads the rest later.
//   - The stream notices that etcd was wiped or restored if etcd's revision is lower
//     than the last one seen, or if the last changed key (the sentinel) contradicts
//     what the stream saw. It checks before it opens a watch and every few seconds.
//
// # What is not guaranteed
//
//   - The stream does not notice a restored etcd that has since passed the last
//     revision seen and in which the sentinel's key changed again or is gone. Between
//     two checks it may deliver changes of a restored etcd.
//   - The stream replays history and never lists. Far behind, that is slow.
package stream
