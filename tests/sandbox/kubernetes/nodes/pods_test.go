package main

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestAConditionThatSomebodyHasWrittenOverIsNoticed(t *testing.T) {
	ready := func(status corev1.ConditionStatus) []corev1.PodCondition {
		return []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}
	}
	pod := &corev1.Pod{Status: corev1.PodStatus{Conditions: ready(corev1.ConditionFalse)}}
	if !saysOtherwise(pod, ready(corev1.ConditionTrue)) {
		t.Error("the pod is said not to be ready, and is")
	}
	if saysOtherwise(pod, ready(corev1.ConditionFalse)) || saysOtherwise(&corev1.Pod{}, ready(corev1.ConditionTrue)) {
		t.Error("nobody has said otherwise")
	}
}
