//! Rules on who reaches whom: what needs a network, two zones, a way out, or endpoints instead.

use std::collections::BTreeSet;

use super::{Finding, Report};
use crate::spec::document::Path;
use crate::spec::model::{
    AutoscalerEngine, BastionAccess, Cluster, IdentityMode, Nat, Network, Stack, SubnetRole, Tool,
};
use crate::spec::problem::{list, quoted};

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    sections_have_what_they_stand_on(stack, report);
    let Some(network) = &stack.network else {
        return;
    };
    clusters_and_databases_have_two_zones(stack, network, report);
    public_subnets_exist_for_those_who_need_them(stack, network, report);
    if network.existing.is_none() && network.nat == Nat::None {
        endpoints_stand_in_for_nat(stack, network, report);
        bastion_tools_can_be_fetched(stack, report);
        kubernetes_api_is_in_the_vpc(stack, report);
    }
}

/// A section that is there, the section that it needs, and why.
fn sections_have_what_they_stand_on(stack: &Stack, report: &mut Report<'_>) {
    let autoscaler = stack.autoscaler.as_ref().is_some_and(|one| one.engine != AutoscalerEngine::None);
    let needs = [
        ("bastion", stack.bastion.is_some(), "network", "the bastion stands in one of its subnets"),
        ("database", stack.database.is_some(), "network", "the database stands in its private subnets"),
        ("cluster", stack.cluster.is_some(), "network", "control plane and nodes stand in its subnets"),
        ("identity", stack.identity.is_some(), "cluster", "roles for pods need pods"),
        ("interruption", stack.interruption.is_some(), "cluster", "its nodes are what is interrupted"),
        ("addons", stack.addons.is_some(), "cluster", "add-ons run in it"),
        ("autoscaler", autoscaler, "cluster", "it adds nodes to it, and runs in it"),
        ("workloads", stack.workloads.is_some(), "cluster", "they run in it"),
    ];
    for (section, present, needed, why) in needs {
        let there = match needed {
            "network" => stack.network.is_some(),
            _ => stack.cluster.is_some(),
        };
        if present && !there {
            let help = match needed {
                "network" => {
                    "add `network: {}` for a VPC with the defaults, or `network: { existing: … }` for one that exists"
                }
                _ => "add a `cluster` section, at least `cluster: { version: \"1.35\" }`",
            };
            report.add(
                Finding::of_key(Path::of(section), format!("`{section}` needs a `{needed}` section"), help)
                    .because(why)
                    .given(Path::of(needed)),
            );
        }
    }
}

fn clusters_and_databases_have_two_zones(stack: &Stack, network: &Network, report: &mut Report<'_>) {
    let who = match (&stack.cluster, &stack.database) {
        (Some(_), Some(_)) => "EKS and RDS both want",
        (Some(_), None) => "EKS wants",
        (None, Some(_)) => "RDS wants",
        (None, None) => return,
    };
    let zones = Path::of("network.zones");
    match &network.existing {
        Some(existing) if existing.private_subnet_ids.len() < 2 => report.add(
            Finding::of_key(
                Path::of("network.existing.privateSubnetIds"),
                "one private subnet is not enough",
                "list private subnets in two or more availability zones",
            )
            .because(format!("{who} subnets in two zones")),
        ),
        None if network.zones.count() < 2 => report.add(
            Finding::new(zones, "one availability zone is not enough", "write `zones: 2`, or two names")
                .because(format!("{who} subnets in two zones, even if everything else runs in one")),
        ),
        _ => {}
    }
}

/// Whether the network has public subnets, and where it says so.
fn public_subnets(network: &Network) -> (bool, Path) {
    match &network.existing {
        Some(existing) => (!existing.public_subnet_ids.is_empty(), Path::of("network.existing.publicSubnetIds")),
        None => {
            (network.public_subnets.as_ref().is_none_or(|list| !list.is_empty()), Path::of("network.publicSubnets"))
        }
    }
}

fn public_subnets_exist_for_those_who_need_them(stack: &Stack, network: &Network, report: &mut Report<'_>) {
    let (exist, place) = public_subnets(network);
    if exist {
        return;
    }
    if stack.bastion.as_ref().is_some_and(|bastion| bastion.access == BastionAccess::Ssh) {
        report.add(
            Finding::new(
                Path::of("bastion.access"),
                "a bastion with `access: ssh` needs a public subnet, and there is none",
                "write `access: ssm`, which needs no public address, or give the network public subnets",
            )
            .given(place.clone()),
        );
    }
    let groups = stack.cluster.iter().flat_map(|cluster| &cluster.node_groups).enumerate();
    for (index, group) in groups.filter(|(_, group)| group.subnets == SubnetRole::Public) {
        report.add(
            Finding::new(
                Path::of("cluster.nodeGroups").index(index).key("subnets"),
                format!("the node group {} is to stand in public subnets, and there are none", quoted(&group.name)),
                "write `subnets: private`, or give the network public subnets",
            )
            .given(place.clone()),
        );
    }
}

/// Whether some node stands in a private subnet.
fn has_private_nodes(stack: &Stack, cluster: &Cluster) -> bool {
    let autoscaled = stack.autoscaler.as_ref().is_some_and(|one| one.engine != AutoscalerEngine::None);
    autoscaled || cluster.node_groups.iter().any(|group| group.subnets == SubnetRole::Private)
}

/// The endpoints without which something does not work behind no NAT, each with its user.
fn needed_endpoints(stack: &Stack) -> BTreeSet<(&'static str, &'static str)> {
    let mut needed = BTreeSet::new();
    let mut add = |who: &'static str, services: &[&'static str]| {
        needed.extend(services.iter().map(|service| (who, *service)));
    };
    if let Some(cluster) = stack.cluster.as_ref().filter(|cluster| has_private_nodes(stack, cluster)) {
        add("nodes", &["ec2", "ecr.api", "ecr.dkr", "s3", "sts", "eks"]);
        let identity = stack.identity.as_ref().map(|identity| identity.mode).unwrap_or_default();
        if identity == IdentityMode::PodIdentity && cluster.has_addon("eks-pod-identity-agent") {
            add("pod identity", &["eks-auth"]);
        }
        if stack.addons.as_ref().is_some_and(|addons| addons.load_balancer_controller.is_some()) {
            add("the load balancer controller", &["elasticloadbalancing"]);
        }
        if stack.autoscaler.as_ref().is_some_and(|one| one.engine != AutoscalerEngine::None) {
            add("the autoscaler", &["ssm"]);
            if stack.interruption.is_some() {
                add("the autoscaler", &["sqs"]);
            }
        }
    }
    if let Some(bastion) = stack.bastion.as_ref().filter(|one| one.access == BastionAccess::Ssm) {
        add("the bastion", &["ssm", "ssmmessages"]);
        if !bastion.tools.is_empty() {
            add("the bastion's packages", &["s3"]);
        }
    }
    needed
}

fn endpoints_stand_in_for_nat(stack: &Stack, network: &Network, report: &mut Report<'_>) {
    let has = |service: &str| network.endpoints.iter().any(|endpoint| endpoint.0 == service);
    let missing: Vec<_> = needed_endpoints(stack).into_iter().filter(|(_, service)| !has(service)).collect();
    if missing.is_empty() {
        return;
    }
    let services: BTreeSet<&str> = missing.iter().map(|(_, service)| *service).collect();
    let users: BTreeSet<&str> = missing.iter().map(|(who, _)| *who).collect();
    let whole: BTreeSet<&str> =
        services.iter().copied().chain(network.endpoints.iter().map(|endpoint| endpoint.0.as_str())).collect();
    let services: Vec<&str> = services.into_iter().collect();
    let users: Vec<&str> = users.into_iter().collect();
    report.add(
        Finding::new(
            Path::of("network.nat"),
            format!("without NAT, the endpoints {} are missing", list(&services)),
            format!("write `endpoints: [{}]`, or `nat: single`", whole.into_iter().collect::<Vec<_>>().join(", ")),
        )
        .because(format!(
            "they are the only way from private subnets to AWS, for {}",
            crate::spec::problem::sentence(&users)
        ))
        .given(Path::of("network.endpoints"))
        .given(Path::of("cluster.nodeGroups"))
        .given(Path::of("cluster.addons"))
        .given(Path::of("bastion"))
        .given(Path::of("autoscaler.engine"))
        .given(Path::of("identity.mode")),
    );
}

fn bastion_tools_can_be_fetched(stack: &Stack, report: &mut Report<'_>) {
    let Some(bastion) = stack.bastion.as_ref().filter(|one| one.access == BastionAccess::Ssm) else {
        return;
    };
    for (index, tool) in bastion.tools.iter().enumerate() {
        let name = match tool {
            Tool::Kubectl => "kubectl",
            Tool::Helm => "helm",
            _ => continue,
        };
        report.add(
            Finding::new(
                Path::of("bastion.tools").index(index),
                format!("`{name}` cannot be installed without a way to the internet"),
                format!("remove `{name}`, or write `nat: single`"),
            )
            .because(
                "it is downloaded from its makers; the other tools are packages of Amazon Linux, which come from S3",
            )
            .see(Path::of("network.nat"), "no way out"),
        );
    }
}

fn kubernetes_api_is_in_the_vpc(stack: &Stack, report: &mut Report<'_>) {
    let Some(cluster) = stack.cluster.as_ref().filter(|cluster| has_private_nodes(stack, cluster)) else {
        return;
    };
    if cluster.endpoint.public && !cluster.endpoint.private {
        report.add(
            Finding::new(
                Path::of("cluster.endpoint.private"),
                "the nodes could not reach the Kubernetes API",
                "write `private: true`, so that they reach it inside the VPC",
            )
            .because("without NAT they have no way to its public endpoint")
            .see(Path::of("network.nat"), "no way out"),
        );
    }
}
