package main

// Which images are programs of this machine, and what all pods that run as processes share.

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
)

// imageVariable begins the names of variables that say what an image is here:
// `EKSUP_SANDBOX_IMAGE_metrics_server=/path/to/metrics-server --with arguments`.
const imageVariable = "EKSUP_SANDBOX_IMAGE_"

type processes struct {
	client  kubernetes.Interface
	fleet   *fleet
	network *network
	folder  string
	cloud   string
	server  *url.URL
	images  map[string][]string
	// event tells about a pod; set by the pods that these processes belong to.
	event func(ctx context.Context, pod *corev1.Pod, reason, message string)
}

// imagesFrom reads the programs out of an environment.
func imagesFrom(variables []string) map[string][]string {
	images := map[string][]string{}
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		if image, ok := strings.CutPrefix(name, imageVariable); ok && strings.TrimSpace(value) != "" {
			images[image] = strings.Fields(value)
		}
	}
	return images
}

// program is what an image is here, or nil. The last part of the image's name decides.
func (p *processes) program(image string) []string {
	name, _, _ := strings.Cut(image, "@")
	name = name[strings.LastIndex(name, "/")+1:]
	name, _, _ = strings.Cut(name, ":")
	return p.images[strings.ReplaceAll(name, "-", "_")]
}

// knows says whether any container of a pod is a program here.
func (p *processes) knows(pod *corev1.Pod) bool {
	if p.network.off {
		return false
	}
	for _, container := range pod.Spec.Containers {
		if p.program(container.Image) != nil {
			return true
		}
	}
	return false
}

// start begins a pod; `changed` is called whenever its state has changed.
func (p *processes) start(pod *corev1.Pod, address string, machine *machine, changed func()) *processPod {
	ctx, cancel := context.WithCancel(context.Background())
	made := &processPod{
		shared: p, pod: pod, address: address, host: machine.address, changed: changed, cancel: cancel,
		folder: filepath.Join(p.folder, "pods", pod.Namespace+"_"+pod.Name+"_"+string(pod.UID)[:8]),
		ended:  make(chan struct{}), alive: map[int]bool{}, reason: "ContainerCreating",
	}
	made.states.init = make([]containerState, len(pod.Spec.InitContainers))
	made.states.main = make([]containerState, len(pod.Spec.Containers))
	made.running = make([]*os.Process, len(pod.Spec.Containers))
	go made.live(ctx)
	return made
}

// baseEnvironment is what every container has, before what its specification says.
func (p *processes) baseEnvironment(pod *corev1.Pod) map[string]string {
	port := p.server.Port()
	if port == "" {
		port = "443"
	}
	return map[string]string{
		"PATH":                          "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME":                          "/root",
		"HOSTNAME":                      pod.Name,
		"KUBERNETES_SERVICE_HOST":       p.server.Hostname(),
		"KUBERNETES_SERVICE_PORT":       port,
		"KUBERNETES_SERVICE_PORT_HTTPS": port,
		"AWS_ENDPOINT_URL":              p.cloud,
		"AWS_EC2_METADATA_DISABLED":     "true",
		"AWS_CONFIG_FILE":               "/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE":   "/dev/null",
	}
}

// logFile is where a container's output goes.
func (p *processes) logFile(namespace, pod, container string) string {
	return filepath.Join(p.folder, "logs", namespace+"_"+pod+"_"+container+".log")
}
