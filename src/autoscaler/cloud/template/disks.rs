//! The volumes of a node: the class's, or those that its family has by default.

use serde::Serialize;

use crate::autoscaler::api::ec2_node_class::{BlockDeviceMapping, EC2NodeClassSpec};
use crate::autoscaler::cloud::class::Family;
use crate::autoscaler::state::quantity::Quantity;

const GIB: i64 = 1 << 30;
/// What the kubelet has where nothing else says so.
const OTHERWISE: i64 = 20 * GIB;

/// A volume, or a device that the image has and the node is not to have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// `/dev/xvda`
    pub device: Option<String>,
    /// GiB; `None` where its snapshot says it.
    pub size: Option<i32>,
    /// `gp3`, …
    pub kind: Option<String>,
    /// Whether it is encrypted.
    pub encrypted: Option<bool>,
    /// Whether it goes with the instance.
    pub delete_on_termination: Option<bool>,
    /// Operations per second.
    pub iops: Option<i32>,
    /// MiB per second.
    pub throughput: Option<i32>,
    /// Its key.
    pub key: Option<String>,
    /// The snapshot that it is made from.
    pub snapshot: Option<String>,
    /// MiB per second at which the snapshot is read.
    pub initialization_rate: Option<i32>,
}

/// Devices and sizes in GiB that a family has by default; the last one holds the kubelet's data.
fn defaults(family: Family) -> &'static [(&'static str, i32)] {
    match family {
        Family::Al2 | Family::Al2023 => &[("/dev/xvda", 20)],
        Family::Bottlerocket => &[("/dev/xvda", 4), ("/dev/xvdb", 20)],
        Family::Windows2019 | Family::Windows2022 | Family::Windows2025 => &[("/dev/sda1", 50)],
        Family::Custom => &[],
    }
}

/// The volumes that a launch template names.
pub fn disks(spec: &EC2NodeClassSpec, family: Family) -> Vec<Disk> {
    if !spec.block_device_mappings.is_empty() {
        return spec.block_device_mappings.iter().map(of_class).collect();
    }
    let disk = |(device, size): &(&str, i32)| Disk {
        device: Some((*device).to_owned()),
        size: Some(*size),
        kind: Some("gp3".to_owned()),
        encrypted: Some(true),
        ..Disk::default()
    };
    defaults(family).iter().map(disk).collect()
}

fn of_class(mapping: &BlockDeviceMapping) -> Disk {
    let ebs = mapping.ebs.clone().unwrap_or_default();
    let number = |value: Option<i64>| value.and_then(|value| i32::try_from(value).ok());
    Disk {
        device: mapping.device_name.clone(),
        size: bytes(mapping).map(|bytes| i32::try_from((bytes + GIB - 1) / GIB).unwrap_or(i32::MAX)),
        kind: ebs.volume_type,
        encrypted: ebs.encrypted,
        delete_on_termination: ebs.delete_on_termination,
        iops: number(ebs.iops),
        throughput: number(ebs.throughput),
        key: ebs.kms_key_id,
        snapshot: ebs.snapshot_id,
        initialization_rate: ebs.volume_initialization_rate,
    }
}

fn bytes(mapping: &BlockDeviceMapping) -> Option<i64> {
    let size = mapping.ebs.as_ref()?.volume_size.as_ref()?;
    Quantity::parse(&size.0).ok().map(|quantity| quantity.units())
}

/// What pods may write on a node with `instance_store` bytes of disks of its own: these, when they are made one
/// volume; else the volume that is called the root, or the one that the family keeps the kubelet's data on.
pub fn ephemeral_storage(spec: &EC2NodeClassSpec, family: Family, instance_store: i64) -> i64 {
    if spec.instance_store_policy.as_deref() == Some("RAID0") && instance_store > 0 {
        return instance_store;
    }
    let mappings = &spec.block_device_mappings;
    let device = defaults(family).last();
    let Some(chosen) = mappings.iter().find(|mapping| mapping.root_volume).or_else(|| match family {
        Family::Custom => mappings.last(),
        _ => mappings.iter().find(|mapping| mapping.device_name.as_deref() == device.map(|(name, _)| *name)),
    }) else {
        return device.filter(|_| mappings.is_empty()).map_or(OTHERWISE, |(_, size)| i64::from(*size) * GIB);
    };
    bytes(chosen).unwrap_or(OTHERWISE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::api::ec2_node_class::BlockDevice;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

    fn volume(device: &str, size: &str, root_volume: bool) -> BlockDeviceMapping {
        let ebs = BlockDevice { volume_size: Some(Text(size.to_owned())), ..BlockDevice::default() };
        BlockDeviceMapping { device_name: Some(device.to_owned()), root_volume, ebs: Some(ebs) }
    }

    fn with(volumes: Vec<BlockDeviceMapping>) -> EC2NodeClassSpec {
        EC2NodeClassSpec { block_device_mappings: volumes, ..EC2NodeClassSpec::default() }
    }

    #[test]
    fn families_have_disks_of_their_own() {
        let shown = |family| {
            let disks = disks(&EC2NodeClassSpec::default(), family);
            disks
                .iter()
                .map(|disk| (disk.device.clone().unwrap_or_default(), disk.size.unwrap_or(0)))
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(Family::Al2023), [("/dev/xvda".to_owned(), 20)]);
        assert_eq!(shown(Family::Bottlerocket), [("/dev/xvda".to_owned(), 4), ("/dev/xvdb".to_owned(), 20)]);
        assert_eq!(shown(Family::Windows2022), [("/dev/sda1".to_owned(), 50)]);
        assert_eq!(shown(Family::Custom), []);
    }

    #[test]
    fn pods_write_on_the_volume_with_the_data_of_the_kubelet() {
        let bottlerocket = with(vec![volume("/dev/xvda", "4Gi", false), volume("/dev/xvdb", "100Gi", false)]);
        let chosen = with(vec![volume("/dev/xvda", "50Gi", false), volume("/dev/xvdc", "70Gi", true)]);
        let raid = EC2NodeClassSpec { instance_store_policy: Some("RAID0".into()), ..EC2NodeClassSpec::default() };
        for (spec, family, store, gib) in [
            (&EC2NodeClassSpec::default(), Family::Al2023, 0, 20),
            (&EC2NodeClassSpec::default(), Family::Bottlerocket, 75, 20),
            (&EC2NodeClassSpec::default(), Family::Custom, 0, 20),
            (&bottlerocket, Family::Bottlerocket, 0, 100),
            (&chosen, Family::Al2023, 0, 70),
            (&bottlerocket, Family::Custom, 0, 100),
            (&raid, Family::Al2023, 75, 75),
            (&raid, Family::Al2023, 0, 20),
        ] {
            assert_eq!(ephemeral_storage(spec, family, store * GIB), gib * GIB, "{family:?} {spec:?}");
        }
    }

    #[test]
    fn sizes_are_rounded_up_to_whole_gib() {
        assert_eq!(disks(&with(vec![volume("/dev/xvda", "50G", false)]), Family::Al2023)[0].size, Some(47));
    }
}
