package main

// Heartbeats: one Lease for each node, renewed for as long as its kubelet lives.

import (
	"context"
	"math/rand/v2"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	leaseSeconds = 40
	leaseSpace   = corev1.NamespaceNodeLease
	renewEvery   = 10 * time.Second
	// Large fleets breathe more slowly, still well within the lease.
	renewEveryLarge = 18 * time.Second
	largeFleet      = 200
	leaseWorkers    = 32
)

func jittered(every time.Duration) time.Duration {
	return every - time.Duration(rand.Int64N(int64(every)/4))
}

func (f *fleet) createLease(ctx context.Context, node *corev1.Node) (*coordinationv1.Lease, error) {
	seconds, now := int32(leaseSeconds), metav1.NowMicro()
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: node.Name, Namespace: leaseSpace,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &node.Name, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}
	leases := f.client.CoordinationV1().Leases(leaseSpace)
	created, err := leases.Create(ctx, lease, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return created, err
	}
	present, err := leases.Get(ctx, node.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	present.Spec, present.OwnerReferences = lease.Spec, lease.OwnerReferences
	return leases.Update(ctx, present, metav1.UpdateOptions{})
}

// heartbeats renews every lease that is due, a few at a time.
func (f *fleet) heartbeats(ctx context.Context) {
	due := make(chan *machine)
	for range leaseWorkers {
		go func() {
			for machine := range due {
				f.renew(ctx, machine)
			}
		}()
	}
	defer close(due)
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, machine := range f.takeDue() {
			select {
			case due <- machine:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (f *fleet) takeDue() []*machine {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	every := renewEvery
	if len(f.byID) > largeFleet {
		every = renewEveryLarge
	}
	now := time.Now()
	var due []*machine
	for _, machine := range f.byID {
		if machine.runs() && now.After(machine.renewAt) {
			machine.renewAt = now.Add(jittered(every))
			due = append(due, machine)
		}
	}
	return due
}

func (f *fleet) renew(ctx context.Context, machine *machine) {
	leases := f.client.CoordinationV1().Leases(leaseSpace)
	lease, now := machine.lease.DeepCopy(), metav1.NowMicro()
	lease.Spec.RenewTime = &now
	renewed, err := leases.Update(ctx, lease, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		if renewed, err = leases.Get(ctx, machine.name, metav1.GetOptions{}); err == nil {
			renewed.Spec.RenewTime = &now
			renewed, err = leases.Update(ctx, renewed, metav1.UpdateOptions{})
		}
	}
	switch {
	case err == nil:
		machine.lease = renewed // Only one worker has a machine at a time: it is due again much later.
	case apierrors.IsNotFound(err):
		// The node was deleted under a kubelet that lives: it goes on, unregistered, as a real one does.
		if _, err := f.client.CoreV1().Nodes().Get(ctx, machine.name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			say("node %s was deleted while its instance %s runs", machine.name, machine.id)
			f.end(machine)
		}
	default:
		f.mutex.Lock()
		machine.renewAt = time.Now().Add(2 * time.Second)
		f.mutex.Unlock()
	}
}
