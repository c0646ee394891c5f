package main

// What a pod needs to start and may not be there: ConfigMaps and Secrets. And words about it.

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const presentFor = 2 * time.Second

// lack is why a pod cannot start, empty when it can.
type lack struct{ reason, message string }

// present remembers for a moment what is there, because many pods refer to the same things.
var present = struct {
	mutex sync.Mutex
	until map[string]time.Time
}{until: map[string]time.Time{}}

// missing finds the first thing that a pod refers to and that does not exist.
func (p *pods) missing(ctx context.Context, pod *corev1.Pod) lack {
	for _, volume := range pod.Spec.Volumes {
		kind, name := "", ""
		switch {
		case volume.Secret != nil && !isTrue(volume.Secret.Optional):
			kind, name = "secret", volume.Secret.SecretName
		case volume.ConfigMap != nil && !isTrue(volume.ConfigMap.Optional):
			kind, name = "configmap", volume.ConfigMap.Name
		}
		if kind != "" && !p.exists(ctx, kind, pod.Namespace, name) {
			p.event(ctx, pod, "FailedMount", fmt.Sprintf("MountVolume.SetUp failed for volume %q : %s %q not found", volume.Name, kind, name))
			return lack{"ContainerCreating", ""}
		}
	}
	containers := append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...)
	for _, container := range containers {
		for _, reference := range environmentReferences(container) {
			if !p.exists(ctx, reference.kind, pod.Namespace, reference.name) {
				message := fmt.Sprintf("%s %q not found", reference.kind, reference.name)
				p.event(ctx, pod, "Failed", "Error: "+message)
				return lack{"CreateContainerConfigError", message}
			}
		}
	}
	return lack{}
}

type reference struct{ kind, name string }

// environmentReferences are those of a container's environment that are not optional.
func environmentReferences(container corev1.Container) []reference {
	var found []reference
	for _, from := range container.EnvFrom {
		if from.SecretRef != nil && !isTrue(from.SecretRef.Optional) {
			found = append(found, reference{"secret", from.SecretRef.Name})
		}
		if from.ConfigMapRef != nil && !isTrue(from.ConfigMapRef.Optional) {
			found = append(found, reference{"configmap", from.ConfigMapRef.Name})
		}
	}
	for _, variable := range container.Env {
		if variable.ValueFrom == nil {
			continue
		}
		if key := variable.ValueFrom.SecretKeyRef; key != nil && !isTrue(key.Optional) {
			found = append(found, reference{"secret", key.Name})
		}
		if key := variable.ValueFrom.ConfigMapKeyRef; key != nil && !isTrue(key.Optional) {
			found = append(found, reference{"configmap", key.Name})
		}
	}
	return found
}

func (p *pods) exists(ctx context.Context, kind, namespace, name string) bool {
	key := kind + "/" + namespace + "/" + name
	present.mutex.Lock()
	known := time.Now().Before(present.until[key])
	present.mutex.Unlock()
	if known {
		return true
	}
	var err error
	if kind == "secret" {
		_, err = p.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	} else {
		_, err = p.client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	}
	if apierrors.IsNotFound(err) {
		return false
	}
	present.mutex.Lock()
	present.until[key] = time.Now().Add(presentFor)
	present.mutex.Unlock()
	return true
}

func isTrue(flag *bool) bool { return flag != nil && *flag }

// said remembers which events were told, so that none is repeated for the same pod.
var said sync.Map

// event tells a warning about a pod, once for each reason and message.
func (p *pods) event(ctx context.Context, pod *corev1.Pod, reason, message string) {
	if _, before := said.LoadOrStore(string(pod.UID)+reason+message, true); before {
		return
	}
	now := metav1.Now()
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: pod.Name + ".", Namespace: pod.Namespace},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Type:           corev1.EventTypeWarning, Reason: reason, Message: message, Count: 1, FirstTimestamp: now, LastTimestamp: now,
		Source: corev1.EventSource{Component: "kubelet", Host: pod.Spec.NodeName}, ReportingController: "kubelet", ReportingInstance: pod.Spec.NodeName,
	}
	if _, err := p.client.CoreV1().Events(pod.Namespace).Create(ctx, event, metav1.CreateOptions{}); err != nil {
		say("pod %s/%s: its event %s could not be written: %v", pod.Namespace, pod.Name, reason, err)
	}
}
