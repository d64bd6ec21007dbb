package main

import "syscall"

// cpuTime returns the CPU time of the process so far, in seconds. Unlike elapsed time, it
// hardly depends on other load.
func cpuTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
