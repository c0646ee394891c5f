//! What a launch template says, before EC2 has it. Blueprints that are alike have the same name.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{
    CapacityReservationPreference, CapacityReservationTarget, ConnectionTrackingSpecificationRequest,
    LaunchTemplateBlockDeviceMappingRequest as Mapping,
    LaunchTemplateCapacityReservationSpecificationRequest as ReservationSpecification, LaunchTemplateCpuOptionsRequest,
    LaunchTemplateEbsBlockDeviceRequest as Volume, LaunchTemplateIamInstanceProfileSpecificationRequest,
    LaunchTemplateInstanceMarketOptionsRequest, LaunchTemplateInstanceMetadataOptionsRequest,
    LaunchTemplateInstanceMetadataTagsState, LaunchTemplateInstanceNetworkInterfaceSpecificationRequest as Interface,
    LaunchTemplatePlacementRequest, LaunchTemplateTagSpecificationRequest, LaunchTemplatesMonitoringRequest,
    MarketType, RequestLaunchTemplateData, ResourceType,
};
use base64::Engine as _;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::disks::Disk;
use crate::autoscaler::api::ec2_node_class::{
    ConnectionTracking, CpuOptions, EC2NodeClassSpec, MetadataOptions, NetworkInterface,
};
use crate::aws::tagging;

/// What the name of every launch template of ours begins with.
pub const PREFIX: &str = "karpenter.sh/";

/// Which capacity reservations an instance may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Reservations {
    /// Those that are open to every instance of their type: EC2's own way.
    #[default]
    Open,
    /// None: what is left of them is kept for nodes that are meant for them.
    None,
    /// This one, or none at all.
    Only {
        /// `cr-…`
        id: String,
        /// Whether it is a capacity block.
        is_block: bool,
    },
}

impl Reservations {
    fn is_open(&self) -> bool {
        *self == Self::Open
    }

    fn specification(&self) -> Option<ReservationSpecification> {
        let specification = ReservationSpecification::builder();
        match self {
            Self::Open => None,
            Self::None => {
                Some(specification.capacity_reservation_preference(CapacityReservationPreference::None).build())
            }
            Self::Only { id, .. } => {
                let target = CapacityReservationTarget::builder().capacity_reservation_id(id).build();
                let only = CapacityReservationPreference::CapacityReservationsOnly;
                Some(specification.capacity_reservation_preference(only).capacity_reservation_target(target).build())
            }
        }
    }

    fn market(&self) -> Option<LaunchTemplateInstanceMarketOptionsRequest> {
        let block = LaunchTemplateInstanceMarketOptionsRequest::builder().market_type(MarketType::CapacityBlock);
        matches!(self, Self::Only { is_block: true, .. }).then(|| block.build())
    }
}

/// A launch template.
#[derive(Clone, Debug, Serialize)]
pub struct Blueprint {
    /// `ami-…`
    pub image: String,
    /// User data, before base64.
    pub user_data: String,
    /// The instance profile's name.
    pub profile: String,
    /// Security groups by id.
    pub security_groups: Vec<String>,
    /// Network interfaces, the primary one first.
    pub interfaces: Vec<NetworkInterface>,
    /// A public address, where the class decides that.
    pub public_address: Option<bool>,
    /// Address prefixes of the primary interface.
    pub prefixes: Option<i32>,
    /// Whether it has an address of the sixth version.
    pub ipv6: bool,
    /// Idle times of tracked connections.
    pub tracking: Option<ConnectionTracking>,
    /// Volumes.
    pub disks: Vec<Disk>,
    /// Detailed monitoring.
    pub monitoring: Option<bool>,
    /// The metadata service.
    pub metadata: MetadataOptions,
    /// Processor options.
    pub cpu: Option<CpuOptions>,
    /// Whether the host is shared: `default` or `dedicated`.
    pub tenancy: Option<String>,
    /// The placement group's id.
    pub placement_group: Option<String>,
    /// Capacity reservations.
    #[serde(skip_serializing_if = "Reservations::is_open")]
    pub reservations: Reservations,
    /// Tags of the template itself, and of what CreateFleet cannot tag: interfaces and spot requests.
    pub tags: BTreeMap<String, String>,
}

/// The interfaces of a class: its own, or the primary one with as many adapters as `fabric` asks for, one a card.
pub fn interfaces(spec: &EC2NodeClassSpec, fabric: i64) -> Vec<NetworkInterface> {
    if !spec.network_interfaces.is_empty() {
        return spec.network_interfaces.clone();
    }
    let interface = |card: i32, kind: &str| NetworkInterface {
        network_card_index: card,
        device_index: i32::from(card > 0),
        interface_type: kind.to_owned(),
    };
    match i32::try_from(fabric).unwrap_or(0) {
        count @ 1.. => (0..count).map(|card| interface(card, "efa")).collect(),
        _ => vec![interface(0, "interface")],
    }
}

impl Blueprint {
    /// The template's name: it says what is in it.
    pub fn name(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let hash = Sha256::digest(&text);
        let words: String = hash.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
        format!("{PREFIX}{words}")
    }

    /// The template as EC2 takes it.
    pub fn data(&self) -> RequestLaunchTemplateData {
        let profile = LaunchTemplateIamInstanceProfileSpecificationRequest::builder().name(&self.profile).build();
        let user_data = base64::engine::general_purpose::STANDARD.encode(&self.user_data);
        RequestLaunchTemplateData::builder()
            .image_id(&self.image)
            .set_user_data((!self.user_data.is_empty()).then_some(user_data))
            .iam_instance_profile(profile)
            .set_network_interfaces(Some(self.interfaces.iter().map(|interface| self.interface(interface)).collect()))
            .set_block_device_mappings((!self.disks.is_empty()).then(|| self.disks.iter().map(mapping).collect()))
            .set_monitoring(
                self.monitoring.map(|enabled| LaunchTemplatesMonitoringRequest::builder().enabled(enabled).build()),
            )
            .metadata_options(metadata(&self.metadata))
            .set_cpu_options(self.cpu.as_ref().and_then(cpu))
            .set_placement(self.placement())
            .set_capacity_reservation_specification(self.reservations.specification())
            .set_instance_market_options(self.reservations.market())
            .set_tag_specifications(Some(self.tag_specifications()))
            .build()
    }

    fn interface(&self, wanted: &NetworkInterface) -> Interface {
        let is_primary = (wanted.network_card_index, wanted.device_index) == (0, 0);
        let has_addresses = wanted.interface_type != "efa-only";
        // EC2 gives public addresses only where there is a single interface.
        let public = self.public_address.filter(|_| is_primary && self.interfaces.len() == 1);
        let interface = Interface::builder()
            .device_index(wanted.device_index)
            .network_card_index(wanted.network_card_index)
            .set_groups(Some(self.security_groups.clone()))
            .set_associate_public_ip_address(public)
            .set_connection_tracking_specification(self.tracking.as_ref().map(tracking))
            .set_interface_type((wanted.interface_type != "interface").then(|| wanted.interface_type.clone()))
            .delete_on_termination(true);
        let addresses = has_addresses && is_primary;
        interface
            .set_ipv4_prefix_count(self.prefixes.filter(|count| addresses && *count > 0 && !self.ipv6))
            .set_ipv6_prefix_count(self.prefixes.filter(|count| addresses && *count > 0 && self.ipv6))
            .set_ipv6_address_count((addresses && self.ipv6).then_some(1))
            .set_primary_ipv6((addresses && self.ipv6).then_some(true))
            .build()
    }

    fn placement(&self) -> Option<LaunchTemplatePlacementRequest> {
        (self.tenancy.is_some() || self.placement_group.is_some()).then(|| {
            LaunchTemplatePlacementRequest::builder()
                .set_tenancy(self.tenancy.as_deref().map(Into::into))
                .set_group_id(self.placement_group.clone())
                .build()
        })
    }

    fn tag_specifications(&self) -> Vec<LaunchTemplateTagSpecificationRequest> {
        let of = |kind| {
            LaunchTemplateTagSpecificationRequest::builder()
                .resource_type(kind)
                .set_tags(Some(tagging::ec2(&self.tags)))
                .build()
        };
        vec![of(ResourceType::NetworkInterface), of(ResourceType::SpotInstancesRequest)]
    }
}

fn tracking(wanted: &ConnectionTracking) -> ConnectionTrackingSpecificationRequest {
    ConnectionTrackingSpecificationRequest::builder()
        .set_tcp_established_timeout(wanted.tcp_established_timeout)
        .set_udp_stream_timeout(wanted.udp_stream_timeout)
        .set_udp_timeout(wanted.udp_timeout)
        .build()
}

fn mapping(disk: &Disk) -> Mapping {
    let volume = Volume::builder()
        .set_volume_size(disk.size)
        .set_volume_type(disk.kind.as_deref().map(Into::into))
        .set_encrypted(disk.encrypted)
        .set_delete_on_termination(disk.delete_on_termination)
        .set_iops(disk.iops)
        .set_throughput(disk.throughput)
        .set_kms_key_id(disk.key.clone())
        .set_snapshot_id(disk.snapshot.clone())
        .set_volume_initialization_rate(disk.initialization_rate)
        .build();
    Mapping::builder().set_device_name(disk.device.clone()).ebs(volume).build()
}

fn metadata(wanted: &MetadataOptions) -> LaunchTemplateInstanceMetadataOptionsRequest {
    LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .http_endpoint(wanted.http_endpoint.as_str().into())
        .http_protocol_ipv6(wanted.http_protocol_ipv6.as_str().into())
        .set_http_put_response_hop_limit(i32::try_from(wanted.http_put_response_hop_limit).ok())
        .http_tokens(wanted.http_tokens.as_str().into())
        // Keys of tags with a slash, as ours have, cannot be shown there: EC2 would refuse the launch.
        .instance_metadata_tags(LaunchTemplateInstanceMetadataTagsState::Disabled)
        .build()
}

fn cpu(wanted: &CpuOptions) -> Option<LaunchTemplateCpuOptionsRequest> {
    let nested = wanted.nested_virtualization.as_deref()?;
    Some(LaunchTemplateCpuOptionsRequest::builder().nested_virtualization(nested.into()).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Preference, target and market of a template.
    fn told(reservations: &Reservations) -> (Option<String>, Option<String>, Option<String>) {
        let specification = reservations.specification();
        let preference = specification.as_ref().and_then(|own| own.capacity_reservation_preference());
        let target = specification.as_ref().and_then(|own| own.capacity_reservation_target());
        let market = reservations.market();
        let market = market.as_ref().and_then(|own| own.market_type());
        (
            preference.map(|preference| preference.as_str().to_owned()),
            target.and_then(|target| target.capacity_reservation_id()).map(str::to_owned),
            market.map(|market| market.as_str().to_owned()),
        )
    }

    #[test]
    fn a_template_keeps_out_of_reservations_or_goes_into_one_alone() {
        let some = |text: &str| Some(text.to_owned());
        let only = |is_block| Reservations::Only { id: "cr-1".into(), is_block };
        assert_eq!(told(&Reservations::Open), (None, None, None));
        assert_eq!(told(&Reservations::None), (some("none"), None, None));
        assert_eq!(told(&only(false)), (some("capacity-reservations-only"), some("cr-1"), None));
        assert_eq!(told(&only(true)).2, some("capacity-block"));
    }
}
