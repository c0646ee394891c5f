//! Rules for `cluster`: version, endpoint, addresses, access, add-ons.

use super::addresses::{is_private, is_rfc1918};
use super::{Finding, Report};
use crate::spec::document::Path;
use crate::spec::model::{Cidr, Cluster, IdentityMode, Stack};
use crate::spec::problem::{list, quoted};

/// The minors of Kubernetes 1 that this eksup was made for.
const KNOWN_MINORS: std::ops::RangeInclusive<u16> = 31..=36;

/// Minors below are not versions that EKS had, but numbers that lost a zero.
const OLDEST_MINOR: u16 = 20;

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    let Some(cluster) = &stack.cluster else {
        return;
    };
    version_is_possible(cluster, report);
    endpoint_can_be_reached(cluster, report);
    public_networks_are_public(cluster, report);
    service_addresses_are_free(stack, cluster, report);
    access_is_granted_once(cluster, report);
    addons_are_installed_once(stack, cluster, report);
    core_addons_are_there(cluster, report);
    pod_identity_has_its_agent(stack, cluster, report);
    logs_are_listed_once(cluster, report);
    if let Some(key) = &cluster.secrets_key {
        key_is_in_the_region(stack, key, place("secretsKey"), report);
    }
}

fn place(key: &str) -> Path {
    Path::of("cluster").key(key)
}

fn version_is_possible(cluster: &Cluster, report: &mut Report<'_>) {
    let version = cluster.version;
    if version.major != 1 || version.minor < OLDEST_MINOR {
        let lost_zero = version.major == 1 && (2..=9).contains(&version.minor);
        let help = match lost_zero {
            true => format!("write `\"1.{}0\"`, if that is meant", version.minor),
            false => "write a version that EKS has, such as `\"1.35\"`".to_owned(),
        };
        let finding = Finding::new(place("version"), format!("EKS has no Kubernetes {version}"), help);
        report.add(match lost_zero {
            true => finding.because(format!(
                "a version without quotes is a number, and the number 1.{0}0 is written 1.{0}",
                version.minor
            )),
            false => finding,
        });
    } else if !KNOWN_MINORS.contains(&version.minor) {
        report.add(
            Finding::new(
                place("version"),
                format!("this eksup was not made for Kubernetes {version}"),
                "check that EKS offers the version; `eksup plan` asks it",
            )
            .because(format!("it was made for 1.{} to 1.{}", KNOWN_MINORS.start(), KNOWN_MINORS.end()))
            .warning(),
        );
    }
}

fn endpoint_can_be_reached(cluster: &Cluster, report: &mut Report<'_>) {
    let endpoint = &cluster.endpoint;
    let path = place("endpoint");
    let everyone = endpoint.public_cidrs.contains(&Cidr::EVERYWHERE);
    if !endpoint.public && !endpoint.private {
        report.add(
            Finding::new(
                path.key("private"),
                "with `public: false` and `private: false` nobody could reach the Kubernetes API",
                "write `private: true`",
            )
            .see(path.key("public"), "not public either"),
        );
    } else if !endpoint.private && !everyone {
        report.add(
            Finding::new(
                path.key("private"),
                "the nodes could not reach the Kubernetes API",
                "write `private: true`, so that they reach it inside the VPC",
            )
            .because("without the private endpoint they come from the NAT gateway's address, which `publicCidrs` does not let in")
            .given(path.key("publicCidrs")),
        );
    }
    if !endpoint.public && report.wrote(&path.key("publicCidrs")) {
        report.add(
            Finding::of_key(
                path.key("publicCidrs"),
                "`publicCidrs` mean nothing with `public: false`",
                "remove the line, or write `public: true`",
            )
            .given(path.key("public")),
        );
    }
    if endpoint.public && everyone {
        let written = path.key("publicCidrs");
        let path = if report.wrote(&written) {
            written
        } else if report.wrote(&path) {
            path
        } else {
            Path::of("cluster")
        };
        report.add(
            Finding::of_key(
                path,
                "the Kubernetes API can be reached from everywhere",
                "write `endpoint: { publicCidrs: [<your network>] }`",
            )
            .because("only those with credentials get in, but everybody can try")
            .given(place("endpoint"))
            .warning(),
        );
    }
}

fn public_networks_are_public(cluster: &Cluster, report: &mut Report<'_>) {
    let path = place("endpoint").key("publicCidrs");
    for (index, cidr) in cluster.endpoint.public_cidrs.iter().enumerate() {
        if is_private(*cidr) {
            report.add(
                Finding::new(
                    path.index(index),
                    format!("`{cidr}` is a private network, which never comes from the internet"),
                    "write the addresses that you have on the internet; hosts in the VPC use the private endpoint",
                )
                .because("EKS refuses private networks here"),
            );
        }
    }
    super::refuse_repetitions(report, &path, &cluster.endpoint.public_cidrs, ToString::to_string);
}

fn service_addresses_are_free(stack: &Stack, cluster: &Cluster, report: &mut Report<'_>) {
    let Some(cidr) = cluster.service_cidr else {
        return;
    };
    if !(12..=24).contains(&cidr.prefix()) || !is_rfc1918(cidr) {
        report.add(
            Finding::new(
                place("serviceCidr"),
                format!("`{cidr}` cannot be the network of Kubernetes services"),
                "write a /12 to /24 in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, such as `172.20.0.0/16`",
            )
            .because("EKS takes nothing else, and it cannot be changed later"),
        );
    }
    let Some(network) = stack.network.as_ref().filter(|network| network.existing.is_none()) else {
        return;
    };
    if cidr.overlaps(network.cidr) {
        let finding = Finding::new(
            place("serviceCidr"),
            format!("the services' network `{cidr}` overlaps the VPC `{}`", network.cidr),
            format!("take another network, such as `{}`, or leave `serviceCidr` out", apart_from(network.cidr)),
        )
        .because("pods could not reach the hosts whose addresses services have")
        .given(Path::of("network.cidr"));
        report.add(match report.wrote(&Path::of("network.cidr")) {
            true => finding.see(Path::of("network.cidr"), "the VPC"),
            false => finding,
        });
    }
}

/// A network for services that the VPC does not use.
fn apart_from(vpc: Cidr) -> Cidr {
    let usual = [[172, 20, 0, 0], [10, 100, 0, 0]].map(|octets| Cidr::from_octets(octets, 16));
    let free = usual.into_iter().find(|candidate| !candidate.overlaps(vpc));
    free.unwrap_or(Cidr::from_octets([192, 168, 0, 0], 20))
}

fn access_is_granted_once(cluster: &Cluster, report: &mut Report<'_>) {
    let grants: Vec<_> = cluster.access.iter().map(|entry| (&entry.principal, entry.policy)).collect();
    for (index, first) in super::repetitions(&grants) {
        report.add(
            Finding::new(
                place("access").index(index).key("principal"),
                "this principal has this policy already",
                "keep one of the two, with all the namespaces; none means the whole cluster",
            )
            .see(place("access").index(first).key("principal"), "first here")
            .given(place("access").index(index)),
        );
    }
}

fn addons_are_installed_once(stack: &Stack, cluster: &Cluster, report: &mut Report<'_>) {
    let path = place("addons");
    let names: Vec<&str> = cluster.addons.iter().map(|addon| addon.name.as_str()).collect();
    super::refuse_repetitions(report, &path, &names, ToString::to_string);
    let own = stack.addons.as_ref().is_some_and(|addons| addons.metrics_server.is_some());
    if let Some(index) = names.iter().position(|name| own && *name == "metrics-server") {
        report.add(
            Finding::new(
                path.index(index),
                "metrics-server would be installed twice",
                "keep `addons.metricsServer` or the EKS add-on, not both",
            )
            .see(Path::of("addons.metricsServer"), "once here"),
        );
    }
}

fn core_addons_are_there(cluster: &Cluster, report: &mut Report<'_>) {
    let missing: Vec<&str> =
        ["vpc-cni", "kube-proxy", "coredns"].into_iter().filter(|name| !cluster.has_addon(name)).collect();
    if !missing.is_empty() {
        report.add(
            Finding::of_key(
                place("addons"),
                format!("the list of add-ons lacks {}", list(&missing)),
                "add what is missing, unless something else does its work",
            )
            .because("EKS installs nothing by itself here: without a network plug-in nodes never become ready, without DNS pods find nothing")
            .given(place("addons"))
            .warning(),
        );
    }
}

fn pod_identity_has_its_agent(stack: &Stack, cluster: &Cluster, report: &mut Report<'_>) {
    let mode = stack.identity.as_ref().map(|identity| identity.mode).unwrap_or_default();
    let accounts = stack.identity.as_ref().is_some_and(|identity| !identity.service_accounts.is_empty());
    let controllers = stack.autoscaler.is_some()
        || stack.addons.as_ref().is_some_and(|addons| addons.load_balancer_controller.is_some());
    let agent = "eks-pod-identity-agent";
    if mode == IdentityMode::PodIdentity && (accounts || controllers) && !cluster.has_addon(agent) {
        report.add(
            Finding::of_key(
                place("addons"),
                format!("the list of add-ons lacks `{agent}`"),
                format!("add `{agent}`, or write `identity: {{ mode: irsa }}`"),
            )
            .because("with pod identity, this agent hands pods the credentials of their roles")
            .given(place("addons"))
            .given(Path::of("identity.mode")),
        );
    }
}

fn logs_are_listed_once(cluster: &Cluster, report: &mut Report<'_>) {
    super::refuse_repetitions(report, &place("logging"), &cluster.logging, |log| log.as_str().to_owned());
}

/// A key in another region can be named, but not used.
pub(super) fn key_is_in_the_region(stack: &Stack, key: &str, path: Path, report: &mut Report<'_>) {
    let Some(region) = key.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2)) else {
        return;
    };
    if region != stack.metadata.region {
        report.add(
            Finding::new(
                path,
                format!("the key is in {}, the stack in {}", quoted(region), quoted(&stack.metadata.region)),
                format!("name a key in `{}`", stack.metadata.region),
            )
            .because("a service can use only keys of its own region")
            .see(Path::of("metadata.region"), "the region"),
        );
    }
}
