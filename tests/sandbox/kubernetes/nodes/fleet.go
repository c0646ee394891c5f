package main

// From instances to nodes: registered, made ready, kept alive, taken away.

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
)

const (
	nodeWorkers = 32
	// How soon a refused kubelet tries again.
	retryAfter = 2 * time.Second
)

// machine is an instance and the node that it has become.
type machine struct {
	id, name, address, subnet string

	// Guarded by the fleet's lock.
	here       instance
	registered bool
	ready      bool
	dead       bool
	labels     map[string]string // those of the node group that the node has
	lease      *coordinationv1.Lease
	renewAt    time.Time
}

// runs says whether pods of the node are looked after.
func (m *machine) runs() bool {
	return m.registered && !m.dead && !m.here.Silent
}

// fleet is every machine of the cluster.
type fleet struct {
	client   kubernetes.Interface
	network  *network
	queue    workqueue.TypedRateLimitingInterface[string]
	onChange func(node string)

	mutex  sync.RWMutex
	seen   *view
	wanted map[string]instance
	byID   map[string]*machine
	byName map[string]*machine
	// Why instances could not join, as it was said last.
	refused map[string]string
}

func newFleet(client kubernetes.Interface, network *network) *fleet {
	return &fleet{
		client: client, network: network, onChange: func(string) {}, seen: &view{},
		queue:  workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, 5*time.Second)),
		wanted: map[string]instance{}, byID: map[string]*machine{}, byName: map[string]*machine{},
		refused: map[string]string{},
	}
}

// see takes over what the cloud says, and has every machine looked at that it concerns.
func (f *fleet) see(seen *view) {
	f.mutex.Lock()
	wanted := make(map[string]instance, len(seen.Instances))
	for _, here := range seen.Instances {
		wanted[here.ID] = here
	}
	networkChanged := f.seen.NetworkReady != seen.NetworkReady
	groupsChanged := fmt.Sprint(f.seen.Nodegroups) != fmt.Sprint(seen.Nodegroups)
	var concerned []string
	for id, here := range wanted {
		if before, known := f.wanted[id]; !known || before != here || networkChanged || groupsChanged && here.Nodegroup != "" {
			concerned = append(concerned, id)
		}
	}
	for id := range f.byID {
		if _, still := wanted[id]; !still {
			concerned = append(concerned, id)
		}
	}
	f.seen, f.wanted = seen, wanted
	f.mutex.Unlock()
	for _, id := range concerned {
		f.queue.Add(id)
	}
}

// run works until the context ends.
func (f *fleet) run(ctx context.Context) {
	for range nodeWorkers {
		go func() {
			for {
				id, end := f.queue.Get()
				if end {
					return
				}
				if err := f.reconcile(ctx, id); err != nil {
					say("instance %s: %v", id, err)
					f.queue.AddRateLimited(id)
				} else {
					f.queue.Forget(id)
				}
				f.queue.Done(id)
			}
		}()
	}
	go f.heartbeats(ctx)
	<-ctx.Done()
	f.queue.ShutDown()
}

// reconcile brings one machine to where its instance is.
func (f *fleet) reconcile(ctx context.Context, id string) error {
	f.mutex.RLock()
	here, present := f.wanted[id]
	seen, machine := f.seen, f.byID[id]
	f.mutex.RUnlock()
	switch {
	case !present:
		return f.remove(ctx, machine)
	case here.Stage == "down":
		f.end(machine)
		return nil
	case here.Stage != "up":
		return nil
	}
	if machine == nil {
		return f.register(ctx, seen, here)
	}
	f.mutex.Lock()
	changed := machine.here.Silent != here.Silent
	machine.here = here
	f.mutex.Unlock()
	if changed {
		f.onChange(machine.name)
	}
	if err := f.relabel(ctx, seen, machine); err != nil {
		return err
	}
	return f.settle(ctx, seen, machine)
}

// register creates the node, unless EKS would not let it in.
func (f *fleet) register(ctx context.Context, seen *view, here instance) error {
	refused, config := f.refusal(seen, here)
	f.mutex.Lock()
	if refused != "" {
		if f.refused[here.ID] != refused {
			say("instance %s cannot join: %s", here.ID, refused)
			f.refused[here.ID] = refused
		}
		f.mutex.Unlock()
		// What the role may do can change without the instance changing.
		f.queue.AddAfter(here.ID, retryAfter)
		return nil
	}
	delete(f.refused, here.ID)
	f.mutex.Unlock()
	node, err := registration(seen, here, config)
	if err != nil {
		return err
	}
	if err := f.network.addNode(here.PrivateIP); err != nil {
		return err
	}
	created, err := f.create(ctx, node)
	if err != nil {
		return err
	}
	lease, err := f.createLease(ctx, created)
	if err != nil {
		return err
	}
	initialize(created, seen.Region, here)
	if err := f.update(ctx, created, seen.Region, here); err != nil {
		return err
	}
	machine := &machine{
		id: here.ID, name: node.Name, address: here.PrivateIP, subnet: here.Subnet, here: here, registered: true, lease: lease,
		renewAt: time.Now().Add(jittered(renewEvery)),
		labels:  maps.Clone(seen.Nodegroups[here.Nodegroup].Labels),
	}
	f.mutex.Lock()
	f.byID[here.ID], f.byName[node.Name] = machine, machine
	f.mutex.Unlock()
	return f.settle(ctx, seen, machine)
}

// refusal says why an instance cannot join, if it cannot.
func (f *fleet) refusal(seen *view, here instance) (string, kubeletConfig) {
	text := ""
	if here.UserData < len(seen.UserData) {
		text = seen.UserData[here.UserData]
	}
	config, err := parseUserData(text)
	if err != nil {
		return err.Error(), config
	}
	_, managed := seen.Nodegroups[here.Nodegroup]
	if here.Refused != nil {
		return *here.Refused, config
	}
	if managed && !seen.Nodegroups[here.Nodegroup].CustomImage {
		return "", config
	}
	switch {
	case !config.Given:
		return "the user data has no NodeConfig and no settings of Bottlerocket", config
	case !config.Bottlerocket && config.ServiceCIDR == "":
		return "nodeadm: the NodeConfig lacks spec.cluster.cidr", config
	case strings.TrimRight(config.Endpoint, "/") != strings.TrimRight(seen.Endpoint, "/"):
		return fmt.Sprintf("the user data names the endpoint `%s`, the cluster has `%s`", config.Endpoint, seen.Endpoint), config
	case strings.TrimSpace(config.Authority) != strings.TrimSpace(seen.Authority):
		return "x509: certificate signed by unknown authority: the user data has another certificate authority than the cluster", config
	}
	return "", config
}

// create makes the node; an older one of the same name that stood for another instance goes first.
func (f *fleet) create(ctx context.Context, node *corev1.Node) (*corev1.Node, error) {
	nodes := f.client.CoreV1().Nodes()
	created, err := nodes.Create(ctx, node, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return created, err
	}
	present, err := nodes.Get(ctx, node.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if present.Spec.ProviderID == node.Spec.ProviderID {
		return present, nil
	}
	if err := nodes.Delete(ctx, node.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	return nil, fmt.Errorf("the node %s of an earlier instance was still there", node.Name)
}

// update writes the node as the cloud's controller leaves it.
func (f *fleet) update(ctx context.Context, node *corev1.Node, region string, here instance) error {
	nodes := f.client.CoreV1().Nodes()
	for {
		_, err := nodes.Update(ctx, node, metav1.UpdateOptions{})
		if !apierrors.IsConflict(err) {
			return err
		}
		if node, err = nodes.Get(ctx, node.Name, metav1.GetOptions{}); err != nil {
			return err
		}
		initialize(node, region, here)
	}
}

// settle makes the node ready once it can be.
func (f *fleet) settle(ctx context.Context, seen *view, machine *machine) error {
	f.mutex.RLock()
	ready := seen.NetworkReady && !machine.here.NeverReady
	done := machine.ready == ready || machine.here.Silent
	f.mutex.RUnlock()
	if done {
		return nil
	}
	reason, message := "KubeletReady", "kubelet is posting ready status"
	if !ready {
		reason, message = "KubeletNotReady", networkMissing
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": conditions(ready, reason, message)}})
	if err != nil {
		return err
	}
	_, err = f.client.CoreV1().Nodes().Patch(ctx, machine.name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return ignoreMissing(err)
	}
	f.mutex.Lock()
	machine.ready = ready
	f.mutex.Unlock()
	f.onChange(machine.name)
	return nil
}

// relabel carries changes of a node group's labels to its nodes, as EKS does.
func (f *fleet) relabel(ctx context.Context, seen *view, machine *machine) error {
	group, managed := seen.Nodegroups[machine.here.Nodegroup]
	if !managed || maps.Equal(group.Labels, machine.labels) {
		return nil
	}
	change := map[string]any{}
	for key := range machine.labels {
		change[key] = nil
	}
	for key, value := range group.Labels {
		change[key] = value
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": change}})
	if err != nil {
		return err
	}
	_, err = f.client.CoreV1().Nodes().Patch(ctx, machine.name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err == nil {
		f.mutex.Lock()
		machine.labels = maps.Clone(group.Labels)
		f.mutex.Unlock()
	}
	return ignoreMissing(err)
}

// end is the death of a kubelet: nothing is told to anybody.
func (f *fleet) end(machine *machine) {
	if machine == nil {
		return
	}
	f.mutex.Lock()
	already := machine.dead
	machine.dead = true
	f.mutex.Unlock()
	if !already {
		f.onChange(machine.name)
	}
}

// remove is what the cloud's controller does about a node whose instance is gone.
func (f *fleet) remove(ctx context.Context, machine *machine) error {
	if machine == nil {
		return nil
	}
	f.end(machine)
	gone := metav1.DeleteOptions{}
	node, err := f.client.CoreV1().Nodes().Get(ctx, machine.name, metav1.GetOptions{})
	if err == nil && strings.HasSuffix(node.Spec.ProviderID, "/"+machine.id) {
		err = f.client.CoreV1().Nodes().Delete(ctx, machine.name, gone)
	}
	if err := ignoreMissing(err); err != nil {
		return err
	}
	f.mutex.Lock()
	delete(f.byID, machine.id)
	if f.byName[machine.name] == machine {
		delete(f.byName, machine.name)
		f.network.removeNode(machine.address)
	}
	f.mutex.Unlock()
	f.onChange(machine.name)
	return nil
}

// find returns the machine behind a node.
func (f *fleet) find(node string) *machine {
	f.mutex.RLock()
	defer f.mutex.RUnlock()
	return f.byName[node]
}

// state of a node: whether there is one, and whether somebody looks after its pods.
func (f *fleet) state(node string) (found *machine, runs bool) {
	f.mutex.RLock()
	defer f.mutex.RUnlock()
	found = f.byName[node]
	return found, found != nil && found.runs()
}

// now returns what the cloud said last.
func (f *fleet) now() *view {
	f.mutex.RLock()
	defer f.mutex.RUnlock()
	return f.seen
}

func ignoreMissing(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
