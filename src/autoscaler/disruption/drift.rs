//! Whether a node is as its pool and class say.
//!
//! Hashes cover what is fixed when a claim is made; everything else is compared with what the class
//! resolves to now. A hash of another version says nothing, so that a new version of the autoscaler, or
//! another autoscaler before it, replaces no node.

use crate::api::requirement::Requirement;
use crate::state::intern::Interner;
use crate::state::requirements::ValueSet;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How a node differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    /// The template of the pool has changed.
    NodePool,
    /// Its labels do not meet the requirements of the pool.
    Requirements,
    /// Its instance type is not sold any more.
    InstanceTypeNotFound,
    /// The class has changed.
    NodeClass,
    /// It runs another image.
    Image,
    /// It has other security groups.
    SecurityGroup,
    /// It is in a subnet that is not selected any more.
    Subnet,
    /// It uses a capacity reservation that is not selected any more.
    CapacityReservation,
    /// It is in another placement group.
    PlacementGroup,
}

impl Drift {
    /// The reason as conditions and metrics name it.
    pub fn text(self) -> &'static str {
        match self {
            Self::NodePool => "NodePoolDrifted",
            Self::Requirements => "RequirementsDrifted",
            Self::InstanceTypeNotFound => "InstanceTypeNotFound",
            Self::NodeClass => "NodeClassDrift",
            Self::Image => "AMIDrift",
            Self::SecurityGroup => "SecurityGroupDrift",
            Self::Subnet => "SubnetDrift",
            Self::CapacityReservation => "CapacityReservationDrift",
            Self::PlacementGroup => "PlacementGroupDrift",
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A hash and the version of how it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The hash.
    pub hash: Option<String>,
    /// How it was made.
    pub version: Option<String>,
}

impl Stamp {
    /// Whether two hashes that were made in the same way differ.
    fn differs(&self, wanted: &Self) -> bool {
        self.version.is_some()
            && self.version == wanted.version
            && matches!((&self.hash, &wanted.hash), (Some(own), Some(wanted)) if own != wanted)
    }
}

/// What is known of a node. What is not known is left out, and then does not count as drift.
#[derive(Clone, Debug, Default)]
pub struct Have {
    /// Hash of the pool that it was made from.
    pub pool: Stamp,
    /// Hash of the class that it was made from.
    pub class: Stamp,
    /// Labels of its claim.
    pub labels: BTreeMap<String, String>,
    /// Its image.
    pub image: Option<String>,
    /// Its security groups.
    pub security_groups: Option<BTreeSet<String>>,
    /// Its subnet.
    pub subnet: Option<String>,
    /// Its capacity reservation.
    pub reservation: Option<String>,
    /// Its placement group.
    pub placement_group: Option<String>,
}

/// What pool and class ask for now. An empty list was not resolved, and then does not count.
#[derive(Clone, Debug, Default)]
pub struct Want {
    /// Hash of the pool.
    pub pool: Stamp,
    /// Hash of the class.
    pub class: Stamp,
    /// Requirements of the pool.
    pub requirements: Vec<Requirement>,
    /// Whether the instance type of the node has been missing from the catalogue for long enough.
    pub type_gone: bool,
    /// Images that nodes like this may run.
    pub images: BTreeSet<String>,
    /// Security groups.
    pub security_groups: BTreeSet<String>,
    /// Subnets.
    pub subnets: BTreeSet<String>,
    /// Capacity reservations; `None` when they were not looked up.
    pub reservations: Option<BTreeSet<String>>,
    /// The placement group; `None` when it was not looked up.
    pub placement_group: Option<Option<String>>,
}

/// The first way in which a node differs, if any.
pub fn find(have: &Have, want: &Want) -> Option<Drift> {
    let outside = |own: &Option<String>, all: &BTreeSet<String>| {
        !all.is_empty() && own.as_ref().is_some_and(|own| !all.contains(own))
    };
    let kinds = [
        (Drift::NodePool, have.pool.differs(&want.pool)),
        (Drift::Requirements, !meets(&have.labels, &want.requirements)),
        (Drift::InstanceTypeNotFound, want.type_gone),
        (Drift::NodeClass, have.class.differs(&want.class)),
        (Drift::Image, outside(&have.image, &want.images)),
        (
            Drift::SecurityGroup,
            !want.security_groups.is_empty()
                && have.security_groups.as_ref().is_some_and(|own| *own != want.security_groups),
        ),
        (Drift::Subnet, outside(&have.subnet, &want.subnets)),
        (
            Drift::CapacityReservation,
            matches!((&have.reservation, &want.reservations), (Some(own), Some(all)) if !all.contains(own)),
        ),
        (Drift::PlacementGroup, want.placement_group.as_ref().is_some_and(|wanted| *wanted != have.placement_group)),
    ];
    kinds.into_iter().find(|(_, drifted)| *drifted).map(|(drift, _)| drift)
}

/// Whether labels meet requirements. A label that the cloud decides and that is missing is not held against
/// the node: it was made before the label existed.
pub fn meets(labels: &BTreeMap<String, String>, requirements: &[Requirement]) -> bool {
    let mut names = Interner::default();
    requirements.iter().all(|requirement| {
        let Requirement { key, operator, values, .. } = requirement;
        let Ok(set) = ValueSet::from_operator(&mut names, key, operator.text(), values) else { return true };
        match labels.get(key) {
            Some(value) => {
                let value = names.intern(value);
                set.allows(&names, Some(value))
            }
            None => set.allows_absent() || decided_by_the_cloud(key),
        }
    })
}

fn decided_by_the_cloud(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    ["kubernetes.io", "k8s.io", "karpenter.sh", "karpenter.k8s.aws", "k8s.aws"]
        .iter()
        .any(|known| domain == *known || domain.strip_suffix(known).is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::requirement::Operator;

    fn stamp(hash: &str, version: &str) -> Stamp {
        Stamp { hash: Some(hash.into()), version: Some(version.into()) }
    }

    fn set(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|one| (*one).to_owned()).collect()
    }

    fn same() -> (Have, Want) {
        let have = Have {
            pool: stamp("1", "eksup-v1"),
            class: stamp("2", "eksup-v1"),
            labels: [("karpenter.sh/capacity-type".to_owned(), "spot".to_owned())].into(),
            image: Some("ami-1".into()),
            security_groups: Some(set(&["sg-1", "sg-2"])),
            subnet: Some("subnet-1".into()),
            reservation: Some("cr-1".into()),
            placement_group: None,
        };
        let want = Want {
            pool: have.pool.clone(),
            class: have.class.clone(),
            requirements: vec![requirement("karpenter.sh/capacity-type", &["spot", "on-demand"])],
            type_gone: false,
            images: set(&["ami-1", "ami-2"]),
            security_groups: set(&["sg-1", "sg-2"]),
            subnets: set(&["subnet-1"]),
            reservations: Some(set(&["cr-1"])),
            placement_group: Some(None),
        };
        (have, want)
    }

    fn requirement(key: &str, values: &[&str]) -> Requirement {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Requirement { key: key.into(), operator: Operator::In, values, min_values: None }
    }

    #[test]
    fn every_kind_of_drift_is_seen_and_nothing_else() {
        let (have, want) = same();
        assert_eq!(find(&have, &want), None);
        type Change = fn(&mut Want);
        let changes: [(Drift, Change); 9] = [
            (Drift::NodePool, |want| want.pool = stamp("9", "eksup-v1")),
            (Drift::Requirements, |want| {
                want.requirements = vec![requirement("karpenter.sh/capacity-type", &["on-demand"])]
            }),
            (Drift::InstanceTypeNotFound, |want| want.type_gone = true),
            (Drift::NodeClass, |want| want.class = stamp("9", "eksup-v1")),
            (Drift::Image, |want| want.images = set(&["ami-3"])),
            (Drift::SecurityGroup, |want| want.security_groups = set(&["sg-1"])),
            (Drift::Subnet, |want| want.subnets = set(&["subnet-2"])),
            (Drift::CapacityReservation, |want| want.reservations = Some(set(&["cr-2"]))),
            (Drift::PlacementGroup, |want| want.placement_group = Some(Some("pg-1".into()))),
        ];
        for (drift, change) in changes {
            let (have, mut want) = same();
            change(&mut want);
            assert_eq!(find(&have, &want), Some(drift));
        }
    }

    #[test]
    fn a_hash_of_another_version_is_no_drift() {
        let (mut have, want) = same();
        have.pool = stamp("9", "v3");
        have.class = Stamp::default();
        assert_eq!(find(&have, &want), None);
    }

    #[test]
    fn what_is_not_known_is_no_drift() {
        let (_, want) = same();
        let have =
            Have { labels: [("karpenter.sh/capacity-type".to_owned(), "spot".to_owned())].into(), ..Have::default() };
        assert_eq!(find(&have, &want), None);
        let (have, _) = same();
        assert_eq!(find(&have, &Want::default()), None);
    }

    #[test]
    fn a_label_of_the_users_own_that_is_missing_is_drift() {
        let (have, mut want) = same();
        want.requirements = vec![requirement("example.com/team", &["web"])];
        assert_eq!(find(&have, &want), Some(Drift::Requirements));
        want.requirements = vec![requirement("karpenter.k8s.aws/instance-generation", &["6"])];
        assert_eq!(find(&have, &want), None);
    }
}
