package main

// One pod that runs as processes: volumes, network, init containers, containers with restarts, end.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	firstBackOff = 500 * time.Millisecond
	mostBackOff  = 10 * time.Second
	defaultGrace = 30 * time.Second
)

type processPod struct {
	shared        *processes
	pod           *corev1.Pod
	address, host string
	folder        string
	changed       func()
	cancel        context.CancelFunc
	ended         chan struct{}

	mutex    sync.Mutex
	reason   string // Why nothing runs yet.
	message  string
	states   podState
	running  []*os.Process // By container.
	alive    map[int]bool  // Ids of all processes, init containers' too.
	stopping bool
	network  *podNetwork
}

// live is the pod's whole life.
func (p *processPod) live(ctx context.Context) {
	defer close(p.ended)
	defer p.cleanUp()
	identity, volumes, ok := p.prepare(ctx)
	if !ok {
		return
	}
	for index, container := range p.pod.Spec.InitContainers {
		if !p.initialise(ctx, index, container, identity, volumes) {
			return
		}
	}
	p.change(func() { p.reason, p.states.initialised = "", true })
	go p.refresh(ctx, volumes)
	var all sync.WaitGroup
	for index, container := range p.pod.Spec.Containers {
		all.Add(1)
		go func() {
			defer all.Done()
			p.supervise(ctx, index, container, identity, volumes)
		}()
	}
	all.Wait()
}

// prepare makes volumes and network, as often as it takes.
func (p *processPod) prepare(ctx context.Context) (map[string]string, *volumes, bool) {
	filled := &volumes{
		client: p.shared.client, pod: p.pod, host: p.host, ip: p.address, folder: p.folder, renew: map[string]time.Time{},
	}
	for {
		identity, tokens, err := p.shared.identityOf(ctx, p.pod)
		if err == nil {
			filled.tokens = tokens
			err = filled.fill(ctx)
		}
		if err == nil && !p.pod.Spec.HostNetwork && p.network == nil {
			var made *podNetwork
			made, err = p.shared.network.addPod(p.address)
			p.change(func() { p.network = made })
		}
		if err == nil {
			return identity, filled, true
		}
		if ctx.Err() != nil {
			return nil, nil, false
		}
		p.shared.event(ctx, p.pod, "FailedMount", err.Error())
		p.change(func() { p.message = err.Error() })
		if !sleep(ctx, missingRetry) {
			return nil, nil, false
		}
	}
}

// refresh renews tokens, and carries changed ConfigMaps and Secrets into the pod.
func (p *processPod) refresh(ctx context.Context, volumes *volumes) {
	for sleep(ctx, refreshEvery) {
		if err := volumes.fill(ctx); err != nil && ctx.Err() == nil {
			say("pod %s/%s: refreshing its volumes: %v", p.pod.Namespace, p.pod.Name, err)
		}
	}
}

// initialise runs an init container until it ends well. Says whether the pod goes on.
func (p *processPod) initialise(ctx context.Context, index int, container corev1.Container, identity map[string]string, volumes *volumes) bool {
	set := func(change func(*containerState)) { p.change(func() { change(&p.states.init[index]) }) }
	if p.shared.program(container.Image) == nil {
		now := time.Now()
		set(func(state *containerState) { *state = containerState{started: now, ended: now, ready: true} })
		return true
	}
	backOff := firstBackOff
	for {
		code := p.once(ctx, container, identity, volumes, func(*os.Process) {
			set(func(state *containerState) { state.waiting, state.started = "", time.Now() })
		})
		if ctx.Err() != nil {
			return false
		}
		if code == 0 || p.pod.Spec.RestartPolicy == corev1.RestartPolicyNever {
			set(func(state *containerState) { state.ended, state.exitCode, state.ready = time.Now(), code, code == 0 })
			return code == 0
		}
		set(func(state *containerState) {
			state.waiting, state.restarts, state.lastEnded, state.lastExitCode = "CrashLoopBackOff", state.restarts+1, time.Now(), code
		})
		if !sleep(ctx, backOff) {
			return false
		}
		backOff = min(backOff*2, mostBackOff)
	}
}

// supervise runs a container, and runs it again as the pod's policy says.
func (p *processPod) supervise(ctx context.Context, index int, container corev1.Container, identity map[string]string, volumes *volumes) {
	set := func(change func(*containerState)) { p.change(func() { change(&p.states.main[index]) }) }
	if p.shared.program(container.Image) == nil {
		set(func(state *containerState) { *state = containerState{started: time.Now(), ready: true} })
		<-ctx.Done()
		return
	}
	backOff := firstBackOff
	for {
		began := time.Now()
		runContext, over := context.WithCancel(ctx)
		code := p.once(runContext, container, identity, volumes, func(process *os.Process) {
			set(func(state *containerState) {
				state.waiting, state.message, state.started, state.ready = "", "", time.Now(), false
				p.running[index] = process
			})
			go p.probe(runContext, container, process, func(ready bool) {
				set(func(state *containerState) { state.ready = ready })
			})
		})
		over()
		set(func(state *containerState) { p.running[index], state.ready = nil, false })
		policy := p.pod.Spec.RestartPolicy
		if ctx.Err() != nil || policy == corev1.RestartPolicyNever || policy == corev1.RestartPolicyOnFailure && code == 0 {
			set(func(state *containerState) { state.ended, state.exitCode = time.Now(), code })
			return
		}
		if time.Since(began) > time.Minute {
			backOff = firstBackOff
		}
		set(func(state *containerState) {
			state.waiting, state.restarts, state.lastEnded, state.lastExitCode = "CrashLoopBackOff", state.restarts+1, time.Now(), code
			state.message = fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s", backOff, container.Name, p.pod.Name, p.pod.Namespace)
		})
		p.shared.event(ctx, p.pod, "BackOff", "Back-off restarting failed container "+container.Name)
		if !sleep(ctx, backOff) {
			return
		}
		backOff = min(backOff*2, mostBackOff)
	}
}

// once runs a container's process to its end. Returns its exit code; what cannot be started has 128.
func (p *processPod) once(ctx context.Context, container corev1.Container, identity map[string]string, volumes *volumes, started func(*os.Process)) int32 {
	command, err := p.command(ctx, container, identity, volumes)
	if err != nil {
		reason := "CreateContainerError"
		if errors.As(err, &missingReference{}) {
			reason = "CreateContainerConfigError"
		}
		p.shared.event(ctx, p.pod, "Failed", "Error: "+err.Error())
		p.change(func() { p.reason, p.message = reason, err.Error() })
		sleep(ctx, missingRetry)
		return 128
	}
	p.change(func() { p.reason, p.message = "", "" })
	p.mutex.Lock()
	if p.stopping {
		p.mutex.Unlock()
		return 137
	}
	err = command.Start()
	p.mutex.Unlock()
	if err != nil {
		say("pod %s/%s: container %s: %v", p.pod.Namespace, p.pod.Name, container.Name, err)
		return 128
	}
	_ = os.WriteFile(filepath.Join(p.folder, container.Name+".pid"), fmt.Appendln(nil, command.Process.Pid), 0o644)
	p.change(func() { p.alive[command.Process.Pid] = true })
	started(command.Process)
	_ = command.Wait()
	p.change(func() { delete(p.alive, command.Process.Pid) })
	if log, ok := command.Stdout.(*os.File); ok {
		_ = log.Close()
	}
	status, _ := command.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int32(status.Signal())
	}
	return int32(command.ProcessState.ExitCode())
}

// command is this program itself, which enters the pod's namespaces and becomes the container.
func (p *processPod) command(ctx context.Context, container corev1.Container, identity map[string]string, volumes *volumes) (*exec.Cmd, error) {
	base := p.shared.baseEnvironment(p.pod)
	for key, value := range identity {
		base[key] = value
	}
	env := environment{client: p.shared.client, pod: p.pod, ip: p.address, host: p.host}
	variables, err := env.of(ctx, container, base)
	if err != nil {
		return nil, err
	}
	inside := containment{Folder: p.folder, Directory: container.WorkingDir, Mounts: p.mounts(container, volumes)}
	inside.Arguments = append(inside.Arguments, p.shared.program(container.Image)...)
	if len(container.Command) > 1 {
		inside.Arguments = append(inside.Arguments, container.Command[1:]...)
	}
	inside.Arguments = append(inside.Arguments, container.Args...)
	for index, word := range inside.Arguments {
		inside.Arguments[index] = expand(word, variables)
	}
	for key, value := range variables {
		inside.Environment = append(inside.Environment, key+"="+value)
	}
	sort.Strings(inside.Environment)
	return p.contained(container, inside)
}

func (p *processPod) contained(container corev1.Container, inside containment) (*exec.Cmd, error) {
	if err := os.MkdirAll(filepath.Join(p.folder, "root"), 0o755); err != nil {
		return nil, err
	}
	log := p.shared.logFile(p.pod.Namespace, p.pod.Name, container.Name)
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return nil, err
	}
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	p.mutex.Lock()
	handle := p.network
	p.mutex.Unlock()
	inside.Network = handle != nil
	for _, variable := range os.Environ() {
		// By this the cloud knows what was started for it.
		if strings.HasPrefix(variable, "EKSUP_SANDBOX_RUN=") {
			inside.Environment = append(inside.Environment, variable)
		}
	}
	plan, err := json.Marshal(inside)
	if err != nil {
		return nil, err
	}
	command := exec.Command("/proc/self/exe", containArgument)
	command.Stdin = strings.NewReader(string(plan))
	command.Stdout, command.Stderr = output, output
	command.Env = []string{"PATH=" + os.Getenv("PATH")}
	if handle != nil {
		command.ExtraFiles = []*os.File{handle.handle}
	}
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return command, nil
}

// mounts are where the container sees the pod's volumes.
func (p *processPod) mounts(container corev1.Container, volumes *volumes) []bindMount {
	var found []bindMount
	sources := map[string]string{}
	for _, volume := range p.pod.Spec.Volumes {
		sources[volume.Name] = volumes.path(volume.Name)
		if volume.HostPath != nil {
			sources[volume.Name] = volume.HostPath.Path
		}
	}
	for _, mount := range container.VolumeMounts {
		source := sources[mount.Name]
		if mount.SubPath != "" {
			source = filepath.Join(source, mount.SubPath)
		}
		found = append(found, bindMount{Source: source, Target: mount.MountPath, ReadOnly: mount.ReadOnly})
	}
	for _, token := range volumes.tokens {
		target := webIdentityFolder
		if strings.HasPrefix(token.path, "identity/pod/") {
			target = podIdentityFolder
		}
		found = append(found, bindMount{Source: filepath.Dir(filepath.Join(p.folder, token.path)), Target: target, ReadOnly: true})
	}
	return found
}

func (p *processPod) change(do func()) {
	p.mutex.Lock()
	do()
	p.mutex.Unlock()
	p.changed()
}

func (p *processPod) state(context.Context, *corev1.Pod) (podState, time.Duration) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	state := p.states
	state.init = append([]containerState{}, p.states.init...)
	state.main = append([]containerState{}, p.states.main...)
	for _, list := range [][]containerState{state.init, state.main} {
		for index := range list {
			if list[index].started.IsZero() && list[index].waiting == "" {
				list[index].waiting, list[index].message = "ContainerCreating", p.message
				if p.reason != "" {
					list[index].waiting = p.reason
				}
			}
		}
	}
	return state, 0
}

func (p *processPod) stop(pod *corev1.Pod) (bool, time.Duration) {
	p.mutex.Lock()
	first := !p.stopping
	p.stopping = true
	p.mutex.Unlock()
	if first {
		grace := defaultGrace
		if pod.DeletionGracePeriodSeconds != nil {
			grace = time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
		}
		go p.wind(grace)
	}
	select {
	case <-p.ended:
		return true, 0
	default:
		return false, time.Second
	}
}

// wind sends SIGTERM, and SIGKILL after the grace period.
func (p *processPod) wind(grace time.Duration) {
	p.cancel()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(grace):
		p.signal(syscall.SIGKILL)
	}
	<-p.ended
	p.changed()
}

func (p *processPod) signal(which syscall.Signal) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for id := range p.alive {
		_ = syscall.Kill(-id, which)
	}
}

func (p *processPod) forget() {
	p.mutex.Lock()
	p.stopping = true
	p.mutex.Unlock()
	p.cancel()
	p.signal(syscall.SIGKILL)
}

func (p *processPod) cleanUp() {
	p.mutex.Lock()
	network := p.network
	p.network = nil
	p.mutex.Unlock()
	network.close()
	if err := os.RemoveAll(p.folder); err != nil {
		say("pod %s/%s: %v", p.pod.Namespace, p.pod.Name, err)
	}
	p.changed()
}

func sleep(ctx context.Context, span time.Duration) bool {
	timer := time.NewTimer(span)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
