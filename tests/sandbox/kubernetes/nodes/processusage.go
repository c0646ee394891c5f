package main

// What the processes of a pod use, from /proc.

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const ticksPerSecond = 100

func (p *processPod) usage(pod *corev1.Pod) []usage {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	found := make([]usage, len(pod.Spec.Containers))
	for index, process := range p.running {
		found[index].started = p.states.main[index].started
		if process != nil {
			found[index].cpu, found[index].memory = processUsage(process.Pid)
		}
	}
	return found
}

// processUsage is CPU in seconds and resident memory in bytes; zero for what is gone.
func processUsage(id int) (float64, int64) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	if err != nil {
		return 0, 0
	}
	// The second field is a name in brackets that may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 22 {
		return 0, 0
	}
	var ticks, pages float64
	for _, index := range []int{11, 12, 13, 14} { // user, system, and those of its children
		value, _ := strconv.ParseFloat(fields[index], 64)
		ticks += value
	}
	pages, _ = strconv.ParseFloat(fields[21], 64)
	return ticks / ticksPerSecond, int64(pages) * int64(os.Getpagesize())
}
