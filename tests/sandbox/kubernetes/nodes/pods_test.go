package main

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAPodThatIsOlderThanWhatWasWrittenOfItSaysNothing(t *testing.T) {
	for version, seen := range map[string]bool{"99": false, "100": true, "101": true} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}}
		if (&entry{version: "100"}).isSeen(pod) != seen {
			t.Errorf("version %s", version)
		}
	}
	if !(&entry{}).isSeen(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1"}}) {
		t.Error("nothing was written")
	}
}

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
