package main

// Probes of containers that are processes. A container is ready from its first success on; until then
// it is asked more often than its probe says, and nobody waits for `initialDelaySeconds`.

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const eagerly = 200 * time.Millisecond

// probe asks until the context ends. `ready` is called when the answer changes.
func (p *processPod) probe(ctx context.Context, container corev1.Container, process *os.Process, ready func(bool)) {
	if container.StartupProbe != nil {
		for p.ask(ctx, container, container.StartupProbe) != nil {
			if !sleep(ctx, eagerly) {
				return
			}
		}
	}
	if container.LivenessProbe != nil {
		go p.watch(ctx, container, process)
	}
	if container.ReadinessProbe == nil {
		ready(true)
		return
	}
	isReady, failures, told := false, int32(0), false
	for {
		err := p.ask(ctx, container, container.ReadinessProbe)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil:
			failures = 0
			if !isReady {
				isReady = true
				ready(true)
			}
		case isReady:
			if failures++; failures >= orElse(container.ReadinessProbe.FailureThreshold, 3) {
				isReady = false
				ready(false)
			}
		}
		if err != nil && !told && !isReady {
			told = true
			time.AfterFunc(5*time.Second, func() { p.tell(ctx, "Readiness", err) })
		}
		period := eagerly
		if isReady {
			period = time.Duration(orElse(container.ReadinessProbe.PeriodSeconds, 10)) * time.Second
		}
		if !sleep(ctx, period) {
			return
		}
	}
}

// tell writes an event about a probe that still fails.
func (p *processPod) tell(ctx context.Context, which string, err error) {
	if ctx.Err() != nil {
		return
	}
	p.mutex.Lock()
	ready := true
	for _, state := range p.states.main {
		ready = ready && state.ready
	}
	p.mutex.Unlock()
	if !ready {
		p.shared.event(ctx, p.pod, "Unhealthy", which+" probe failed: "+err.Error())
	}
}

// watch ends a container whose liveness probe fails too often; its supervisor starts it again.
func (p *processPod) watch(ctx context.Context, container corev1.Container, process *os.Process) {
	probe := container.LivenessProbe
	if !sleep(ctx, time.Duration(probe.InitialDelaySeconds)*time.Second) {
		return
	}
	failures := int32(0)
	for sleep(ctx, time.Duration(orElse(probe.PeriodSeconds, 10))*time.Second) {
		err := p.ask(ctx, container, probe)
		if err == nil {
			failures = 0
			continue
		}
		if failures++; failures >= orElse(probe.FailureThreshold, 3) && ctx.Err() == nil {
			p.shared.event(ctx, p.pod, "Unhealthy", "Liveness probe failed: "+err.Error())
			_ = syscall.Kill(-process.Pid, syscall.SIGTERM)
			if sleep(ctx, 5*time.Second) {
				_ = syscall.Kill(-process.Pid, syscall.SIGKILL)
			}
			return
		}
	}
}

// ask does a probe once. Kinds that are not played (exec, gRPC) succeed.
func (p *processPod) ask(ctx context.Context, container corev1.Container, probe *corev1.Probe) error {
	patience := time.Duration(orElse(probe.TimeoutSeconds, 1)) * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch {
	case probe.HTTPGet != nil:
		return p.get(ctx, container, probe.HTTPGet)
	case probe.TCPSocket != nil:
		port := portOf(container, probe.TCPSocket.Port.String())
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(p.address, port))
		if err == nil {
			_ = connection.Close()
		}
		return err
	}
	return nil
}

var probing = &http.Client{
	Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (p *processPod) get(ctx context.Context, container corev1.Container, get *corev1.HTTPGetAction) error {
	host := get.Host
	if host == "" {
		host = p.address
	}
	scheme := strings.ToLower(string(get.Scheme))
	if scheme == "" {
		scheme = "http"
	}
	address := scheme + "://" + net.JoinHostPort(host, portOf(container, get.Port.String())) + "/" + strings.TrimPrefix(get.Path, "/")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	for _, header := range get.HTTPHeaders {
		request.Header.Set(header.Name, header.Value)
	}
	response, err := probing.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode >= 400 {
		return fmt.Errorf("HTTP probe failed with statuscode: %d", response.StatusCode)
	}
	return nil
}

// portOf is a port by its number or the name that the container has for it.
func portOf(container corev1.Container, port string) string {
	for _, known := range container.Ports {
		if known.Name == port {
			return strconv.Itoa(int(known.ContainerPort))
		}
	}
	return port
}

func orElse(value, otherwise int32) int32 {
	if value == 0 {
		return otherwise
	}
	return value
}
