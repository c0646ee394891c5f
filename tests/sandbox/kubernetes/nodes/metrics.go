package main

// `/metrics/resource`: what the containers of a node use, as counters that only grow.

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// What the system of a node uses beside its pods.
	systemCores  = 0.02
	systemMemory = 250 * 1024 * 1024
)

// nodeUsage adds up what a node's pods used, also of those that are gone.
type nodeUsage struct {
	at   time.Time
	cpu  float64
	pods map[string]float64
}

func (k *kubelets) metrics(node string) string {
	now := time.Now()
	stamp := now.UnixMilli()
	var cpu, memory, started, podCPU, podMemory strings.Builder
	total := int64(systemMemory)
	used := map[string]float64{}
	for _, pod := range k.pods.onNode(node) {
		usages := k.pods.usageOf(pod)
		if usages == nil {
			continue
		}
		sum, sumMemory := 0.0, int64(0)
		for index, usage := range usages {
			labels := fmt.Sprintf(`container=%q,namespace=%q,pod=%q`, pod.Spec.Containers[index].Name, pod.Namespace, pod.Name)
			fmt.Fprintf(&cpu, "container_cpu_usage_seconds_total{%s} %.6f %d\n", labels, usage.cpu, stamp)
			fmt.Fprintf(&memory, "container_memory_working_set_bytes{%s} %d %d\n", labels, usage.memory, stamp)
			fmt.Fprintf(&started, "container_start_time_seconds{%s} %.3f\n", labels, float64(usage.started.UnixMilli())/1000)
			sum += usage.cpu
			sumMemory += usage.memory
		}
		labels := fmt.Sprintf(`namespace=%q,pod=%q`, pod.Namespace, pod.Name)
		fmt.Fprintf(&podCPU, "pod_cpu_usage_seconds_total{%s} %.6f %d\n", labels, sum, stamp)
		fmt.Fprintf(&podMemory, "pod_memory_working_set_bytes{%s} %d %d\n", labels, sumMemory, stamp)
		used[string(pod.UID)] = sum
		total += sumMemory
	}
	nodeCPU := k.nodeCPU(node, now, used)
	var text strings.Builder
	family := func(name, kind, help, samples string) {
		fmt.Fprintf(&text, "# HELP %s [STABLE] %s\n# TYPE %s %s\n%s", name, help, name, kind, samples)
	}
	family("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds", cpu.String())
	family("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes", memory.String())
	family("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds", started.String())
	family("node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds", fmt.Sprintf("node_cpu_usage_seconds_total %.6f %d\n", nodeCPU, stamp))
	family("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes", fmt.Sprintf("node_memory_working_set_bytes %d %d\n", total, stamp))
	family("pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds", podCPU.String())
	family("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes", podMemory.String())
	family("resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise", "resource_scrape_error 0\n")
	return text.String()
}

// nodeCPU is the node's counter: what its pods have used since the last time, and the system.
func (k *kubelets) nodeCPU(node string, now time.Time, used map[string]float64) float64 {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	before := k.nodes[node]
	if before == nil {
		before = &nodeUsage{at: now.Add(-time.Minute)}
		k.nodes[node] = before
	}
	before.cpu += systemCores * now.Sub(before.at).Seconds()
	for pod, cpu := range used {
		before.cpu += max(0, cpu-before.pods[pod])
	}
	before.at, before.pods = now, used
	return before.cpu
}

// usageOf is what the containers of a pod use; nil for one that does not run.
func (p *pods) usageOf(pod *corev1.Pod) []usage {
	p.mutex.RLock()
	found := p.entries[pod.UID]
	p.mutex.RUnlock()
	if found == nil || pod.Status.Phase != corev1.PodRunning {
		return nil
	}
	return found.runner.usage(pod)
}
