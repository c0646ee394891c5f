package main

// Load that a test has set: a total that the ready pods of a workload share, or so much for each.

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	idleCores  = 0.001
	idleMemory = 16 * 1024 * 1024
	// How long a count of ready pods is good for.
	countFor = time.Second
)

// usage of one container.
type usage struct {
	started time.Time
	cpu     float64 // core-seconds since the start
	memory  int64   // bytes
}

// loadSetting is the load of one workload; quantities as Kubernetes writes them.
type loadSetting struct {
	Namespace        string `json:"namespace"`
	Workload         string `json:"workload"`
	CPUTotal         string `json:"cpuTotal"`
	CPUPerReplica    string `json:"cpuPerReplica"`
	MemoryTotal      string `json:"memoryTotal"`
	MemoryPerReplica string `json:"memoryPerReplica"`
}

type loads struct {
	pods *pods

	mutex    sync.Mutex
	settings map[string]loadSetting
	counted  time.Time
	ready    map[string]int
}

func newLoads(pods *pods) *loads {
	return &loads{pods: pods, settings: map[string]loadSetting{}}
}

// set takes over the load from now on.
func (l *loads) set(settings []loadSetting) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.settings = map[string]loadSetting{}
	for _, setting := range settings {
		l.settings[setting.Namespace+"/"+setting.Workload] = setting
	}
}

// of returns what a pod uses now: cores and bytes. Its limits hold.
func (l *loads) of(pod *corev1.Pod) (float64, int64) {
	key := pod.Namespace + "/" + workloadOf(pod)
	l.mutex.Lock()
	setting, found := l.settings[key]
	replicas := 1
	if found {
		replicas = max(1, l.replicas()[key])
	}
	l.mutex.Unlock()
	cores, memory := idleCores, int64(idleMemory)
	if found {
		cores = share(setting.CPUTotal, setting.CPUPerReplica, replicas, cores)
		memory = int64(share(setting.MemoryTotal, setting.MemoryPerReplica, replicas, float64(memory)))
	}
	limits := pod.Spec.Containers[0].Resources.Limits
	if limit, set := limits[corev1.ResourceCPU]; set {
		cores = min(cores, limit.AsApproximateFloat64())
	}
	return cores, memory
}

func share(total, each string, replicas int, otherwise float64) float64 {
	if quantity, err := resource.ParseQuantity(each); each != "" && err == nil {
		return quantity.AsApproximateFloat64()
	}
	if quantity, err := resource.ParseQuantity(total); total != "" && err == nil {
		return quantity.AsApproximateFloat64() / float64(replicas)
	}
	return otherwise
}

// replicas counts the ready pods of every workload.
func (l *loads) replicas() map[string]int {
	if l.ready != nil && time.Since(l.counted) < countFor {
		return l.ready
	}
	l.ready, l.counted = map[string]int{}, time.Now()
	l.pods.mutex.RLock()
	defer l.pods.mutex.RUnlock()
	for _, entry := range l.pods.entries {
		if entry.ready {
			l.ready[entry.pod.Namespace+"/"+entry.workload]++
		}
	}
	return l.ready
}
