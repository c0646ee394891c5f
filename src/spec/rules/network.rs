//! Rules for `network`: addresses, zones, endpoints, and VPCs of others.

use super::addresses::{is_private, is_unusable};
use super::{Finding, Report, network_acls, refuse_repetitions};
use crate::spec::document::Path;
use crate::spec::model::{Cidr, ExistingNetwork, LayoutError, Nat, Network, Stack, Zones};
use crate::spec::problem::{nearest, quoted};

/// Endpoint services that stacks like these use; others are let through with a warning.
const ENDPOINTS: &[&str] = &[
    "s3",
    "dynamodb",
    "ec2",
    "ecr.api",
    "ecr.dkr",
    "sts",
    "eks",
    "eks-auth",
    "elasticloadbalancing",
    "autoscaling",
    "logs",
    "monitoring",
    "ssm",
    "ssmmessages",
    "ec2messages",
    "sqs",
    "sns",
    "kms",
    "secretsmanager",
    "events",
    "rds",
    "rds-data",
    "lambda",
    "kinesis-streams",
    "kinesis-firehose",
    "athena",
    "glue",
    "xray",
    "aps-workspaces",
    "aps",
    "elasticfilesystem",
    "ebs",
    "execute-api",
    "states",
    "cloudformation",
    "cloudtrail",
    "config",
    "guardduty-data",
    "application-autoscaling",
    "acm-pca",
    "ecs",
    "ecs-agent",
    "ecs-telemetry",
    "bedrock-runtime",
    "bedrock",
    "email-smtp",
    "codeartifact.api",
    "codeartifact.repositories",
    "pricing.api",
    "evidently",
    "synthetics",
];

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    let Some(network) = &stack.network else {
        return;
    };
    if let Some(existing) = &network.existing {
        existing_stands_alone(report);
        existing_subnets_are_distinct(existing, report);
        return;
    }
    vpc_is_possible(network, report);
    zones_are_in_the_region(stack, network, report);
    subnets_match_zones(network, report);
    subnets_lie_in_the_vpc(network, report);
    subnets_do_not_overlap(network, report);
    nat_has_a_place(network, report);
    endpoints_are_known(network, report);
    network_acls::check(network, report);
}

fn place(key: &str) -> Path {
    Path::of("network").key(key)
}

fn existing_stands_alone(report: &mut Report<'_>) {
    for key in ["cidr", "zones", "publicSubnets", "privateSubnets", "nat", "networkAcls", "endpoints"] {
        if report.wrote(&place(key)) {
            report.add(
                Finding::of_key(
                    place(key),
                    format!("`{key}` cannot stand beside `existing`"),
                    format!("remove `{key}`, or remove `existing` to have a VPC made"),
                )
                .because(
                    "a VPC of others is used as it is: its addresses, routes, ACLs and endpoints are theirs to change",
                )
                .see(place("existing"), "the VPC of others"),
            );
        }
    }
}

fn existing_subnets_are_distinct(existing: &ExistingNetwork, report: &mut Report<'_>) {
    let path = place("existing");
    let (public, private) = (&existing.public_subnet_ids, &existing.private_subnet_ids);
    refuse_repetitions(report, &path.key("publicSubnetIds"), public, Clone::clone);
    refuse_repetitions(report, &path.key("privateSubnetIds"), private, Clone::clone);
    for (index, id) in private.iter().enumerate() {
        if let Some(other) = public.iter().position(|other| other == id) {
            report.add(
                Finding::new(
                    path.key("privateSubnetIds").index(index),
                    format!("{} is listed as public and as private", quoted(id)),
                    "keep it where it belongs: public subnets have a route to an internet gateway",
                )
                .see(path.key("publicSubnetIds").index(other), "public here"),
            );
        }
    }
}

fn vpc_is_possible(network: &Network, report: &mut Report<'_>) {
    let cidr = network.cidr;
    if !(16..=28).contains(&cidr.prefix()) {
        let nearest = Cidr::from_octets(cidr.net().network().octets(), cidr.prefix().clamp(16, 28));
        report.add(
            Finding::new(
                place("cidr"),
                format!("`{cidr}` is too {} for a VPC", if cidr.prefix() < 16 { "large" } else { "small" }),
                format!("write a network from /16 to /28, such as `{nearest}`"),
            )
            .because("AWS allows VPCs from /16 (65,536 addresses) to /28 (16 addresses)"),
        );
    }
    if is_unusable(cidr) {
        report.add(Finding::new(
            place("cidr"),
            format!("`{cidr}` has addresses that no host can have"),
            "write a private network, such as `10.0.0.0/16`",
        ));
    } else if !is_private(cidr) {
        report.add(
            Finding::new(
                place("cidr"),
                format!("`{cidr}` is not a private network"),
                "take a part of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, unless the addresses are your own",
            )
            .because("hosts on the internet with these addresses could not be reached from the VPC")
            .warning(),
        );
    }
}

fn zones_are_in_the_region(stack: &Stack, network: &Network, report: &mut Report<'_>) {
    let Zones::Names(names) = &network.zones else {
        return;
    };
    let region = &stack.metadata.region;
    refuse_repetitions(report, &place("zones"), names, Clone::clone);
    for (index, name) in names.iter().enumerate() {
        if name.strip_prefix(region.as_str()).is_none_or(|letter| letter.len() != 1) {
            let letter = name.chars().last().unwrap_or('a');
            report.add(
                Finding::new(
                    place("zones").index(index),
                    format!("the zone {} is not in the region {}", quoted(name), quoted(region)),
                    format!("write `{region}{letter}`, or another region in `metadata`"),
                )
                .see(Path::of("metadata.region"), "the region"),
            );
        }
    }
}

fn subnets_match_zones(network: &Network, report: &mut Report<'_>) {
    let zones: Vec<String> = (0..network.zones.count()).map(|zone| zone.to_string()).collect();
    let Err(error) = network.layout(&zones) else {
        return;
    };
    let finding = match error {
        LayoutError::WrongNumber { role, listed, zones } => {
            let key = format!("{role}Subnets");
            let help = match listed < zones {
                true => format!("list {zones}, one for each zone, or set `zones` to {listed}"),
                false => {
                    format!("list {zones}, one for each zone, or set `zones` to {listed}, if the region has so many")
                }
            };
            let message = format!(
                "`{key}` has {listed} {} for {zones} {}",
                if listed == 1 { "subnet" } else { "subnets" },
                if zones == 1 { "zone" } else { "zones" },
            );
            let finding = Finding::of_key(place(&key), message, help).given(place("zones"));
            match report.wrote(&place("zones")) {
                true => finding.see(place("zones"), "the zones"),
                false => finding.because("without `zones` there are two"),
            }
        }
        LayoutError::TooSmall { role, cidr } => Finding::new(
            place("cidr"),
            format!("`{cidr}` is too small to carve {role} subnets from"),
            "write a /22 or a larger network, or list `publicSubnets` and `privateSubnets` yourself",
        )
        .because("subnets that are not listed are carved as eighths, and a subnet cannot be smaller than /28"),
        LayoutError::NoRoom { role, cidr, wanted } => Finding::new(
            place("cidr"),
            format!("`{cidr}` has no room for {wanted} {role} subnets beside those that are listed"),
            format!("list `{role}Subnets` yourself"),
        )
        .given(place("publicSubnets"))
        .given(place("privateSubnets")),
    };
    report.add(finding);
}

/// The subnets that the file lists, with their places.
fn listed_subnets(network: &Network) -> Vec<(Path, Cidr)> {
    let with_places = |key: &str, list: &Option<Vec<Cidr>>| -> Vec<(Path, Cidr)> {
        let path = place(key);
        let list = list.iter().flatten().enumerate();
        list.map(|(index, cidr)| (path.index(index), *cidr)).collect()
    };
    let mut subnets = with_places("publicSubnets", &network.public_subnets);
    subnets.extend(with_places("privateSubnets", &network.private_subnets));
    subnets
}

fn subnets_lie_in_the_vpc(network: &Network, report: &mut Report<'_>) {
    for (path, cidr) in listed_subnets(network) {
        if !network.cidr.contains(cidr) {
            let finding = Finding::new(
                path.clone(),
                format!("the subnet `{cidr}` does not lie in the VPC `{}`", network.cidr),
                format!("write a part of `{}`, or another `cidr`", network.cidr),
            )
            .given(place("cidr"));
            report.add(match report.wrote(&place("cidr")) {
                true => finding.see(place("cidr"), "the VPC"),
                false => finding.because(format!("without `cidr` the VPC is `{}`", network.cidr)),
            });
        }
        if cidr.prefix() > 28 {
            report.add(
                Finding::new(
                    path,
                    format!("the subnet `{cidr}` is too small"),
                    format!("write /28 or larger, such as `{}`", Cidr::from_octets(cidr.net().network().octets(), 28)),
                )
                .because("AWS allows subnets from /28 (16 addresses, five of them its own) on"),
            );
        }
    }
}

fn subnets_do_not_overlap(network: &Network, report: &mut Report<'_>) {
    let subnets = listed_subnets(network);
    for (index, (path, cidr)) in subnets.iter().enumerate() {
        let other = subnets[..index].iter().find(|(_, other)| other.overlaps(*cidr));
        if let Some((other_path, other)) = other {
            let message = match other == cidr {
                true => format!("the subnet `{cidr}` is listed twice"),
                false => format!("the subnet `{cidr}` overlaps `{other}`"),
            };
            report.add(
                Finding::new(path.clone(), message, "give each subnet addresses of its own")
                    .see(other_path.clone(), "this one"),
            );
        }
    }
}

fn nat_has_a_place(network: &Network, report: &mut Report<'_>) {
    let no_public = network.public_subnets.as_ref().is_some_and(Vec::is_empty);
    if no_public && network.nat != Nat::None {
        let finding = Finding::of_key(
            place("publicSubnets"),
            "there are no public subnets for the NAT gateway to stand in",
            "write `nat: none`, or list public subnets, or leave `publicSubnets` out to have them carved",
        );
        report.add(match report.wrote(&place("nat")) {
            true => finding.see(place("nat"), "the NAT gateway"),
            false => finding.because("without `nat` there is one NAT gateway (`nat: single`)"),
        });
    }
}

fn endpoints_are_known(network: &Network, report: &mut Report<'_>) {
    let path = place("endpoints");
    refuse_repetitions(report, &path, &network.endpoints, |endpoint| endpoint.0.clone());
    for (index, endpoint) in network.endpoints.iter().enumerate() {
        if ENDPOINTS.contains(&endpoint.0.as_str()) {
            continue;
        }
        let help = match (endpoint.0.as_str(), nearest(&endpoint.0, ENDPOINTS.iter().copied())) {
            ("ecr", _) => "write `ecr.api` and `ecr.dkr`: images need both".to_owned(),
            (_, Some(likely)) => format!("write `{likely}`, if that is meant"),
            (_, None) => "check the name with `aws ec2 describe-vpc-endpoint-services`".to_owned(),
        };
        let finding = Finding::new(
            path.index(index),
            format!("{} is not among the endpoint services that eksup knows", quoted(&endpoint.0)),
            help,
        );
        // `ecr` alone has never been a service; anything else may be a new one.
        report.add(if endpoint.0 == "ecr" { finding } else { finding.warning() });
    }
}
