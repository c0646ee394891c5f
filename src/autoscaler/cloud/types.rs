//! EC2's description of an instance type, as facts for scheduling.

use aws_sdk_ec2::types::{ArchitectureType, InstanceTypeHypervisor, InstanceTypeInfo};

use crate::autoscaler::state::overhead::InstanceFacts;
use crate::aws::{Cloud, CloudError, call, filter};

const PREFIX: &str = "karpenter.k8s.aws/instance-";
/// The root volume of the EKS image.
const ROOT_VOLUME_BYTES: i64 = 20 << 30;

/// A type, and what else of it matters.
#[derive(Debug)]
pub struct Described {
    /// The facts for scheduling.
    pub facts: InstanceFacts,
    /// Bytes of its own disks.
    pub instance_store: i64,
    /// Elastic fabric adapters.
    pub fabric: i64,
}

/// All types that run Linux on today's virtual machines, or on the bare machine.
///
/// # Errors
/// The call's.
pub async fn read(cloud: &Cloud) -> Result<Vec<Described>, CloudError> {
    let request = cloud.read.ec2.describe_instance_types().filters(filter("supported-virtualization-type", "hvm"));
    let mut pages = request.into_paginator().send();
    let mut types = Vec::new();
    while let Some(page) = pages.next().await {
        let page = call("ec2:DescribeInstanceTypes", async { page }).await?;
        types.extend(page.instance_types().iter().filter_map(described));
    }
    types.sort_by(|a: &Described, b| a.facts.name.cmp(&b.facts.name));
    Ok(types)
}

fn described(info: &InstanceTypeInfo) -> Option<Described> {
    let gigabytes = info.instance_storage_info().and_then(|storage| storage.total_size_in_gb()).unwrap_or(0);
    let fabric =
        info.network_info().and_then(|network| network.efa_info()).and_then(|efa| efa.maximum_efa_interfaces());
    let fabric = fabric.map_or(0, i64::from);
    Some(Described { facts: facts(info)?, instance_store: gigabytes * 1_000_000_000, fabric })
}

/// The facts of a type; `None` for one that the EKS image does not run on.
pub fn facts(described: &InstanceTypeInfo) -> Option<InstanceFacts> {
    let network = described.network_info()?;
    Some(InstanceFacts {
        name: described.instance_type()?.as_str().to_owned(),
        architecture: architecture(described)?.to_owned(),
        hypervisor: match described.hypervisor() {
            Some(InstanceTypeHypervisor::Nitro) => "nitro".to_owned(),
            Some(InstanceTypeHypervisor::Xen) => "xen".to_owned(),
            _ => String::new(),
        },
        vcpus: i64::from(described.v_cpu_info()?.default_v_cpus()?),
        memory_mib: described.memory_info()?.size_in_mib()?,
        interfaces: interfaces(network),
        addresses_per_interface: i64::from(network.ipv4_addresses_per_interface().unwrap_or(0)),
        ephemeral_storage_bytes: ROOT_VOLUME_BYTES,
        extended: extended(described),
        labels: labels(described),
    })
}

fn architecture(described: &InstanceTypeInfo) -> Option<&'static str> {
    described.processor_info()?.supported_architectures().iter().find_map(|architecture| match architecture {
        ArchitectureType::Arm64 => Some("arm64"),
        ArchitectureType::X8664 => Some("amd64"),
        _ => None,
    })
}

/// Interfaces on the default network card, where the pods' addresses come from.
fn interfaces(network: &aws_sdk_ec2::types::NetworkInfo) -> i64 {
    let default = network.default_network_card_index().unwrap_or(0);
    let card = network.network_cards().iter().find(|card| card.network_card_index() == Some(default));
    let count = card.and_then(|card| card.maximum_network_interfaces()).or(network.maximum_network_interfaces());
    i64::from(count.unwrap_or(0))
}

/// Devices that pods ask for by name, as the device plug-ins register them.
fn extended(described: &InstanceTypeInfo) -> Vec<(String, i64)> {
    let mut all: Vec<(String, i64)> = Vec::new();
    for gpu in described.gpu_info().into_iter().flat_map(|info| info.gpus()) {
        let name = match gpu.manufacturer().unwrap_or_default() {
            "NVIDIA" => "nvidia.com/gpu",
            "AMD" => "amd.com/gpu",
            "Habana" => "habana.ai/gaudi",
            _ => continue,
        };
        all.push((name.to_owned(), i64::from(gpu.count().unwrap_or(0))));
    }
    for device in described.neuron_info().into_iter().flat_map(|info| info.neuron_devices()) {
        let count = i64::from(device.count().unwrap_or(0));
        let cores = device.core_info().and_then(|cores| cores.count()).map_or(0, i64::from);
        all.push(("aws.amazon.com/neuron".to_owned(), count));
        all.push(("aws.amazon.com/neuroncore".to_owned(), count * cores));
    }
    let efa =
        described.network_info().and_then(|network| network.efa_info()).and_then(|efa| efa.maximum_efa_interfaces());
    all.extend(efa.map(|count| ("vpc.amazonaws.com/efa".to_owned(), i64::from(count))));
    all.retain(|(_, count)| *count > 0);
    all
}

/// Labels beyond those that name, CPU and memory give.
fn labels(described: &InstanceTypeInfo) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| all.push((format!("{PREFIX}{name}"), value));
    if let Some(manufacturer) = described.processor_info().and_then(|info| info.manufacturer()) {
        add("cpu-manufacturer", manufacturer.to_ascii_lowercase());
    }
    if let Some(clock) = described.processor_info().and_then(|info| info.sustained_clock_speed_in_ghz()) {
        add("cpu-sustained-clock-speed-mhz", format!("{:.0}", clock * 1000.0));
    }
    let family = described.instance_type().and_then(|name| name.as_str().split_once('.')).map_or("", |(name, _)| name);
    add("capability-flex", family.ends_with("-flex").to_string());
    let cards = described.network_info().map(|info| info.network_cards()).unwrap_or_default();
    let bandwidth: f64 = cards.iter().filter_map(|card| card.baseline_bandwidth_in_gbps()).sum();
    if bandwidth > 0.0 {
        add("network-bandwidth", format!("{:.0}", bandwidth * 1000.0));
    }
    if let Some(bandwidth) = described
        .ebs_info()
        .and_then(|info| info.ebs_optimized_info())
        .and_then(|info| info.maximum_bandwidth_in_mbps())
    {
        add("ebs-bandwidth", bandwidth.to_string());
    }
    if let Some(size) = described.instance_storage_info().and_then(|info| info.total_size_in_gb()) {
        add("local-nvme", size.to_string());
    }
    if let Some(encrypted) = described.network_info().and_then(|info| info.encryption_in_transit_supported()) {
        add("encryption-in-transit-supported", encrypted.to_string());
    }
    if let Some([gpu]) = described.gpu_info().map(|info| info.gpus()) {
        add("gpu-name", gpu.name().unwrap_or_default().to_ascii_lowercase().replace(' ', "-"));
        add("gpu-manufacturer", gpu.manufacturer().unwrap_or_default().to_ascii_lowercase());
        add("gpu-count", gpu.count().unwrap_or(0).to_string());
        add("gpu-memory", gpu.memory_info().and_then(|memory| memory.size_in_mib()).unwrap_or(0).to_string());
    }
    accelerators(described, &mut add);
    all.retain(|(_, value)| !value.is_empty());
    all
}

/// Inferentia and Trainium, or Gaudi.
fn accelerators(described: &InstanceTypeInfo, add: &mut impl FnMut(&str, String)) {
    let mut found: Vec<(&str, &str, i32)> = Vec::new();
    for device in described.neuron_info().into_iter().flat_map(|info| info.neuron_devices()) {
        found.push((device.name().unwrap_or_default(), "aws", device.count().unwrap_or(0)));
    }
    if found.is_empty() {
        for device in described.inference_accelerator_info().into_iter().flat_map(|info| info.accelerators()) {
            found.push((
                device.name().unwrap_or_default(),
                device.manufacturer().unwrap_or_default(),
                device.count().unwrap_or(0),
            ));
        }
    }
    if let [(name, manufacturer, count)] = found[..] {
        add("accelerator-name", name.to_ascii_lowercase().replace(' ', "-"));
        add("accelerator-manufacturer", manufacturer.to_ascii_lowercase());
        add("accelerator-count", count.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::state::instance_types::describe;
    use crate::autoscaler::state::names::Names;
    use crate::autoscaler::state::overhead::KubeletReservation;
    use crate::autoscaler::state::resources::{CPU, MEMORY, PODS};
    use aws_sdk_ec2::types::{
        GpuDeviceInfo, GpuInfo, InstanceType, MemoryInfo, NetworkCardInfo, NetworkInfo, ProcessorInfo, VCpuInfo,
    };

    fn described(name: &str, architecture: ArchitectureType) -> InstanceTypeInfo {
        let card =
            |index, most| NetworkCardInfo::builder().network_card_index(index).maximum_network_interfaces(most).build();
        InstanceTypeInfo::builder()
            .instance_type(InstanceType::from(name))
            .hypervisor(InstanceTypeHypervisor::Nitro)
            .processor_info(
                ProcessorInfo::builder().supported_architectures(architecture).manufacturer("Intel").build(),
            )
            .v_cpu_info(VCpuInfo::builder().default_v_cpus(4).build())
            .memory_info(MemoryInfo::builder().size_in_mib(16384).build())
            .network_info(
                NetworkInfo::builder()
                    .default_network_card_index(0)
                    .network_cards(card(0, 4))
                    .network_cards(card(1, 8))
                    .maximum_network_interfaces(12)
                    .ipv4_addresses_per_interface(15)
                    .build(),
            )
            .build()
    }

    #[test]
    fn a_type_leaves_what_the_image_of_eks_leaves() {
        let mut names = Names::default();
        let facts = facts(&described("m5.xlarge", ArchitectureType::X8664)).unwrap_or_else(|| panic!("facts"));
        let built = describe(&mut names, &facts, &KubeletReservation::default(), Vec::new());
        // Pods: 4 interfaces of the default card with 14 addresses each, and two pods on the host's network.
        assert_eq!(built.capacity.get(PODS), 4 * 14 + 2);
        assert_eq!(built.allocatable.get(CPU), 4000 - 80);
        let kept = 1229 + 11 * 58 + 255 + 100;
        assert_eq!(built.allocatable.get(MEMORY), (16384 - kept) << 20);
    }

    #[test]
    fn graphics_cards_are_resources_and_labels() {
        let gpu = GpuDeviceInfo::builder().name("T4").manufacturer("NVIDIA").count(4).build();
        let mut with_gpu = described("g4dn.12xlarge", ArchitectureType::X8664);
        with_gpu.gpu_info = Some(GpuInfo::builder().gpus(gpu).build());
        let facts = facts(&with_gpu).unwrap_or_else(|| panic!("facts"));
        assert_eq!(facts.extended, [("nvidia.com/gpu".to_owned(), 4)]);
        assert!(facts.labels.contains(&(format!("{PREFIX}gpu-name"), "t4".to_owned())));
        assert!(facts.labels.contains(&(format!("{PREFIX}cpu-manufacturer"), "intel".to_owned())));
    }

    #[test]
    fn machines_that_the_image_does_not_run_on_are_left_out() {
        assert_eq!(facts(&described("t1.micro", ArchitectureType::I386)), None);
        assert_eq!(facts(&InstanceTypeInfo::builder().build()), None);
        let arm = facts(&described("m7g.xlarge", ArchitectureType::Arm64));
        assert_eq!(arm.map(|facts| facts.architecture), Some("arm64".to_owned()));
    }
}
