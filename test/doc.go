// Package test has the suites that cross packages. They run the example programs as
// a user runs them, compile the code in the README and in docs, and run a system of
// controllers while they kill and suspend its processes. etcd's own history then shows
// what these processes did.
//
// HOMEOSTAT_CRASH_SEED repeats a run of that system, as far as timing allows.
// HOMEOSTAT_CRASH_ROUNDS sets how many rounds it has, each with some changes and a
// fault: by default one round for each kind of fault, or 24 if HOMEOSTAT_SOAK is set.
package test
