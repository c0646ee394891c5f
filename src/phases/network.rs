//! The network: a VPC of the stack's own, or tags on one that others own.

use std::collections::BTreeSet;

use super::{Draft, Network, Subnet, Surroundings};
use crate::aws::borrowed_tags::BorrowedTags;
use crate::aws::ids::{RouteTableId, SecurityGroupId, SubnetId};
use crate::aws::internet_gateway::InternetGateway;
use crate::aws::network_acl::{self, NetworkAcl};
use crate::aws::network_acl_association::{self, NetworkAclAssociation};
use crate::aws::ports::Ports;
use crate::aws::route::{self, Route};
use crate::aws::route_table::RouteTable;
use crate::aws::route_table_association::{self, RouteTableAssociation};
use crate::aws::security_group::SecurityGroup;
use crate::aws::security_group_rule::{Direction, Peer, SecurityGroupRule};
use crate::aws::subnet;
use crate::aws::vpc::Vpc;
use crate::aws::vpc_endpoint::VpcEndpoint;
use crate::plan::{Address, Handle, Reference, Tags};
use crate::spec::{self, AclAction, AclProtocol, AutoscalerEngine, ExistingNetwork, Nat, Stack, SubnetRole, Zones};

/// What the network phase leaves for the NAT phase alone.
#[derive(Default)]
pub struct Routing {
    /// The internet gateway, if there is one.
    pub internet_gateway: Option<Address>,
    /// The private route tables, with the associations of the subnets that use them.
    pub private: Vec<PrivateTable>,
}

/// A private route table.
pub struct PrivateTable {
    /// The zone whose subnets use it; none where those of every zone do.
    pub zone: Option<String>,
    /// The table.
    pub table: Handle<RouteTable>,
    /// The associations that lead subnets to it.
    pub associations: Vec<Handle<RouteTableAssociation>>,
}

/// Declares the network of the stack, if it has one.
pub fn declare(draft: &mut Draft<'_>) -> Option<(Network, Routing)> {
    let stack = draft.stack;
    let network = stack.network.as_ref()?;
    Some(match &network.existing {
        Some(existing) => (borrow(draft, existing), Routing::default()),
        None => build(draft, network),
    })
}

/// Why the stack's network cannot be built in this region, in words, if it cannot.
pub fn impossible(stack: &Stack, surroundings: &Surroundings) -> Option<String> {
    let network = stack.network.as_ref().filter(|network| network.existing.is_none())?;
    let region = &stack.metadata.region;
    let available = surroundings.zones.join("`, `");
    let missing = match &network.zones {
        Zones::Names(names) => names.iter().find(|name| !surroundings.zones.contains(name)),
        Zones::Count(_) => None,
    };
    if let Some(zone) = missing {
        return Some(format!("the zone `{zone}` cannot be used in {region}: choose among `{available}`"));
    }
    if network.zones.count() > surroundings.zones.len() {
        return Some(format!(
            "`network.zones` asks for {} zones, and {region} has {} that can be used: `{available}`",
            network.zones.count(),
            surroundings.zones.len()
        ));
    }
    network.layout(&zones(network, surroundings)).err().map(|error| error.to_string())
}

fn zones(network: &spec::Network, surroundings: &Surroundings) -> Vec<String> {
    match &network.zones {
        Zones::Names(names) => names.clone(),
        Zones::Count(count) => surroundings.zones.iter().take(usize::from(*count)).cloned().collect(),
    }
}

/// A VPC of the stack's own with everything in it.
fn build(draft: &mut Draft<'_>, network: &spec::Network) -> (Network, Routing) {
    let vpc = draft
        .resources
        .add("network/vpc", Vpc { cidr: network.cidr.to_string(), dns_support: true, dns_hostnames: true });
    let subnets = declare_subnets(draft, network, &vpc);
    declare_acls(draft, network, &vpc, &subnets);
    let (internet_gateway, public_ways_out) = declare_public_routing(draft, &vpc, &subnets);
    let private = declare_private_routing(draft, network, &vpc, &subnets);
    let mut ways_out = addresses_of_associations(&private);
    ways_out.extend(declare_endpoints(draft, network, &vpc, &subnets, &private));
    let of_role = |role| subnets.iter().filter(move |subnet| subnet.role == role).map(Placed::for_others).collect();
    let network = Network {
        vpc: vpc.id(),
        public: of_role(SubnetRole::Public),
        private: of_role(SubnetRole::Private),
        ways_out,
        public_ways_out,
    };
    (network, Routing { internet_gateway, private })
}

/// A subnet that has been declared.
struct Placed {
    role: SubnetRole,
    zone: String,
    handle: Handle<subnet::Subnet>,
}

impl Placed {
    fn for_others(&self) -> Subnet {
        Subnet { zone: self.zone.clone(), id: self.handle.id() }
    }
}

fn declare_subnets(draft: &mut Draft<'_>, network: &spec::Network, vpc: &Handle<Vpc>) -> Vec<Placed> {
    // Asked for beforehand: see `impossible`.
    let plans = network.layout(&zones(network, draft.surroundings)).unwrap_or_default();
    let nodes_are_public = has_public_nodes(draft.stack);
    let mut placed = Vec::with_capacity(plans.len());
    for plan in plans {
        let body = subnet::Subnet {
            vpc: vpc.id(),
            cidr: plan.cidr.to_string(),
            zone: plan.zone.clone(),
            public_addresses: plan.role == SubnetRole::Public && nodes_are_public,
        };
        let address = format!("network/subnet/{}/{}", name_of(plan.role), plan.zone);
        let handle = draft.resources.add_tagged(address, body, discovery_tags(draft, plan.role));
        placed.push(Placed { role: plan.role, zone: plan.zone, handle });
    }
    placed
}

/// EKS takes nodes in a public subnet only if they get public addresses there by themselves.
fn has_public_nodes(stack: &Stack) -> bool {
    let groups = stack.cluster.iter().flat_map(|cluster| &cluster.node_groups);
    groups.into_iter().any(|group| group.subnets == SubnetRole::Public)
}

fn name_of(role: SubnetRole) -> &'static str {
    match role {
        SubnetRole::Public => "public",
        SubnetRole::Private => "private",
    }
}

/// The tags by which load balancers and the autoscaler find a subnet.
fn discovery_tags(draft: &Draft<'_>, role: SubnetRole) -> Tags {
    let key = match role {
        SubnetRole::Public => "kubernetes.io/role/elb",
        SubnetRole::Private => "kubernetes.io/role/internal-elb",
    };
    let mut tags = Tags::from([(key.to_owned(), "1".to_owned())]);
    if role == SubnetRole::Private && wants_autoscaler(draft.stack) {
        tags.insert("karpenter.sh/discovery".to_owned(), draft.name().to_owned());
    }
    tags
}

fn wants_autoscaler(stack: &Stack) -> bool {
    stack.autoscaler.as_ref().is_some_and(|autoscaler| autoscaler.engine != AutoscalerEngine::None)
}

fn declare_acls(draft: &mut Draft<'_>, network: &spec::Network, vpc: &Handle<Vpc>, subnets: &[Placed]) {
    let Some(acls) = &network.network_acls else { return };
    for (role, acl) in [(SubnetRole::Public, &acls.public), (SubnetRole::Private, &acls.private)] {
        let members: Vec<&Placed> = subnets.iter().filter(|subnet| subnet.role == role).collect();
        if members.is_empty() {
            continue;
        }
        let body = NetworkAcl { vpc: vpc.id(), ingress: acl_rules(&acl.ingress), egress: acl_rules(&acl.egress) };
        let acl = draft.resources.add(format!("network/network-acl/{}", name_of(role)), body);
        for subnet in members {
            let address = network_acl_association::address_of(subnet.handle.address());
            let body = NetworkAclAssociation { subnet: subnet.handle.id(), network_acl: acl.id() };
            draft.resources.add(address.to_string(), body);
        }
    }
}

fn acl_rules(rules: &[spec::AclRule]) -> BTreeSet<network_acl::Rule> {
    rules.iter().map(acl_rule).collect()
}

fn acl_rule(rule: &spec::AclRule) -> network_acl::Rule {
    let protocol = match rule.protocol {
        AclProtocol::All => "-1",
        AclProtocol::Icmp => "1",
        AclProtocol::Tcp => "6",
        AclProtocol::Udp => "17",
    };
    let has_ports = matches!(rule.protocol, AclProtocol::Tcp | AclProtocol::Udp);
    network_acl::Rule {
        number: i32::from(rule.rule_number),
        protocol: protocol.to_owned(),
        ports: rule.ports.filter(|_| has_ports).map(|range| Ports { from: range.from.into(), to: range.to.into() }),
        cidr: rule.cidr.to_string(),
        allow: rule.action == AclAction::Allow,
    }
}

/// The internet gateway and the public table, where there are public subnets; and what has to stand before
/// something in one reaches the internet.
fn declare_public_routing(
    draft: &mut Draft<'_>,
    vpc: &Handle<Vpc>,
    subnets: &[Placed],
) -> (Option<Address>, Vec<Address>) {
    let public: Vec<&Placed> = subnets.iter().filter(|subnet| subnet.role == SubnetRole::Public).collect();
    if public.is_empty() {
        return (None, Vec::new());
    }
    let gateway = draft.resources.add("network/internet-gateway", InternetGateway { vpc: vpc.id() });
    let table = draft.resources.add("network/route-table/public", RouteTable { vpc: vpc.id() });
    let way_out = Route { route_table: table.id(), target: gateway.id() };
    let way_out = draft.resources.add(route::address_in(table.address()).to_string(), way_out);
    let associations = public.into_iter().map(|subnet| associate(draft, subnet, &table));
    let mut ways_out: Vec<Address> = associations.map(|association| association.address().clone()).collect();
    ways_out.push(way_out.address().clone());
    (Some(gateway.address().clone()), ways_out)
}

/// One private table for each zone that has a NAT gateway of its own, else one for all.
fn declare_private_routing(
    draft: &mut Draft<'_>,
    network: &spec::Network,
    vpc: &Handle<Vpc>,
    subnets: &[Placed],
) -> Vec<PrivateTable> {
    let private: Vec<&Placed> = subnets.iter().filter(|subnet| subnet.role == SubnetRole::Private).collect();
    let mut declare = |zone: Option<&str>, members: &[&Placed]| {
        let suffix = zone.map(|zone| format!("/{zone}")).unwrap_or_default();
        let body = RouteTable { vpc: vpc.id() };
        let table = draft.resources.add(format!("network/route-table/private{suffix}"), body);
        let associations = members.iter().map(|subnet| associate(draft, subnet, &table)).collect();
        PrivateTable { zone: zone.map(str::to_owned), table, associations }
    };
    match network.nat {
        Nat::PerZone => private.iter().map(|subnet| declare(Some(&subnet.zone), &[*subnet])).collect(),
        Nat::Single | Nat::None => vec![declare(None, &private)],
    }
}

fn associate(draft: &mut Draft<'_>, subnet: &Placed, table: &Handle<RouteTable>) -> Handle<RouteTableAssociation> {
    let address = route_table_association::address_of(subnet.handle.address());
    let body = RouteTableAssociation { subnet: subnet.handle.id(), route_table: table.id() };
    draft.resources.add(address.to_string(), body)
}

fn addresses_of_associations(tables: &[PrivateTable]) -> Vec<Address> {
    let associations = tables.iter().flat_map(|table| &table.associations);
    associations.map(|association| association.address().clone()).collect()
}

/// The endpoints; and what has to stand before something in a private subnet reaches them.
fn declare_endpoints(
    draft: &mut Draft<'_>,
    network: &spec::Network,
    vpc: &Handle<Vpc>,
    subnets: &[Placed],
    tables: &[PrivateTable],
) -> Vec<Address> {
    let mut ways = Vec::new();
    let mut security_groups = BTreeSet::new();
    if network.endpoints.iter().any(|service| !service.is_gateway()) {
        let (group, rule) = declare_endpoint_security_group(draft, network, vpc);
        security_groups.insert(group);
        ways.push(rule);
    }
    let private = subnets.iter().filter(|subnet| subnet.role == SubnetRole::Private);
    let subnets: BTreeSet<Reference<SubnetId>> = private.map(|subnet| subnet.handle.id()).collect();
    let tables: BTreeSet<Reference<RouteTableId>> = tables.iter().map(|table| table.table.id()).collect();
    for service in &network.endpoints {
        let gateway = service.is_gateway();
        let body = VpcEndpoint {
            vpc: vpc.id(),
            service: service.service_name(draft.region()),
            gateway,
            route_tables: if gateway { tables.clone() } else { BTreeSet::new() },
            subnets: if gateway { BTreeSet::new() } else { subnets.clone() },
            security_groups: if gateway { BTreeSet::new() } else { security_groups.clone() },
            private_dns: !gateway,
        };
        let endpoint = draft.resources.add(format!("network/endpoint/{}", service.0), body);
        ways.push(endpoint.address().clone());
    }
    ways
}

fn declare_endpoint_security_group(
    draft: &mut Draft<'_>,
    network: &spec::Network,
    vpc: &Handle<Vpc>,
) -> (Reference<SecurityGroupId>, Address) {
    let body = SecurityGroup {
        name: format!("{}-endpoints", draft.name()),
        description: "Lets the VPC reach its endpoints".to_owned(),
        vpc: vpc.id(),
        open_egress: false,
    };
    let group = draft.resources.add("network/security-group/endpoints", body);
    let rule = SecurityGroupRule {
        group: group.id(),
        direction: Direction::Ingress,
        protocol: "tcp".to_owned(),
        ports: Some(Ports::one(443)),
        peer: Peer::Cidr(network.cidr.to_string()),
        description: "HTTPS from the VPC".to_owned(),
    };
    let rule = draft.resources.add("network/security-group-rule/endpoints/https", rule);
    (group.id(), rule.address().clone())
}

/// A VPC that others own: where a cluster is to stand in it, its subnets get the tags by which they are found.
fn borrow(draft: &mut Draft<'_>, existing: &ExistingNetwork) -> Network {
    if draft.stack.cluster.is_some() {
        borrow_subnets(draft, SubnetRole::Public, &existing.public_subnet_ids);
        borrow_subnets(draft, SubnetRole::Private, &existing.private_subnet_ids);
    }
    let subnets = |ids: &[String]| {
        ids.iter().map(|id| Subnet { zone: String::new(), id: Reference::known(id) }).collect::<Vec<_>>()
    };
    Network {
        vpc: Reference::known(&existing.vpc_id),
        public: subnets(&existing.public_subnet_ids),
        private: subnets(&existing.private_subnet_ids),
        ways_out: Vec::new(),
        public_ways_out: Vec::new(),
    }
}

fn borrow_subnets(draft: &mut Draft<'_>, role: SubnetRole, ids: &[String]) {
    for id in ids {
        let body = BorrowedTags { target: Reference::known(id), tags: discovery_tags(draft, role) };
        draft.resources.add(format!("network/borrowed-tags/{id}"), body);
    }
}
