package main

// Addresses and network namespaces. A node's address is one of the loopback device; a pod with
// processes has a network namespace of its own at the end of a veth pair, as with the VPC CNI.

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// The address at the near end of every pair, which pods have as their gateway.
	gateway = "169.254.1.1"
)

type network struct {
	// Without one, nodes and pods have their addresses in name only.
	off bool
}

// prepare makes the namespace forward between pods.
func (n *network) prepare() error {
	if n.off {
		return nil
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("switching forwarding on: %w", err)
	}
	return ip("link set lo up")
}

func (n *network) addNode(address string) error {
	if n.off {
		return nil
	}
	return ip("addr replace " + address + "/32 dev lo")
}

func (n *network) removeNode(address string) {
	if n.off {
		return
	}
	if err := ip("addr del " + address + "/32 dev lo"); err != nil {
		say("%v", err)
	}
}

// podNetwork is the network namespace of one pod.
type podNetwork struct {
	handle *os.File
	device string
}

// addPod makes a network namespace with this address in it.
func (n *network) addPod(address string) (*podNetwork, error) {
	parsed, err := netip.ParseAddr(address)
	if err != nil {
		return nil, err
	}
	made := &podNetwork{device: "p" + hex.EncodeToString(parsed.AsSlice())}
	type outcome struct {
		handle *os.File
		err    error
	}
	opened, ready, configured := make(chan outcome), make(chan bool), make(chan error, 1)
	go func() {
		// This thread is in another namespace from here on; it ends with the goroutine.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			opened <- outcome{nil, fmt.Errorf("making a network namespace: %w", err)}
			return
		}
		handle, err := os.Open("/proc/thread-self/ns/net")
		opened <- outcome{handle, err}
		if err != nil || !<-ready {
			return
		}
		configured <- ip("link set lo up", "addr add "+address+"/32 dev eth0", "link set eth0 up",
			"route add "+gateway+" dev eth0 scope link", "route add default via "+gateway)
	}()
	got := <-opened
	if got.err != nil {
		return nil, got.err
	}
	made.handle = got.handle
	_ = ip("link del " + made.device) // What an earlier pod of this address may have left.
	err = ip(fmt.Sprintf("link add %s type veth peer name eth0 netns /proc/%d/fd/%d", made.device, os.Getpid(), made.handle.Fd()),
		"addr add "+gateway+"/32 dev "+made.device, "link set "+made.device+" up", "route replace "+address+"/32 dev "+made.device)
	ready <- err == nil
	if err == nil {
		err = <-configured
	}
	if err != nil {
		made.close()
		return nil, err
	}
	return made, nil
}

func (p *podNetwork) close() {
	if p != nil && p.handle != nil {
		_ = ip("link del " + p.device)
		_ = p.handle.Close()
		p.handle = nil
	}
}

// ip runs commands of iproute2 in the namespace of the calling thread.
func ip(commands ...string) error {
	command := exec.Command("ip", "-batch", "-")
	command.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	var words bytes.Buffer
	command.Stderr = &words
	if err := command.Run(); err != nil {
		return fmt.Errorf("ip %s: %s", commands[0], strings.TrimSpace(words.String()))
	}
	return nil
}
