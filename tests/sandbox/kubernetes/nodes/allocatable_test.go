package main

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

var (
	t3medium  = instanceType{VCPUs: 2, MemoryMiB: 4096, Interfaces: 3, AddressesPerInterface: 6}
	m5large   = instanceType{VCPUs: 2, MemoryMiB: 8192, Interfaces: 3, AddressesPerInterface: 10}
	m59xlarge = instanceType{VCPUs: 36, MemoryMiB: 147456, Interfaces: 8, AddressesPerInterface: 30}
)

func TestMaxPodsFollowTheInterfaces(t *testing.T) {
	check(t, "t3.medium", maxPods(t3medium, kubeletConfig{}, true), int64(17))
	check(t, "m5.large", maxPods(m5large, kubeletConfig{}, true), int64(29))
	check(t, "a large one by itself", maxPods(m59xlarge, kubeletConfig{}, false), int64(234))
	check(t, "asked for", maxPods(m5large, kubeletConfig{MaxPods: 110}, false), int64(110))
	check(t, "by core", maxPods(m5large, kubeletConfig{PodsPerCore: 4}, false), int64(8))
	check(t, "not by core on Bottlerocket", maxPods(m5large, kubeletConfig{PodsPerCore: 4, Bottlerocket: true}, false), int64(29))
}

func TestReservedCPUFallsWithEveryCore(t *testing.T) {
	for vcpus, milli := range map[int64]int64{1: 60, 2: 70, 4: 80, 8: 90, 36: 160} {
		check(t, "reserved", reservedMilliCPU(vcpus), milli)
	}
}

func allocatable(t *testing.T, kind instanceType, config kubeletConfig) (corev1.ResourceList, corev1.ResourceList) {
	t.Helper()
	capacity, rest, err := resourcesOf(kind, config, "amd64", 20, false)
	if err != nil {
		t.Fatal(err)
	}
	return capacity, rest
}

func TestAllocatableIsCapacityLessReservationsAndThresholds(t *testing.T) {
	capacity, rest := allocatable(t, m5large, kubeletConfig{})
	check(t, "cpu", rest.Cpu().MilliValue(), int64(1930))
	lost := capacity.Memory().Value() - rest.Memory().Value()
	check(t, "memory", lost/mebibyte, int64(11*29+255+100))
	_, many := allocatable(t, m5large, kubeletConfig{MaxPods: 110})
	check(t, "AL2023 reserves for the interfaces' pods all the same", many.Memory().Value(), rest.Memory().Value())
	_, bottlerocket := allocatable(t, m5large, kubeletConfig{MaxPods: 110, Bottlerocket: true})
	check(t, "Bottlerocket for those it may have", (rest.Memory().Value()-bottlerocket.Memory().Value())/mebibyte, int64(11*(110-29)))
}

func TestTheConfigurationOverridesReservations(t *testing.T) {
	config := kubeletConfig{
		KubeReserved:   map[string]string{"cpu": "200m", "memory": "1Gi"},
		SystemReserved: map[string]string{"cpu": "100m"},
		EvictionHard:   map[string]string{"memory.available": "100%"},
	}
	capacity, rest := allocatable(t, m5large, config)
	check(t, "cpu", rest.Cpu().MilliValue(), int64(1700))
	check(t, "memory", capacity.Memory().Value()-rest.Memory().Value(), gibibyte)
	if _, _, err := resourcesOf(m5large, kubeletConfig{KubeReserved: map[string]string{"cpu": "a lot"}}, "amd64", 20, false); err == nil {
		t.Error("no error for a reservation that is no quantity")
	}
}

func TestAddressesOfPodsAreUniqueAndComeBack(t *testing.T) {
	given := newAddresses()
	seen := map[string]bool{}
	for range 120 {
		address, err := given.take("10.0.1.0/24")
		if err != nil || seen[address] {
			t.Fatalf("%s again, or %v", address, err)
		}
		seen[address] = true
	}
	for range 20 {
		address, err := given.take("10.0.1.0/24")
		if err != nil || seen[address] {
			t.Fatalf("%s again, or %v", address, err)
		}
		seen[address] = true
	}
	check(t, "from the end", seen["10.0.1.254"], true)
	check(t, "not the lower half", seen["10.0.1.100"], false)
	check(t, "the overflow takes the rest", seen["100.127.255.254"], true)
	given.free("10.0.1.200")
	address, _ := given.take("10.0.1.0/24")
	check(t, "what was given back", address, "10.0.1.200")
}

func TestAVariableIsExpandedAsKubernetesDoes(t *testing.T) {
	variables := map[string]string{"NAME": "web"}
	for text, wanted := range map[string]string{
		"$(NAME)-1": "web-1", "$(MISSING)": "$(MISSING)", "$$(NAME)": "$(NAME)", "$NAME": "$NAME", "100$": "100$",
	} {
		check(t, text, expand(text, variables), wanted)
	}
}
