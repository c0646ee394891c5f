package main

// How a pod behaves that is no process: by its annotations, the rules that a test has set, the weather.

import (
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Annotations of pods that this program obeys.
const (
	annotationReady = "sandbox.eksup.dev/ready-seconds"
	annotationHold  = "sandbox.eksup.dev/hold-seconds"
	annotationRun   = "sandbox.eksup.dev/run-seconds"
	annotationFail  = "sandbox.eksup.dev/fail"
)

const defaultRun = 500 * time.Millisecond

// podRule is a rule that a test has set for pods; empty fields match everything.
type podRule struct {
	Namespace    string   `json:"namespace"`
	Workload     string   `json:"workload"`
	Image        string   `json:"image"`
	Fail         string   `json:"fail"`
	ReadySeconds *float64 `json:"readySeconds"`
	HoldSeconds  *float64 `json:"holdSeconds"`
	RunSeconds   *float64 `json:"runSeconds"`
}

// behaviour of one pod.
type behaviour struct {
	fail  string        // "", image, crash, never-ready
	ready time.Duration // from being bound to being ready
	hold  time.Duration // from the end being asked for to the end
	run   time.Duration // of a pod that is to finish
}

// behaviourOf finds how a pod is to behave.
func behaviourOf(pod *corev1.Pod, seen *view) behaviour {
	found := behaviour{ready: seconds(seen.PodSeconds), hold: seconds(seen.PodGoneSeconds), run: defaultRun}
	for _, rule := range seen.Rules {
		if !rule.matches(pod) {
			continue
		}
		found.fail = rule.Fail
		put(&found.ready, rule.ReadySeconds)
		put(&found.hold, rule.HoldSeconds)
		put(&found.run, rule.RunSeconds)
		break
	}
	putText(&found.ready, pod.Annotations[annotationReady])
	putText(&found.hold, pod.Annotations[annotationHold])
	putText(&found.run, pod.Annotations[annotationRun])
	if fail := pod.Annotations[annotationFail]; fail != "" {
		found.fail = fail
	}
	return found
}

func (rule podRule) matches(pod *corev1.Pod) bool {
	if rule.Namespace != "" && rule.Namespace != pod.Namespace {
		return false
	}
	if rule.Workload != "" && rule.Workload != workloadOf(pod) {
		return false
	}
	if rule.Image == "" {
		return true
	}
	for _, container := range pod.Spec.Containers {
		if strings.HasPrefix(container.Image, rule.Image) {
			return true
		}
	}
	return false
}

// workloadOf names what a pod belongs to: `deployment/backend`, `daemonset/agent`, `pod/alone`.
func workloadOf(pod *corev1.Pod) string {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return "pod/" + pod.Name
	}
	if owner.Kind == "ReplicaSet" {
		if hash := pod.Labels["pod-template-hash"]; hash != "" {
			if name, ok := strings.CutSuffix(owner.Name, "-"+hash); ok {
				return "deployment/" + name
			}
		}
	}
	return strings.ToLower(owner.Kind) + "/" + owner.Name
}

func seconds(value float64) time.Duration {
	return time.Duration(value * float64(time.Second))
}

func put(target *time.Duration, value *float64) {
	if value != nil {
		*target = seconds(*value)
	}
}

func putText(target *time.Duration, text string) {
	if value, err := strconv.ParseFloat(text, 64); err == nil {
		*target = seconds(value)
	}
}
