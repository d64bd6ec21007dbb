// Package test has the suites that cross packages: the example programs, run
// as a user runs them, with etcd's own history as the witness of what they did,
// and the code in the README and in docs.
package test
