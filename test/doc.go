// Package test has the suites that cross packages: the example programs, run
// as a user runs them, and a system of controllers whose processes are killed and
// suspended, with etcd's own history as the witness of what they did; and the
// code in the README and in docs.
//
// HOMEOSTAT_CRASH_SEED replays a run of the latter, as far as timing allows, and
// HOMEOSTAT_CRASH_ROUNDS, of changes and a fault each, says how long it is; it
// defaults to 6.
package test
