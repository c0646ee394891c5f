package main

// The Node object of an instance: as its kubelet registers it, and as the cloud's controller and
// EKS complete it.

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const kubeletPort = 10250

var uninitialized = corev1.Taint{Key: "node.cloudprovider.kubernetes.io/uninitialized", Value: "true", Effect: corev1.TaintEffectNoSchedule}

var minorOfImage = regexp.MustCompile(`[-](1\.[0-9]+)(?:[-]|$)`)

// nodeName is the private DNS name of an instance.
func nodeName(region, address string) string {
	dashed := strings.ReplaceAll(address, ".", "-")
	if region == "us-east-1" {
		return "ip-" + dashed + ".ec2.internal"
	}
	return "ip-" + dashed + "." + region + ".compute.internal"
}

// registration is the Node that a kubelet creates for itself.
func registration(seen *view, here instance, config kubeletConfig) (*corev1.Node, error) {
	kind, known := seen.Types[here.Type]
	if !known {
		return nil, fmt.Errorf("the cloud does not describe the type %s", here.Type)
	}
	group, managed := seen.Nodegroups[here.Nodegroup]
	capacity, allocatable, err := resourcesOf(kind, config, here.Architecture, here.RootGiB, managed && !group.CustomImage)
	if err != nil {
		return nil, err
	}
	name := nodeName(seen.Region, here.PrivateIP)
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				corev1.LabelHostname:      name,
				corev1.LabelOSStable:      "linux",
				corev1.LabelArchStable:    here.Architecture,
				"beta.kubernetes.io/os":   "linux",
				"beta.kubernetes.io/arch": here.Architecture,
			},
			Annotations: map[string]string{
				"volumes.kubernetes.io/controller-managed-attach-detach": "true",
				"alpha.kubernetes.io/provided-node-ip":                   here.PrivateIP,
			},
		},
		Spec: corev1.NodeSpec{
			ProviderID: "aws:///" + here.Zone + "/" + here.ID,
			Taints:     append([]corev1.Taint{uninitialized}, config.Taints...),
		},
		Status: corev1.NodeStatus{
			Capacity:        capacity,
			Allocatable:     allocatable,
			Addresses:       addressesOf(name, here),
			NodeInfo:        nodeInfo(seen, here, config),
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: kubeletPort}},
			Conditions:      conditions(false, "KubeletNotReady", networkMissing),
		},
	}
	for key, value := range config.Labels {
		node.Labels[key] = value
	}
	if managed {
		for key, value := range managedLabels(group, here) {
			node.Labels[key] = value
		}
		node.Spec.Taints = append(node.Spec.Taints, managedTaints(group)...)
	}
	return node, nil
}

const networkMissing = "container runtime network not ready: NetworkReady=false " +
	"reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"

// initialize does to a node what the cloud's controller does: labels, and the taint goes.
func initialize(node *corev1.Node, region string, here instance) {
	for key, value := range map[string]string{
		corev1.LabelInstanceTypeStable:      here.Type,
		corev1.LabelInstanceType:            here.Type,
		corev1.LabelTopologyZone:            here.Zone,
		corev1.LabelTopologyRegion:          region,
		corev1.LabelFailureDomainBetaZone:   here.Zone,
		corev1.LabelFailureDomainBetaRegion: region,
		"topology.k8s.aws/zone-id":          here.ZoneID,
		"k8s.io/cloud-provider-aws":         "sandbox",
	} {
		node.Labels[key] = value
	}
	kept := node.Spec.Taints[:0]
	for _, taint := range node.Spec.Taints {
		if taint.Key != uninitialized.Key {
			kept = append(kept, taint)
		}
	}
	node.Spec.Taints = kept
}

// managedLabels are those that EKS gives the nodes of a group, and the group's own.
func managedLabels(group nodegroup, here instance) map[string]string {
	labels := map[string]string{
		"eks.amazonaws.com/nodegroup":       here.Nodegroup,
		"eks.amazonaws.com/nodegroup-image": here.ImageID,
		"eks.amazonaws.com/capacityType":    group.CapacityType,
	}
	if group.LaunchTemplateID != "" {
		labels["eks.amazonaws.com/sourceLaunchTemplateId"] = group.LaunchTemplateID
		labels["eks.amazonaws.com/sourceLaunchTemplateVersion"] = group.LaunchTemplateVersion
	}
	for key, value := range group.Labels {
		labels[key] = value
	}
	return labels
}

func managedTaints(group nodegroup) []corev1.Taint {
	effects := map[string]corev1.TaintEffect{
		"NO_SCHEDULE":        corev1.TaintEffectNoSchedule,
		"NO_EXECUTE":         corev1.TaintEffectNoExecute,
		"PREFER_NO_SCHEDULE": corev1.TaintEffectPreferNoSchedule,
	}
	var taints []corev1.Taint
	for _, taint := range group.Taints {
		taints = append(taints, corev1.Taint{Key: taint.Key, Value: taint.Value, Effect: effects[taint.Effect]})
	}
	return taints
}

func addressesOf(name string, here instance) []corev1.NodeAddress {
	addresses := []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: here.PrivateIP}}
	if here.PublicIP != "" {
		addresses = append(addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: here.PublicIP})
	}
	return append(addresses,
		corev1.NodeAddress{Type: corev1.NodeInternalDNS, Address: name},
		corev1.NodeAddress{Type: corev1.NodeHostName, Address: name})
}

func nodeInfo(seen *view, here instance, config kubeletConfig) corev1.NodeSystemInfo {
	minor, system := seen.Kubernetes, "Amazon Linux 2023"
	if found := minorOfImage.FindStringSubmatch(here.ImageName); found != nil {
		minor = found[1]
	}
	if config.Bottlerocket || strings.HasPrefix(here.ImageName, "bottlerocket") {
		system = "Bottlerocket OS (aws-k8s-" + minor + ")"
	}
	return corev1.NodeSystemInfo{
		MachineID:               strings.TrimPrefix(here.ID, "i-"),
		SystemUUID:              "ec2" + strings.TrimPrefix(here.ID, "i-"),
		BootID:                  here.ID,
		KernelVersion:           "6.12.0-sandbox",
		OSImage:                 system,
		ContainerRuntimeVersion: "containerd://2.1.0-sandbox",
		KubeletVersion:          "v" + minor + ".0-eks-sandbox",
		OperatingSystem:         "linux",
		Architecture:            here.Architecture,
	}
}

// conditions of a node, ready or not.
func conditions(ready bool, reason, message string) []corev1.NodeCondition {
	now := metav1.Now()
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) corev1.NodeCondition {
		return corev1.NodeCondition{
			Type: kind, Status: status, Reason: reason, Message: message, LastHeartbeatTime: now, LastTransitionTime: now,
		}
	}
	state := corev1.ConditionFalse
	if ready {
		state = corev1.ConditionTrue
	}
	return []corev1.NodeCondition{
		condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
		condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
		condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
		condition(corev1.NodeReady, state, reason, message),
	}
}
