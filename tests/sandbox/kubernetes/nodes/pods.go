package main

// Pods that are bound to our nodes: started, kept in step with what they are, ended.

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	podWorkers = 32
	byNode     = "node"
)

// runner is what makes a pod go on: a simulation or real processes.
type runner interface {
	// state of the pod now, and when to look again without being told (0: never).
	state(ctx context.Context, pod *corev1.Pod) (podState, time.Duration)
	// stop begins the end; done says whether it is over, otherwise when to look again.
	stop(pod *corev1.Pod) (done bool, again time.Duration)
	// usage of CPU in seconds since the start, and of memory in bytes, for each container.
	usage(pod *corev1.Pod) []usage
	// forget lets go of everything at once.
	forget()
}

// entry is what is remembered of a pod.
type entry struct {
	pod      *corev1.Pod
	node     string
	address  string
	own      bool // The address is the pod's own, not its host's.
	began    time.Time
	runner   runner
	written  string // The status that was written last.
	version  string // The pod's version with it.
	deleted  bool
	workload string
	ready    bool
}

// pods looks after all of them.
type pods struct {
	client    kubernetes.Interface
	fleet     *fleet
	addresses *addresses
	processes *processes
	loads     *loads
	queue     workqueue.TypedRateLimitingInterface[string]
	indexer   cache.Indexer

	mutex   sync.RWMutex
	entries map[types.UID]*entry
	byKey   map[string]types.UID
}

func newPods(client kubernetes.Interface, fleet *fleet, processes *processes) *pods {
	p := &pods{
		client: client, fleet: fleet, addresses: newAddresses(), processes: processes,
		queue:   workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, 10*time.Second)),
		entries: map[types.UID]*entry{}, byKey: map[string]types.UID{},
	}
	p.loads = newLoads(p)
	return p
}

// run works until the context ends.
func (p *pods) run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(p.client, 0,
		informers.WithTweakListOptions(func(options *metav1.ListOptions) {
			options.FieldSelector = fields.OneTermNotEqualSelector("spec.nodeName", "").String()
		}),
		informers.WithTransform(trim))
	informer := factory.Core().V1().Pods().Informer()
	err := informer.AddIndexers(cache.Indexers{byNode: func(object any) ([]string, error) {
		return []string{object.(*corev1.Pod).Spec.NodeName}, nil
	}})
	if err != nil {
		return err
	}
	p.indexer = informer.GetIndexer()
	enqueue := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			p.queue.Add(key)
		}
	}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, now any) { enqueue(now) }, DeleteFunc: enqueue,
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for range podWorkers {
		go p.work(ctx)
	}
	<-ctx.Done()
	p.queue.ShutDown()
	return nil
}

// trim drops what nobody here reads, so that ten thousand pods stay small.
func trim(object any) (any, error) {
	if pod, ok := object.(*corev1.Pod); ok {
		pod.ManagedFields = nil
	}
	return object, nil
}

func (p *pods) work(ctx context.Context) {
	for {
		key, end := p.queue.Get()
		if end {
			return
		}
		again, err := p.reconcile(ctx, key)
		switch {
		case err != nil && ctx.Err() == nil:
			say("pod %s: %v", key, err)
			p.queue.AddRateLimited(key)
		case again > 0:
			p.queue.Forget(key)
			p.queue.AddAfter(key, again)
		default:
			p.queue.Forget(key)
		}
		p.queue.Done(key)
	}
}

// nodeChanged has every pod of a node looked at.
func (p *pods) nodeChanged(node string) {
	for _, pod := range p.onNode(node) {
		p.queue.Add(pod.Namespace + "/" + pod.Name)
	}
}

// everythingChanged has every pod looked at whose behaviour may depend on what a test has set.
func (p *pods) everythingChanged() {
	if p.indexer == nil {
		return
	}
	for _, key := range p.indexer.ListKeys() {
		p.queue.Add(key)
	}
}

func (p *pods) onNode(node string) []*corev1.Pod {
	if p.indexer == nil {
		return nil
	}
	objects, err := p.indexer.ByIndex(byNode, node)
	if err != nil {
		return nil
	}
	found := make([]*corev1.Pod, 0, len(objects))
	for _, object := range objects {
		found = append(found, object.(*corev1.Pod))
	}
	return found
}

// reconcile brings one pod to where it should be. Returns when to look again, if by itself.
func (p *pods) reconcile(ctx context.Context, key string) (time.Duration, error) {
	object, present, err := p.indexer.GetByKey(key)
	if err != nil {
		return 0, err
	}
	if !present {
		p.forget(key, "")
		return 0, nil
	}
	pod := object.(*corev1.Pod)
	p.forget(key, pod.UID)
	machine, runs := p.fleet.state(pod.Spec.NodeName)
	if machine == nil {
		return p.orphan(ctx, pod)
	}
	if !runs {
		p.cut(pod, machine)
		return 0, nil
	}
	if pod.DeletionTimestamp != nil {
		return p.end(ctx, pod)
	}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		p.release(pod.UID)
		return 0, nil
	}
	if !machine.ready && !toleratesNotReady(pod) {
		return 0, nil
	}
	entry, err := p.entryOf(pod, machine)
	if err != nil {
		return 0, err
	}
	state, again := entry.runner.state(ctx, pod)
	state.node, state.address, state.host, state.began = pod.Spec.NodeName, entry.address, machine.address, entry.began
	return again, p.write(ctx, pod, entry, state)
}

// toleratesNotReady: pods on the host's network start before there is a network for pods.
func toleratesNotReady(pod *corev1.Pod) bool {
	return pod.Spec.HostNetwork
}

// entryOf finds or makes what is remembered of a pod; a new one gets an address and a runner.
func (p *pods) entryOf(pod *corev1.Pod, machine *machine) (*entry, error) {
	p.mutex.RLock()
	found := p.entries[pod.UID]
	p.mutex.RUnlock()
	if found != nil {
		found.pod = pod
		return found, nil
	}
	made := &entry{pod: pod, node: pod.Spec.NodeName, address: machine.address, began: time.Now(), workload: workloadOf(pod)}
	if pod.Status.StartTime != nil {
		made.began = pod.Status.StartTime.Time
	}
	switch {
	case pod.Spec.HostNetwork:
	case pod.Status.PodIP != "":
		made.address, made.own = pod.Status.PodIP, true
		p.addresses.keep(made.address)
	default:
		address, err := p.addresses.take(p.fleet.now().Subnets[machine.subnet])
		if err != nil {
			return nil, err
		}
		made.address, made.own = address, true
	}
	key := pod.Namespace + "/" + pod.Name
	if p.processes.knows(pod) {
		made.runner = p.processes.start(pod, made.address, machine, func() { p.queue.Add(key) })
	} else {
		made.runner = &simulation{pods: p, began: made.began, resumed: pod.Status.Phase == corev1.PodRunning}
	}
	p.mutex.Lock()
	p.entries[pod.UID], p.byKey[key] = made, pod.UID
	p.mutex.Unlock()
	return made, nil
}

// write tells the API server where the pod is, if that is news. What was written last is to be seen first: its event comes.
func (p *pods) write(ctx context.Context, pod *corev1.Pod, entry *entry, state podState) error {
	if !entry.isSeen(pod) {
		return nil
	}
	status := state.status(pod)
	ready := false
	for _, condition := range status.Conditions {
		ready = ready || condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		return err
	}
	if string(patch) != entry.written || saysOtherwise(pod, status.Conditions) {
		told, err := p.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return nil // It is gone, or another of the same name is there: its event comes.
		}
		if err != nil {
			return err
		}
		entry.written, entry.version = string(patch), told.ResourceVersion
	}
	p.mutex.Lock()
	entry.ready = ready
	p.mutex.Unlock()
	if status.Phase == corev1.PodSucceeded || status.Phase == corev1.PodFailed {
		p.release(pod.UID)
	}
	return nil
}

// isSeen tells whether a pod is as new as what was written of it last.
func (e *entry) isSeen(pod *corev1.Pod) bool {
	order, err := resourceversion.CompareResourceVersion(pod.ResourceVersion, e.version)
	return err != nil || order >= 0
}

// saysOtherwise tells whether somebody has written another condition over ours since: the controller of nodes does so
// when a pod starts at the moment in which its node becomes ready.
func saysOtherwise(pod *corev1.Pod, wanted []corev1.PodCondition) bool {
	for _, ours := range wanted {
		for _, present := range pod.Status.Conditions {
			if present.Type == ours.Type && present.Status != ours.Status {
				return true
			}
		}
	}
	return false
}

// end brings a pod to its end once its deletion was asked for.
func (p *pods) end(ctx context.Context, pod *corev1.Pod) (time.Duration, error) {
	p.mutex.Lock()
	found := p.entries[pod.UID]
	if found != nil {
		found.ready = false
	}
	p.mutex.Unlock()
	if found != nil && found.runner != nil {
		if done, again := found.runner.stop(pod); !done {
			return again, nil
		}
	}
	if found != nil && found.deleted {
		return 0, nil
	}
	if err := p.finish(ctx, pod); err != nil {
		return 0, err
	}
	if found != nil {
		found.deleted = true
	}
	return 0, nil
}

// finish deletes a pod whose containers have ended. One with finalizers first gets its last phase,
// which controllers wait for.
func (p *pods) finish(ctx context.Context, pod *corev1.Pod) error {
	if len(pod.Finalizers) > 0 && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
		patch, err := json.Marshal(map[string]any{"status": map[string]any{"phase": corev1.PodFailed}})
		if err != nil {
			return err
		}
		_, err = p.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		if err := ignoreMissing(err); err != nil {
			return err
		}
	}
	now := int64(0)
	err := p.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID},
	})
	if apierrors.IsConflict(err) {
		return nil // Another pod has its name already.
	}
	return ignoreMissing(err)
}

// orphan deletes a pod whose node is no more, as the garbage collection of pods does after a minute.
func (p *pods) orphan(ctx context.Context, pod *corev1.Pod) (time.Duration, error) {
	if p.fleet.now().Version == "" {
		return time.Second, nil // The cloud has not said anything yet.
	}
	_, err := p.client.CoreV1().Nodes().Get(ctx, pod.Spec.NodeName, metav1.GetOptions{ResourceVersion: "0"})
	if err == nil {
		return 5 * time.Second, nil // Somebody else's node, or one that is just registering.
	}
	if !apierrors.IsNotFound(err) {
		return 0, err
	}
	p.release(pod.UID)
	return 0, p.finish(ctx, pod)
}

// cut ends what a dead node ran, without telling anybody.
func (p *pods) cut(pod *corev1.Pod, machine *machine) {
	if machine.here.Silent && !machine.dead {
		return // Its pods go on; only nobody hears of them.
	}
	p.release(pod.UID)
}

// forget lets go of a pod that is gone, or of an earlier one of the same name.
func (p *pods) forget(key string, present types.UID) {
	p.mutex.RLock()
	known, found := p.byKey[key]
	p.mutex.RUnlock()
	if found && known != present {
		p.release(known)
		p.mutex.Lock()
		delete(p.entries, known)
		if p.byKey[key] == known {
			delete(p.byKey, key)
		}
		p.mutex.Unlock()
	}
}

// release gives back the address of a pod and ends its processes.
func (p *pods) release(uid types.UID) {
	p.mutex.Lock()
	found := p.entries[uid]
	if found == nil {
		p.mutex.Unlock()
		return
	}
	found.ready = false
	own := found.own
	found.own = false
	p.mutex.Unlock()
	found.runner.forget()
	if own {
		p.addresses.free(found.address)
	}
}
