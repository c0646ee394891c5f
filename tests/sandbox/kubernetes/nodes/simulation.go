package main

// A pod of an image that nobody has a program for: it goes through a pod's life by the clock.

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// From here on a pod shows the steps on its way to being ready.
	slowStart     = time.Second
	crashInterval = 10 * time.Second
	missingRetry  = time.Second
)

type simulation struct {
	pods    *pods
	began   time.Time
	resumed bool // It was running before this program was started.

	mutex   sync.Mutex
	asked   time.Time // When its end was asked for.
	sampled time.Time
	cpu     float64 // Core-seconds used until then.
}

func (s *simulation) state(ctx context.Context, pod *corev1.Pod) (podState, time.Duration) {
	how := behaviourOf(pod, s.pods.fleet.now())
	if !s.resumed {
		if missing := s.pods.missing(ctx, pod); missing.reason != "" {
			return waitingState(pod, missing.reason, missing.message), missingRetry
		}
	}
	if how.fail == "image" {
		return s.imageFails(ctx, pod), 0
	}
	age := time.Since(s.began)
	if s.resumed {
		age = max(age, how.ready)
	}
	if age < how.ready {
		if how.ready >= slowStart && age >= how.ready/3 {
			return s.running(pod, false), how.ready - age
		}
		if how.ready >= slowStart {
			return waitingState(pod, "ContainerCreating", ""), how.ready/3 - age
		}
		return waitingState(pod, "ContainerCreating", ""), how.ready - age
	}
	finishes := pod.Spec.RestartPolicy != corev1.RestartPolicyAlways
	switch {
	case how.fail == "crash" && pod.Spec.RestartPolicy != corev1.RestartPolicyNever:
		return s.crashing(pod, age-how.ready), crashInterval
	case finishes && age >= how.ready+how.run:
		return s.finished(pod, how)
	case finishes:
		return s.running(pod, how.fail != "never-ready"), how.ready + how.run - age
	}
	return s.running(pod, how.fail != "never-ready"), 0
}

// running: every container since the pod began.
func (s *simulation) running(pod *corev1.Pod, ready bool) podState {
	state := podState{initialised: true, init: initDone(pod, s.began)}
	for range pod.Spec.Containers {
		state.main = append(state.main, containerState{started: s.began, ready: ready})
	}
	return state
}

func (s *simulation) finished(pod *corev1.Pod, how behaviour) (podState, time.Duration) {
	state := s.running(pod, false)
	code := int32(0)
	if how.fail == "crash" {
		code = 1
	}
	for index := range state.main {
		state.main[index].ended, state.main[index].exitCode = s.began.Add(how.ready+how.run), code
	}
	return state, 0
}

func (s *simulation) crashing(pod *corev1.Pod, since time.Duration) podState {
	state := s.running(pod, false)
	restarts := int32(min(since/crashInterval, 5)) + 1
	for index, container := range pod.Spec.Containers {
		state.main[index] = containerState{
			waiting: "CrashLoopBackOff", started: s.began, restarts: restarts, lastEnded: s.began.Add(since / crashInterval * crashInterval), lastExitCode: 1,
			message: fmt.Sprintf("back-off 10s restarting failed container=%s pod=%s_%s", container.Name, pod.Name, pod.Namespace),
		}
	}
	return state
}

func (s *simulation) imageFails(ctx context.Context, pod *corev1.Pod) podState {
	image := pod.Spec.Containers[0].Image
	s.pods.event(ctx, pod, "Failed", fmt.Sprintf("Failed to pull image %q: rpc error: code = NotFound desc = failed to pull and unpack image %q: not found", image, image))
	return waitingState(pod, "ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: ErrImagePull: not found", image))
}

// waitingState: initialised or not, no container runs.
func waitingState(pod *corev1.Pod, reason, message string) podState {
	state := podState{initialised: len(pod.Spec.InitContainers) == 0}
	for range pod.Spec.InitContainers {
		state.init = append(state.init, containerState{waiting: "PodInitializing"})
	}
	for range pod.Spec.Containers {
		state.main = append(state.main, containerState{waiting: reason, message: message})
	}
	return state
}

// initDone: init containers have ended well, side-cars run.
func initDone(pod *corev1.Pod, at time.Time) []containerState {
	var states []containerState
	for _, container := range pod.Spec.InitContainers {
		if container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			states = append(states, containerState{started: at, ready: true})
		} else {
			states = append(states, containerState{started: at, ended: at, ready: true})
		}
	}
	return states
}

func (s *simulation) stop(pod *corev1.Pod) (bool, time.Duration) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.asked.IsZero() {
		s.asked = time.Now()
	}
	hold := behaviourOf(pod, s.pods.fleet.now()).hold
	if grace := pod.DeletionGracePeriodSeconds; grace != nil {
		hold = min(hold, time.Duration(*grace)*time.Second)
	}
	left := hold - time.Since(s.asked)
	return left <= 0, left
}

func (s *simulation) usage(pod *corev1.Pod) []usage {
	cores, memory := s.pods.loads.of(pod)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	now := time.Now()
	if !s.sampled.IsZero() {
		s.cpu += cores * now.Sub(s.sampled).Seconds()
	} else {
		s.cpu = cores * now.Sub(s.began).Seconds()
	}
	s.sampled = now
	found := make([]usage, len(pod.Spec.Containers))
	for index := range found {
		found[index] = usage{started: s.began}
	}
	// The first container does the work.
	found[0].cpu, found[0].memory = s.cpu, memory
	return found
}

func (s *simulation) forget() {}
