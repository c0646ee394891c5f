//! One CreateFleet: launch templates by variant of their types, overrides for types and subnets, tags.

use std::collections::BTreeMap;

use aws_sdk_ec2::operation::create_fleet::builders::CreateFleetFluentBuilder;
use aws_sdk_ec2::types::{
    DefaultTargetCapacityType, FleetLaunchTemplateConfigRequest, FleetLaunchTemplateOverridesRequest,
    FleetLaunchTemplateSpecificationRequest, FleetOnDemandAllocationStrategy, FleetType, InstanceType,
    OnDemandOptionsRequest, ResourceType, SpotAllocationStrategy, SpotOptionsRequest,
    TargetCapacitySpecificationRequest,
};

use super::grouping::Group;
use crate::autoscaler::cloud::class::Subnet;
use crate::autoscaler::cloud::launch::{CapacityType, LaunchRequest};
use crate::autoscaler::cloud::market::Market;
use crate::autoscaler::cloud::template::{Blueprint, Reservations, Variant, blueprint};
use crate::autoscaler::cloud::user_data::UserDataFault;
use crate::autoscaler::cloud::{Ec2, catalogue, tags};
use crate::aws::tagging;

/// A group with everything that its call needs.
#[derive(Debug)]
pub struct Order {
    /// Who is asked for.
    pub group: Group,
    /// The image of each type.
    pub images: BTreeMap<String, String>,
    /// The subnet of each zone.
    pub subnets: BTreeMap<String, Subnet>,
    /// Launch templates by name, with their types.
    pub templates: BTreeMap<String, (Blueprint, Vec<String>)>,
    /// The capacity reservations that may be used.
    pub reservations: Reservations,
}

impl Ec2 {
    /// Plans the call for a group.
    ///
    /// # Errors
    /// What is wrong with the user data of its class.
    pub(super) fn order(
        &self,
        market: &Market,
        requests: &[LaunchRequest],
        group: Group,
    ) -> Result<Order, UserDataFault> {
        let request = &requests[group.members[0]];
        let reservations = self.reservations_of(request, &group);
        let mut images = BTreeMap::new();
        let mut variants: BTreeMap<Variant, Vec<String>> = BTreeMap::new();
        for option in group.options.iter() {
            let name = &*option.instance_type;
            if images.contains_key(name) {
                continue;
            }
            let Some(sold) = market.get(name) else { continue };
            let Some(image) = catalogue::image_for(&request.class, sold) else { continue };
            images.insert(name.to_owned(), image.id.clone());
            let variant = Variant {
                image: image.id.clone(),
                max_pods: catalogue::max_pods(&request.class, &self.settings, sold),
                fabric: if request.fabric { sold.fabric } else { 0 },
                reservations: reservations.clone(),
            };
            variants.entry(variant).or_default().push(name.to_owned());
        }
        let mut templates = BTreeMap::new();
        for (variant, types) in variants {
            let blueprint = blueprint(&self.cluster, request, group.capacity_type, &variant)?;
            templates.insert(blueprint.name(), (blueprint, types));
        }
        let subnets = self.choose_subnets(request, &group);
        Ok(Order { group, images, subnets, templates, reservations })
    }

    /// The capacity reservations that instances of a group may use. As long as no class selects any, EC2 goes on to put
    /// instances into those that are open.
    fn reservations_of(&self, request: &LaunchRequest, group: &Group) -> Reservations {
        match &group.reservation {
            Some(id) => {
                let mut known = request.class.reservations.iter();
                let is_block = known.any(|one| *one.id == **id && one.is_block);
                Reservations::Only { id: id.to_string(), is_block }
            }
            None if self.books.is_open() => Reservations::None,
            None => Reservations::Open,
        }
    }

    /// One subnet for each zone of a group: the one with most free addresses, launches under way deducted.
    fn choose_subnets(&self, request: &LaunchRequest, group: &Group) -> BTreeMap<String, Subnet> {
        let now = jiff::Timestamp::now();
        let mut chosen: BTreeMap<String, (i64, Subnet)> = BTreeMap::new();
        for subnet in &request.class.subnets {
            if self.unavailable.is_full(&subnet.id, now)
                || !group.options.iter().any(|option| *option.zone == *subnet.zone)
            {
                continue;
            }
            let free = self.room.free(subnet);
            if chosen.get(&subnet.zone).is_none_or(|(most, _)| free > *most) {
                chosen.insert(subnet.zone.clone(), (free, subnet.clone()));
            }
        }
        chosen.into_iter().map(|(zone, (_, subnet))| (zone, subnet)).collect()
    }

    /// The call of an order.
    pub(super) fn fleet(&self, order: &Order, request: &LaunchRequest, token: &str) -> CreateFleetFluentBuilder {
        let tags = tags::of_launch(&self.cluster.name, &request.class, &request.pool);
        let kinds = [ResourceType::Fleet, ResourceType::Instance, ResourceType::Volume];
        let sending = self
            .cloud
            .write
            .ec2
            .create_fleet()
            .r#type(FleetType::Instant)
            .client_token(token)
            .set_context(request.class.spec.context.clone())
            .set_launch_template_configs(Some(order.configs()))
            .target_capacity_specification(order.target())
            .set_tag_specifications(Some(kinds.into_iter().map(|kind| tagging::ec2_at_birth(kind, &tags)).collect()));
        match order.group.capacity_type {
            CapacityType::Spot => sending.spot_options(
                SpotOptionsRequest::builder()
                    .allocation_strategy(SpotAllocationStrategy::PriceCapacityOptimized)
                    .build(),
            ),
            // Of a capacity block nothing is bought on demand.
            CapacityType::Reserved if order.is_of_a_block() => sending,
            CapacityType::OnDemand | CapacityType::Reserved => sending.on_demand_options(
                OnDemandOptionsRequest::builder()
                    .allocation_strategy(FleetOnDemandAllocationStrategy::LowestPrice)
                    .build(),
            ),
        }
    }
}

impl Order {
    /// How many overrides there are.
    pub fn overrides(&self) -> usize {
        self.configs().iter().map(|config| config.overrides().len()).sum()
    }

    fn configs(&self) -> Vec<FleetLaunchTemplateConfigRequest> {
        let config = |(name, (_, types)): (&String, &(Blueprint, Vec<String>))| {
            let options =
                self.group.options.iter().filter(|option| types.iter().any(|each| **each == *option.instance_type));
            let overrides: Vec<_> = options
                .filter_map(|option| {
                    let subnet = self.subnets.get(&*option.zone)?;
                    let overrides = FleetLaunchTemplateOverridesRequest::builder()
                        .instance_type(InstanceType::from(&*option.instance_type))
                        .subnet_id(&subnet.id)
                        .availability_zone(&subnet.zone);
                    Some(overrides.build())
                })
                .collect();
            let template = FleetLaunchTemplateSpecificationRequest::builder()
                .launch_template_name(name)
                .version("$Latest")
                .build();
            (!overrides.is_empty()).then(|| {
                FleetLaunchTemplateConfigRequest::builder()
                    .launch_template_specification(template)
                    .set_overrides(Some(overrides))
                    .build()
            })
        };
        self.templates.iter().filter_map(config).collect()
    }

    fn target(&self) -> TargetCapacitySpecificationRequest {
        let kind = match self.group.capacity_type {
            CapacityType::Reserved if self.is_of_a_block() => DefaultTargetCapacityType::CapacityBlock,
            CapacityType::OnDemand | CapacityType::Reserved => DefaultTargetCapacityType::OnDemand,
            CapacityType::Spot => DefaultTargetCapacityType::Spot,
        };
        let count = i32::try_from(self.group.members.len()).unwrap_or(i32::MAX);
        TargetCapacitySpecificationRequest::builder()
            .total_target_capacity(count)
            .default_target_capacity_type(kind)
            .build()
    }

    fn is_of_a_block(&self) -> bool {
        matches!(self.reservations, Reservations::Only { is_block: true, .. })
    }

    /// The zone of a subnet of this order.
    pub fn zone_of(&self, subnet: &str) -> Option<String> {
        self.subnets.values().find(|each| each.id == subnet).map(|subnet| subnet.zone.clone())
    }
}
