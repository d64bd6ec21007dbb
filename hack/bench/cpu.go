package main

import "syscall"

// cpuTime is what the process has used of the processors so far, in seconds. Unlike
// the time that passes, it hardly depends on what else the machine does.
func cpuTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
