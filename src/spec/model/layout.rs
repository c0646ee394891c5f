//! Which subnet stands in which zone with which addresses.

use ipnet::Ipv4Net;

use super::{Cidr, Network, SubnetRole};

/// How many subnets of each role can be carved from a VPC without overlap.
const MOST_ZONES: usize = 6;

/// The narrowest subnet that AWS allows.
const NARROWEST: u8 = 28;

/// One subnet to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetPlan {
    /// Public or private.
    pub role: SubnetRole,
    /// The place among the subnets of its role, from 0.
    pub index: usize,
    /// The availability zone.
    pub zone: String,
    /// Its addresses.
    pub cidr: Cidr,
}

/// Why no subnets can be laid out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The list in the file does not fit the zones.
    #[error("{listed} {role} subnets are listed for {zones} zones")]
    WrongNumber {
        /// `public` or `private`.
        role: &'static str,
        /// How many are listed.
        listed: usize,
        /// How many zones there are.
        zones: usize,
    },
    /// The VPC is too small to carve from.
    #[error("`{cidr}` is too small to carve {role} subnets from; it takes a /22 or wider")]
    TooSmall {
        /// `public` or `private`.
        role: &'static str,
        /// The VPC's addresses.
        cidr: Cidr,
    },
    /// What the other list takes leaves no room.
    #[error("`{cidr}` has no room left for {wanted} {role} subnets")]
    NoRoom {
        /// `public` or `private`.
        role: &'static str,
        /// The VPC's addresses.
        cidr: Cidr,
        /// How many are wanted.
        wanted: usize,
    },
}

impl Network {
    /// The subnets of the stack's own VPC in `zones`: the public ones in the order of the zones, then the private
    /// ones. Not for a network that exists already.
    ///
    /// What the file does not list is carved from `cidr` on a grid that does not move when a zone is added: the
    /// VPC is cut into eight; private subnets are the first eighths (8,192 addresses each in a /16), public ones
    /// are eighths of the last eighth (1,024 each).
    ///
    /// # Errors
    /// When the lists do not fit the number of zones, or the VPC is too small. A stack that was read by
    /// [`crate::spec::read`] gives none for as many zones as it asks for.
    pub fn layout(&self, zones: &[String]) -> Result<Vec<SubnetPlan>, LayoutError> {
        let public = self.addresses(SubnetRole::Public, zones.len())?;
        let private = self.addresses(SubnetRole::Private, zones.len())?;
        let plan = |role, addresses: Vec<Cidr>| {
            addresses.into_iter().zip(zones).enumerate().map(move |(index, (cidr, zone))| SubnetPlan {
                role,
                index,
                zone: zone.clone(),
                cidr,
            })
        };
        Ok(plan(SubnetRole::Public, public).chain(plan(SubnetRole::Private, private)).collect())
    }

    /// The addresses of the subnets of one role, listed or carved.
    fn addresses(&self, role: SubnetRole, zones: usize) -> Result<Vec<Cidr>, LayoutError> {
        let (listed, others, name) = match role {
            SubnetRole::Public => (&self.public_subnets, &self.private_subnets, "public"),
            SubnetRole::Private => (&self.private_subnets, &self.public_subnets, "private"),
        };
        match listed {
            Some(list) if list.is_empty() && role == SubnetRole::Public => Ok(Vec::new()),
            Some(list) if list.len() == zones => Ok(list.clone()),
            Some(list) => Err(LayoutError::WrongNumber { role: name, listed: list.len(), zones }),
            None => carve(self.cidr, role, zones, others.as_deref().unwrap_or_default()),
        }
    }
}

/// `count` places of the grid for `role` that do not overlap `taken`.
fn carve(cidr: Cidr, role: SubnetRole, count: usize, taken: &[Cidr]) -> Result<Vec<Cidr>, LayoutError> {
    let name = match role {
        SubnetRole::Public => "public",
        SubnetRole::Private => "private",
    };
    let too_small = LayoutError::TooSmall { role: name, cidr };
    let eighths = eighths(cidr.net()).ok_or(too_small.clone())?;
    let grid = match (role, eighths.last()) {
        (SubnetRole::Public, Some(last)) => self::eighths(*last).filter(|parts| fits(parts)).ok_or(too_small)?,
        _ if fits(&eighths) => eighths[..eighths.len() - 1].to_vec(),
        _ => return Err(too_small),
    };
    let free: Vec<Cidr> = grid
        .into_iter()
        .map(|net| Cidr::from_octets(net.network().octets(), net.prefix_len()))
        .filter(|candidate| !taken.iter().any(|other| other.overlaps(*candidate)))
        .take(count)
        .collect();
    match free.len() == count && count <= MOST_ZONES {
        true => Ok(free),
        false => Err(LayoutError::NoRoom { role: name, cidr, wanted: count }),
    }
}

/// The eight equal parts of a network.
fn eighths(net: Ipv4Net) -> Option<Vec<Ipv4Net>> {
    net.subnets(net.prefix_len() + 3).ok().map(Iterator::collect)
}

/// Whether AWS would allow subnets of this size.
fn fits(parts: &[Ipv4Net]) -> bool {
    parts.iter().all(|part| part.prefix_len() <= NARROWEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::model::Zones;

    fn network(cidr: &str) -> Network {
        let mut network: Network = serde_json::from_value(serde_json::json!({})).unwrap();
        network.cidr = cidr.parse().unwrap();
        network
    }

    fn zones(count: usize) -> Vec<String> {
        ('a'..='f').take(count).map(|letter| format!("eu-central-1{letter}")).collect()
    }

    fn written(plan: &[SubnetPlan]) -> Vec<String> {
        plan.iter()
            .map(|subnet| format!("{:?} {} {} {}", subnet.role, subnet.index, subnet.zone, subnet.cidr))
            .collect()
    }

    #[test]
    fn subnets_that_are_not_listed_are_carved() {
        let plan = network("10.0.0.0/16").layout(&zones(2)).unwrap();
        assert_eq!(
            written(&plan),
            [
                "Public 0 eu-central-1a 10.0.224.0/22",
                "Public 1 eu-central-1b 10.0.228.0/22",
                "Private 0 eu-central-1a 10.0.0.0/19",
                "Private 1 eu-central-1b 10.0.32.0/19",
            ]
        );
    }

    #[test]
    fn a_further_zone_moves_no_subnet() {
        let network = network("10.0.0.0/16");
        let all = network.layout(&zones(6)).unwrap();
        for count in 1..6 {
            let plan = network.layout(&zones(count)).unwrap();
            assert_eq!(plan.len(), 2 * count);
            assert!(plan.iter().all(|subnet| all.contains(subnet)));
        }
    }

    #[test]
    fn carved_subnets_lie_in_the_vpc_and_overlap_nothing() {
        for cidr in ["10.0.0.0/16", "172.16.64.0/19", "192.168.4.0/22"] {
            let network = network(cidr);
            let plan = network.layout(&zones(6)).unwrap();
            for (index, subnet) in plan.iter().enumerate() {
                assert!(network.cidr.contains(subnet.cidr) && subnet.cidr.prefix() <= 28);
                assert!(plan[..index].iter().all(|other| !other.cidr.overlaps(subnet.cidr)));
            }
        }
    }

    #[test]
    fn carving_goes_around_what_is_listed() {
        let mut network = network("10.0.0.0/16");
        network.public_subnets = Some(vec!["10.0.0.0/20".parse().unwrap(), "10.0.224.0/20".parse().unwrap()]);
        let plan = network.layout(&zones(2)).unwrap();
        assert_eq!(
            written(&plan)[2..],
            ["Private 0 eu-central-1a 10.0.32.0/19", "Private 1 eu-central-1b 10.0.64.0/19"]
        );
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(matches!(network("10.0.0.0/23").layout(&zones(2)), Err(LayoutError::TooSmall { .. })));
        assert!(matches!(network("10.0.0.0/30").layout(&zones(2)), Err(LayoutError::TooSmall { .. })));
        let mut full = network("10.0.0.0/16");
        full.private_subnets = Some(vec!["10.0.0.0/17".parse().unwrap(), "10.0.128.0/17".parse().unwrap()]);
        assert!(matches!(full.layout(&zones(2)), Err(LayoutError::NoRoom { .. })));
        assert!(matches!(full.layout(&zones(3)), Err(LayoutError::NoRoom { .. } | LayoutError::WrongNumber { .. })));
    }

    #[test]
    fn no_public_subnets_can_be_asked_for() {
        let mut network = network("10.0.0.0/16");
        network.public_subnets = Some(Vec::new());
        network.zones = Zones::Count(3);
        let plan = network.layout(&zones(3)).unwrap();
        assert!(plan.len() == 3 && plan.iter().all(|subnet| subnet.role == SubnetRole::Private));
    }
}
