package main

// What a node has, and what of it the images of EKS leave for pods.

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// instanceType is what EC2 says about a type, as far as a kubelet would notice.
type instanceType struct {
	VCPUs                 int64 `json:"vcpus"`
	MemoryMiB             int64 `json:"memoryMib"`
	Interfaces            int64 `json:"interfaces"`
	AddressesPerInterface int64 `json:"addressesPerInterface"`
	GPUs                  int64 `json:"gpus"`
}

const (
	mebibyte = int64(1) << 20
	gibibyte = int64(1) << 30
	// The share of an instance's memory that firmware and kernel keep: about what small and middle
	// instances show, and less than the 7.5 % that autoscalers reckon with.
	kernelShare = 0.055
	// Managed node groups cap the number of pods by the number of vCPUs.
	managedPodsSmall, managedPodsLarge, managedLargeVCPUs = 110, 250, 30
)

// addressedPods is how many pods the network interfaces of a type have addresses for.
func addressedPods(kind instanceType) int64 {
	return kind.Interfaces*(kind.AddressesPerInterface-1) + 2
}

// maxPods is the kubelet's limit on a node.
func maxPods(kind instanceType, config kubeletConfig, managed bool) int64 {
	pods := addressedPods(kind)
	if config.MaxPods > 0 {
		pods = config.MaxPods
	} else if managed {
		limit := int64(managedPodsSmall)
		if kind.VCPUs >= managedLargeVCPUs {
			limit = managedPodsLarge
		}
		pods = min(pods, limit)
	}
	if config.PodsPerCore > 0 && !config.Bottlerocket {
		pods = min(pods, config.PodsPerCore*kind.VCPUs)
	}
	return pods
}

// reservedMilliCPU is EKS's kube-reserved CPU: 6 % of the first core, 1 % of the second, 0.5 % of
// the next two, 0.25 % of the rest.
func reservedMilliCPU(vcpus int64) int64 {
	total := 0.0
	for core := int64(0); core < vcpus; core++ {
		switch {
		case core == 0:
			total += 60
		case core == 1:
			total += 10
		case core < 4:
			total += 5
		default:
			total += 2.5
		}
	}
	return int64(total)
}

// memoryBytes is what the kernel shows of an instance's memory.
func memoryBytes(kind instanceType, architecture string) int64 {
	mib := kind.MemoryMiB
	if architecture == "arm64" {
		mib -= 64
	}
	return (mib - int64(math.Ceil(float64(mib)*kernelShare))) * mebibyte
}

// resourcesOf returns the capacity of a node and what of it is allocatable.
func resourcesOf(kind instanceType, config kubeletConfig, architecture string, rootGiB int64, managed bool) (corev1.ResourceList, corev1.ResourceList, error) {
	memory := memoryBytes(kind, architecture)
	disk := rootGiB*gibibyte - rootGiB*gibibyte/100
	pods := maxPods(kind, config, managed)
	reservedPods := addressedPods(kind)
	if config.Bottlerocket {
		reservedPods = pods
	}
	reserved := map[corev1.ResourceName]int64{
		corev1.ResourceCPU:              reservedMilliCPU(kind.VCPUs),
		corev1.ResourceMemory:           (11*reservedPods + 255) * mebibyte,
		corev1.ResourceEphemeralStorage: gibibyte,
	}
	if err := reserve(reserved, config.KubeReserved, false); err != nil {
		return nil, nil, err
	}
	if err := reserve(reserved, config.SystemReserved, true); err != nil {
		return nil, nil, err
	}
	memoryFloor, err := threshold(config.EvictionHard, "memory.available", memory, 100*mebibyte)
	if err != nil {
		return nil, nil, err
	}
	diskFloor, err := threshold(config.EvictionHard, "nodefs.available", disk, disk/10)
	if err != nil {
		return nil, nil, err
	}
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(kind.VCPUs, resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(memory, resource.BinarySI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(disk, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(pods, resource.DecimalSI),
		"hugepages-1Gi":                 *resource.NewQuantity(0, resource.DecimalSI),
		"hugepages-2Mi":                 *resource.NewQuantity(0, resource.DecimalSI),
	}
	allocatable := capacity.DeepCopy()
	allocatable[corev1.ResourceCPU] = *resource.NewMilliQuantity(max(0, kind.VCPUs*1000-reserved[corev1.ResourceCPU]), resource.DecimalSI)
	allocatable[corev1.ResourceMemory] = *resource.NewQuantity(max(0, memory-reserved[corev1.ResourceMemory]-memoryFloor), resource.BinarySI)
	allocatable[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(max(0, disk-reserved[corev1.ResourceEphemeralStorage]-diskFloor), resource.BinarySI)
	if kind.GPUs > 0 {
		gpus := *resource.NewQuantity(kind.GPUs, resource.DecimalSI)
		capacity["nvidia.com/gpu"], allocatable["nvidia.com/gpu"] = gpus, gpus
	}
	return capacity, allocatable, nil
}

// reserve puts what the configuration reserves in the place of the default, or on top of it.
func reserve(reserved map[corev1.ResourceName]int64, asked map[string]string, onTop bool) error {
	for name, text := range asked {
		quantity, err := resource.ParseQuantity(text)
		if err != nil {
			return fmt.Errorf("the reservation of %s, `%s`, is no quantity: %w", name, text, err)
		}
		amount := quantity.Value()
		if name == "cpu" {
			amount = quantity.MilliValue()
		}
		if onTop {
			amount += reserved[corev1.ResourceName(name)]
		}
		reserved[corev1.ResourceName(name)] = amount
	}
	return nil
}

// threshold is an eviction threshold in bytes: a quantity, or a share of the whole; `100%` is none.
func threshold(asked map[string]string, signal string, whole, otherwise int64) (int64, error) {
	text, given := asked[signal]
	if !given {
		return otherwise, nil
	}
	if share, isShare := strings.CutSuffix(text, "%"); isShare {
		percent, err := strconv.ParseFloat(share, 64)
		if err != nil {
			return 0, fmt.Errorf("the eviction threshold `%s` of %s is no share: %w", text, signal, err)
		}
		if percent >= 100 {
			return 0, nil
		}
		return int64(float64(whole) * percent / 100), nil
	}
	quantity, err := resource.ParseQuantity(text)
	if err != nil {
		return 0, fmt.Errorf("the eviction threshold `%s` of %s is no quantity: %w", text, signal, err)
	}
	return quantity.Value(), nil
}
