//! An EC2NodeClass with everything that its selectors mean in this account and region.
//!
//! | file | holds |
//! |---|---|
//! | `family` | families of images |
//! | `aliases` | the parameters behind `family@version` |
//! | `suits` | whether an image suits a type |
//! | `selectors` | subnets and security groups |
//! | `reservations` | capacity reservations |
//! | `images` | images, the newest of each kind |
//! | `profile` | the instance profile of a role |
//! | `authorization` | whether the autoscaler may launch, asked before it has to |
//! | `resolve` | all of it together |

pub mod aliases;
pub mod authorization;
mod family;
pub mod images;
pub mod profile;
pub mod reservations;
pub mod resolve;
pub mod selectors;
pub mod suits;

pub use family::Family;
pub use reservations::Reservation;

use crate::autoscaler::api::ec2_node_class::{EC2NodeClassSpec, EC2NodeClassStatus, FoundGroup, FoundSubnet};
use crate::autoscaler::api::requirement::Requirement;

/// A subnet that nodes of a class may stand in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// `subnet-…`
    pub id: String,
    /// Its zone.
    pub zone: String,
    /// The id of its zone.
    pub zone_id: String,
    /// Free addresses when it was read.
    pub free_addresses: i64,
}

/// An image that nodes of a class may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `ami-…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether its owner has withdrawn it.
    pub deprecated: bool,
    /// The nodes that it suits, by their labels; the first image that suits is used.
    pub requirements: Vec<Requirement>,
}

/// An EC2NodeClass with what its selectors mean.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedClass {
    /// The class's name.
    pub name: String,
    /// The class's uid.
    pub uid: String,
    /// What the class says.
    pub spec: EC2NodeClassSpec,
    /// What its images are.
    pub family: Family,
    /// Subnets: those with most free addresses first.
    pub subnets: Vec<Subnet>,
    /// Security groups by id.
    pub security_groups: Vec<FoundGroup>,
    /// Images.
    pub images: Vec<Image>,
    /// Capacity reservations by id.
    pub reservations: Vec<Reservation>,
    /// The placement group's id, where the class selects one.
    pub placement_group: Option<String>,
    /// The instance profile's name.
    pub instance_profile: String,
}

impl ResolvedClass {
    /// A class of which nothing was found.
    pub fn empty() -> Self {
        Self {
            name: String::new(),
            uid: String::new(),
            spec: EC2NodeClassSpec::default(),
            family: Family::Al2023,
            subnets: Vec::new(),
            security_groups: Vec::new(),
            images: Vec::new(),
            reservations: Vec::new(),
            placement_group: None,
            instance_profile: String::new(),
        }
    }

    /// The status of the class, without conditions.
    pub fn status(&self) -> EC2NodeClassStatus {
        EC2NodeClassStatus {
            subnets: self.subnets.iter().map(found_subnet).collect(),
            security_groups: self.security_groups.clone(),
            amis: self.images.iter().map(Image::found).collect(),
            capacity_reservations: self.reservations.iter().map(Reservation::found).collect(),
            instance_profile: (!self.instance_profile.is_empty()).then(|| self.instance_profile.clone()),
            ..EC2NodeClassStatus::default()
        }
    }
}

fn found_subnet(subnet: &Subnet) -> FoundSubnet {
    FoundSubnet { id: subnet.id.clone(), zone: subnet.zone.clone(), zone_id: subnet.zone_id.clone() }
}

impl Image {
    fn found(&self) -> crate::autoscaler::api::ec2_node_class::FoundImage {
        crate::autoscaler::api::ec2_node_class::FoundImage {
            id: self.id.clone(),
            name: self.name.clone(),
            deprecated: self.deprecated,
            requirements: self.requirements.clone(),
        }
    }
}

/// A condition of a class that its resolution decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClassCondition {
    /// What it says can be read, and the autoscaler may do what it asks for.
    ValidationSucceeded,
    /// There are subnets.
    SubnetsReady,
    /// There are security groups.
    SecurityGroupsReady,
    /// There are images.
    AmisReady,
    /// There is an instance profile.
    InstanceProfileReady,
    /// There is a placement group, where one is selected.
    PlacementGroupReady,
    /// It is known which capacity reservations there are.
    CapacityReservationsReady,
}

impl ClassCondition {
    /// All of them; `Ready` is their conjunction. The last one counts only where capacity reservations are used.
    pub const ALL: [Self; 7] = [
        Self::ValidationSucceeded,
        Self::SubnetsReady,
        Self::SecurityGroupsReady,
        Self::AmisReady,
        Self::InstanceProfileReady,
        Self::PlacementGroupReady,
        Self::CapacityReservationsReady,
    ];

    /// The condition's type.
    pub fn text(self) -> &'static str {
        match self {
            Self::ValidationSucceeded => "ValidationSucceeded",
            Self::SubnetsReady => "SubnetsReady",
            Self::SecurityGroupsReady => "SecurityGroupsReady",
            Self::AmisReady => "AMIsReady",
            Self::InstanceProfileReady => "InstanceProfileReady",
            Self::PlacementGroupReady => "PlacementGroupReady",
            Self::CapacityReservationsReady => "CapacityReservationsReady",
        }
    }
}

/// One thing that keeps a class from being ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The condition that it keeps from being true.
    pub condition: ClassCondition,
    /// The condition's reason, one word.
    pub reason: String,
    /// Field, what is wrong, and what to do.
    pub message: String,
    /// Whether it is a failed call that may pass by itself: the condition is then unknown rather than false.
    pub may_pass: bool,
}

/// A class that cannot be launched from: what was found, and what is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassFault {
    /// What the selectors found, without conditions. Empty where a call failed.
    pub found: EC2NodeClassStatus,
    /// What is missing; never empty. Every other condition is true.
    pub unmet: Vec<Unmet>,
}

impl std::fmt::Display for ClassFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, unmet) in self.unmet.iter().enumerate() {
            let separator = if at > 0 { "; " } else { "" };
            write!(formatter, "{separator}{}", unmet.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ClassFault {}
