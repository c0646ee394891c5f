//! What an EC2 instance leaves for pods: memory that the hypervisor keeps, pods that the network
//! interfaces allow, and what the kubelet of the EKS image reserves.

use super::resources::{CPU, EPHEMERAL_STORAGE, MEMORY, ResourceId};

const MIB: i64 = 1 << 20;

/// What `DescribeInstanceTypes` says about a type, as far as scheduling needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InstanceFacts {
    /// Type name.
    pub name: String,
    /// `amd64` or `arm64`.
    pub architecture: String,
    /// `nitro`, `xen`, or empty for bare metal.
    pub hypervisor: String,
    /// Default number of virtual CPUs.
    pub vcpus: i64,
    /// Advertised memory.
    pub memory_mib: i64,
    /// Network interfaces on the default network card.
    pub interfaces: i64,
    /// IPv4 addresses per interface.
    pub addresses_per_interface: i64,
    /// Root volume or instance store, in bytes.
    pub ephemeral_storage_bytes: i64,
    /// Extended resources: GPUs, accelerators, attachable volumes.
    pub extended: Vec<(String, i64)>,
    /// Labels beyond those that name, CPU and memory give.
    pub labels: Vec<(String, String)>,
}

/// How the kubelet of a node class is set up.
#[derive(Clone, Debug, PartialEq)]
pub struct KubeletReservation {
    /// Share of memory that the hypervisor keeps.
    pub hypervisor_share: f64,
    /// Interfaces that are kept from pods.
    pub reserved_interfaces: i64,
    /// Replaces the number of pods that the interfaces allow.
    pub max_pods: Option<i64>,
    /// At most this many pods per virtual CPU.
    pub pods_per_core: Option<i64>,
    /// Replaces the CPU reservation, in thousandths.
    pub kube_cpu_milli: Option<i64>,
    /// Replaces the memory reservation, in bytes.
    pub kube_memory_bytes: Option<i64>,
    /// Further CPU for the system, in thousandths.
    pub system_cpu_milli: i64,
    /// Further memory for the system, in bytes.
    pub system_memory_bytes: i64,
    /// Memory below which pods are evicted, in bytes.
    pub eviction_memory_bytes: i64,
}

impl Default for KubeletReservation {
    fn default() -> Self {
        Self {
            hypervisor_share: 0.075,
            reserved_interfaces: 0,
            max_pods: None,
            pods_per_core: None,
            kube_cpu_milli: None,
            kube_memory_bytes: None,
            system_cpu_milli: 0,
            system_memory_bytes: 0,
            eviction_memory_bytes: 100 * MIB,
        }
    }
}

impl InstanceFacts {
    /// Memory that the operating system sees when the hypervisor keeps a share of it.
    pub fn usable_memory_bytes(&self, share: f64) -> i64 {
        let advertised = self.memory_mib - if self.architecture == "arm64" { 64 } else { 0 };
        let kept = (self.memory_mib as f64 * share).ceil() as i64;
        (advertised - kept).max(0).saturating_mul(MIB)
    }

    /// Pods that the addresses of the interfaces allow.
    pub fn interface_pods(&self, reserved_interfaces: i64) -> i64 {
        let usable = (self.interfaces - reserved_interfaces).max(0);
        if usable == 0 { 0 } else { usable * (self.addresses_per_interface - 1).max(0) + 2 }
    }

    /// Pods that the kubelet accepts.
    pub fn max_pods(&self, kubelet: &KubeletReservation) -> i64 {
        let limit = kubelet.max_pods.unwrap_or_else(|| self.interface_pods(kubelet.reserved_interfaces));
        kubelet
            .pods_per_core
            .filter(|per_core| *per_core > 0)
            .map_or(limit, |per_core| limit.min(per_core * self.vcpus))
    }
}

impl KubeletReservation {
    /// What is taken from capacity before pods get any.
    pub fn reserved(&self, facts: &InstanceFacts) -> [(ResourceId, i64); 3] {
        let cpu = self.kube_cpu_milli.unwrap_or_else(|| reserved_cpu_milli(facts.vcpus)) + self.system_cpu_milli;
        let pods = facts.interface_pods(self.reserved_interfaces);
        let memory = self.kube_memory_bytes.unwrap_or((11 * pods + 255) * MIB)
            + self.system_memory_bytes
            + self.eviction_memory_bytes;
        let storage = (1 << 30) + facts.ephemeral_storage_bytes / 10;
        [(CPU, cpu), (MEMORY, memory), (EPHEMERAL_STORAGE, storage)]
    }
}

/// 6 % of the first core, 1 % of the second, 0.5 % of the next two, 0.25 % of the rest.
fn reserved_cpu_milli(vcpus: i64) -> i64 {
    let tenths = [600, 100, 50, 50];
    let first: i64 = tenths.iter().take(usize::try_from(vcpus).unwrap_or(0)).sum();
    (first + (vcpus - 4).max(0) * 25) / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_m5_large_keeps_what_the_image_computes() {
        let facts = InstanceFacts {
            name: "m5.large".into(),
            architecture: "amd64".into(),
            vcpus: 2,
            memory_mib: 8192,
            interfaces: 3,
            addresses_per_interface: 10,
            ..InstanceFacts::default()
        };
        let kubelet = KubeletReservation::default();
        assert_eq!(facts.max_pods(&kubelet), 29);
        assert_eq!(facts.usable_memory_bytes(0.075) / MIB, 7577);
        let [(_, cpu), (_, memory), _] = kubelet.reserved(&facts);
        assert_eq!((cpu, memory / MIB), (70, 11 * 29 + 255 + 100));
    }

    #[test]
    fn arm_loses_64_mib_and_limits_apply() {
        let facts = InstanceFacts {
            architecture: "arm64".into(),
            vcpus: 8,
            memory_mib: 16384,
            interfaces: 4,
            addresses_per_interface: 15,
            ..InstanceFacts::default()
        };
        assert_eq!(facts.usable_memory_bytes(0.075) / MIB, 16384 - 64 - 1229);
        let kubelet = KubeletReservation { max_pods: Some(110), pods_per_core: Some(10), ..Default::default() };
        assert_eq!(facts.max_pods(&kubelet), 80);
        assert_eq!(reserved_cpu_milli(8), 90);
    }
}
