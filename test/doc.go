// Package test has the suites that cross packages: the example programs, run
// as a user runs them, and a system of controllers whose processes are killed and
// suspended, with etcd's own history as the witness of what they did; and the
// code in the README and in docs.
//
// HOMEOSTAT_CRASH_SEED repeats a run of that system, as far as timing allows.
// HOMEOSTAT_CRASH_ROUNDS sets how many rounds it has, each with some changes and a
// fault: by default one round for each kind of fault, or 24 if HOMEOSTAT_SOAK is set.
package test
