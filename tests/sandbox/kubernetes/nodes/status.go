package main

// The status of a pod, put together from the states of its containers.

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// containerState is where one container is.
type containerState struct {
	waiting  string // The reason to wait; empty when it runs or has ended.
	message  string
	started  time.Time
	ended    time.Time // Not zero: it has ended.
	exitCode int32
	ready    bool
	restarts int32
	// How the last run ended, when there was one.
	lastEnded    time.Time
	lastExitCode int32
}

// podState is where a pod is.
type podState struct {
	node, address, host string
	began               time.Time
	initialised         bool
	init, main          []containerState
}

// phase follows from the containers, as for a kubelet.
func (state podState) phase(policy corev1.RestartPolicy) corev1.PodPhase {
	running, failed, ended := false, false, 0
	for _, container := range state.main {
		switch {
		case !container.ended.IsZero():
			ended++
			failed = failed || container.exitCode != 0
		case !container.started.IsZero() || container.restarts > 0:
			running = true
		}
	}
	for _, container := range state.init {
		if !container.ended.IsZero() && container.exitCode != 0 && policy == corev1.RestartPolicyNever {
			return corev1.PodFailed
		}
	}
	switch {
	case ended == len(state.main) && failed:
		return corev1.PodFailed
	case ended == len(state.main):
		return corev1.PodSucceeded
	case running || ended > 0:
		return corev1.PodRunning
	}
	return corev1.PodPending
}

// status is what is written to the API server.
func (state podState) status(pod *corev1.Pod) corev1.PodStatus {
	phase := state.phase(pod.Spec.RestartPolicy)
	containersReady := phase == corev1.PodRunning
	for _, container := range state.main {
		containersReady = containersReady && container.ready
	}
	began := metav1.NewTime(state.began.Truncate(time.Second))
	status := corev1.PodStatus{
		ObservedGeneration: pod.Generation, Phase: phase, StartTime: &began,
		HostIP: state.host, HostIPs: []corev1.HostIP{{IP: state.host}},
	}
	if state.address != "" {
		status.PodIP, status.PodIPs = state.address, []corev1.PodIP{{IP: state.address}}
	}
	status.InitContainerStatuses = containerStatuses(pod, pod.Spec.InitContainers, state.init)
	status.ContainerStatuses = containerStatuses(pod, pod.Spec.Containers, state.main)
	notReady, gate := "ContainersNotReady", "ContainersNotReady"
	if phase == corev1.PodSucceeded {
		notReady, gate = "PodCompleted", "PodCompleted"
	}
	ready := containersReady
	if open := openGate(pod); ready && open != "" {
		ready, gate = false, "ReadinessGatesNotReady"
	}
	for _, entry := range []struct {
		kind   corev1.PodConditionType
		holds  bool
		reason string
	}{
		{corev1.PodReadyToStartContainers, state.address != "", ""},
		{corev1.PodInitialized, state.initialised, "ContainersNotInitialized"},
		{corev1.ContainersReady, containersReady, notReady},
		{corev1.PodReady, ready, gate},
	} {
		status.Conditions = append(status.Conditions, podCondition(pod, entry.kind, entry.holds, entry.reason))
	}
	return status
}

// podCondition keeps the time of a condition that is already as it should be.
func podCondition(pod *corev1.Pod, kind corev1.PodConditionType, holds bool, reason string) corev1.PodCondition {
	wanted := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, Reason: reason, ObservedGeneration: pod.Generation}
	if holds {
		wanted.Status, wanted.Reason = corev1.ConditionTrue, ""
	}
	wanted.LastTransitionTime = metav1.NewTime(time.Now().Truncate(time.Second))
	for _, present := range pod.Status.Conditions {
		if present.Type == kind && present.Status == wanted.Status {
			wanted.LastTransitionTime = present.LastTransitionTime
		}
	}
	return wanted
}

// openGate names a readiness gate that is not passed.
func openGate(pod *corev1.Pod) string {
	for _, gate := range pod.Spec.ReadinessGates {
		passed := false
		for _, condition := range pod.Status.Conditions {
			passed = passed || condition.Type == gate.ConditionType && condition.Status == corev1.ConditionTrue
		}
		if !passed {
			return string(gate.ConditionType)
		}
	}
	return ""
}

func containerStatuses(pod *corev1.Pod, containers []corev1.Container, states []containerState) []corev1.ContainerStatus {
	var statuses []corev1.ContainerStatus
	for index, container := range containers {
		if index >= len(states) {
			break
		}
		state := states[index]
		running := state.waiting == "" && state.ended.IsZero() && !state.started.IsZero()
		status := corev1.ContainerStatus{
			Name: container.Name, Image: container.Image, Ready: state.ready, RestartCount: state.restarts, Started: &running,
		}
		switch {
		case !state.ended.IsZero():
			status.State.Terminated = terminated(pod, container, state.started, state.ended, state.exitCode)
		case running:
			began := metav1.NewTime(state.started.Truncate(time.Second))
			status.State.Running = &corev1.ContainerStateRunning{StartedAt: began}
			status.ImageID = container.Image + "@sha256:" + digest(container.Image)
			status.ContainerID = identifier(pod, container, state.started)
		default:
			status.State.Waiting = &corev1.ContainerStateWaiting{Reason: state.waiting, Message: state.message}
		}
		if !state.lastEnded.IsZero() {
			status.LastTerminationState.Terminated = terminated(pod, container, state.started, state.lastEnded, state.lastExitCode)
		}
		statuses = append(statuses, status)
	}
	return statuses
}

func terminated(pod *corev1.Pod, container corev1.Container, started, ended time.Time, code int32) *corev1.ContainerStateTerminated {
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	return &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, ContainerID: identifier(pod, container, started),
		StartedAt: metav1.NewTime(started.Truncate(time.Second)), FinishedAt: metav1.NewTime(ended.Truncate(time.Second)),
	}
}

func identifier(pod *corev1.Pod, container corev1.Container, started time.Time) string {
	return "containerd://" + digest(string(pod.UID)+container.Name+started.String())
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
