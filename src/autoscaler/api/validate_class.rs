//! The rules of EC2NodeClass, as its custom resource definition states them.

use super::ec2_node_class::{AmiSelectorTerm, BlockDeviceMapping, EC2NodeClassSpec, KubeletConfiguration};
use super::validate::{Fault, Faults};
use crate::state::quantity::Quantity;
use std::collections::{BTreeMap, BTreeSet};

const FAMILIES: [&str; 7] = ["AL2", "AL2023", "Bottlerocket", "Windows2019", "Windows2022", "Windows2025", "Custom"];
const RESERVED_TAGS: [&str; 4] =
    ["eks:eks-cluster-name", "karpenter.sh/nodepool", "karpenter.sh/nodeclaim", "karpenter.k8s.aws/ec2nodeclass"];

/// The kinds of EBS volumes.
pub(super) const VOLUME_TYPES: [&str; 7] = ["standard", "io1", "io2", "gp2", "sc1", "st1", "gp3"];

/// All faults of an EC2NodeClass.
pub fn ec2_node_class(spec: &EC2NodeClassSpec) -> Vec<Fault> {
    let mut faults = Faults::at("spec");
    check_subnets(spec, &mut faults);
    check_groups(spec, &mut faults);
    check_images(spec, &mut faults);
    check_reservations(spec, &mut faults);
    match (spec.role.as_deref(), spec.instance_profile.as_deref()) {
        (None, None) => faults.add("role", "either `role` or `instanceProfile` is needed".to_owned()),
        (Some(_), Some(_)) => faults.add("role", "`role` and `instanceProfile` exclude each other".to_owned()),
        (Some(""), None) => faults.add("role", "must not be empty".to_owned()),
        (None, Some("")) => faults.add("instanceProfile", "must not be empty".to_owned()),
        _ => {}
    }
    for key in spec.tags.keys() {
        if key.is_empty() {
            faults.add("tags", "a key is empty".to_owned());
        }
        if RESERVED_TAGS.contains(&key.as_str()) || key.starts_with("kubernetes.io/cluster") {
            faults.add(&format!("tags[{key}]"), "is set by the autoscaler".to_owned());
        }
    }
    if spec.ip_prefix_count.is_some_and(|count| count < 0) {
        faults.add("ipPrefixCount", "must be zero or more".to_owned());
    }
    one_of("instanceStorePolicy", spec.instance_store_policy.as_deref(), &["RAID0"], &mut faults);
    if let Some(kubelet) = &spec.kubelet {
        faults.within("kubelet", |faults| check_kubelet(kubelet, faults));
    }
    check_volumes(&spec.block_device_mappings, &mut faults);
    let metadata = &spec.metadata_options;
    faults.within("metadataOptions", |faults| {
        one_of("httpEndpoint", Some(&metadata.http_endpoint), &["enabled", "disabled"], faults);
        one_of("httpProtocolIPv6", Some(&metadata.http_protocol_ipv6), &["enabled", "disabled"], faults);
        one_of("httpTokens", Some(&metadata.http_tokens), &["required", "optional"], faults);
        within("httpPutResponseHopLimit", Some(metadata.http_put_response_hop_limit), 1, 64, faults);
    });
    check_interfaces(spec, &mut faults);
    if let Some(tracking) = &spec.connection_tracking {
        faults.within("connectionTracking", |faults| {
            within("tcpEstablishedTimeout", tracking.tcp_established_timeout.map(i64::from), 60, 432_000, faults);
            within("udpStreamTimeout", tracking.udp_stream_timeout.map(i64::from), 60, 180, faults);
            within("udpTimeout", tracking.udp_timeout.map(i64::from), 30, 60, faults);
        });
    }
    if let Some(options) = &spec.cpu_options {
        one_of(
            "cpuOptions.nestedVirtualization",
            options.nested_virtualization.as_deref(),
            &["enabled", "disabled"],
            &mut faults,
        );
    }
    faults.done()
}

fn one_of(field: &str, value: Option<&str>, known: &[&str], faults: &mut Faults) {
    if let Some(value) = value
        && !known.contains(&value)
    {
        faults.add(field, format!("`{value}` is unknown: use {}", known.join(" or ")));
    }
}

fn within(field: &str, value: Option<i64>, least: i64, most: i64, faults: &mut Faults) {
    if let Some(value) = value
        && !(least..=most).contains(&value)
    {
        faults.add(field, format!("is {value}; it must be from {least} to {most}"));
    }
}

fn count(field: &str, entries: usize, least: usize, most: usize, faults: &mut Faults) {
    if !(least..=most).contains(&entries) {
        faults.add(field, format!("has {entries} entries; {least} to {most} are allowed"));
    }
}

/// Exactly one of several ways to select.
fn exclusive(ways: &[(&str, bool)], faults: &mut Faults) {
    let used = ways.iter().filter(|(_, used)| *used).count();
    if used != 1 {
        let names: Vec<&str> = ways.iter().map(|(name, _)| *name).collect();
        faults.add("", format!("select by exactly one of {}", names.join(", ")));
    }
}

fn check_id(field: &str, id: Option<&str>, prefix: &str, faults: &mut Faults) {
    let fine = |id: &str| {
        id.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    if let Some(id) = id.filter(|id| !fine(id)) {
        faults.add(field, format!("`{id}` is not an id: it begins with `{prefix}`"));
    }
}

fn check_tags(tags: &BTreeMap<String, String>, faults: &mut Faults) {
    if tags.len() > 20 {
        faults.add("tags", format!("has {} entries; at most 20 are allowed", tags.len()));
    }
    if tags.iter().any(|(key, value)| key.is_empty() || value.is_empty()) {
        faults.add("tags", "keys and values must not be empty; `*` is any value".to_owned());
    }
}

fn check_subnets(spec: &EC2NodeClassSpec, faults: &mut Faults) {
    count("subnetSelectorTerms", spec.subnet_selector_terms.len(), 1, 30, faults);
    for (at, term) in spec.subnet_selector_terms.iter().enumerate() {
        faults.within(&format!("subnetSelectorTerms[{at}]"), |faults| {
            exclusive(&[("`tags`", !term.tags.is_empty()), ("`id`", term.id.is_some())], faults);
            check_id("id", term.id.as_deref(), "subnet-", faults);
            check_tags(&term.tags, faults);
        });
    }
}

fn check_groups(spec: &EC2NodeClassSpec, faults: &mut Faults) {
    count("securityGroupSelectorTerms", spec.security_group_selector_terms.len(), 1, 30, faults);
    for (at, term) in spec.security_group_selector_terms.iter().enumerate() {
        faults.within(&format!("securityGroupSelectorTerms[{at}]"), |faults| {
            exclusive(
                &[("`tags`", !term.tags.is_empty()), ("`id`", term.id.is_some()), ("`name`", term.name.is_some())],
                faults,
            );
            check_id("id", term.id.as_deref(), "sg-", faults);
            check_tags(&term.tags, faults);
        });
    }
}

fn check_images(spec: &EC2NodeClassSpec, faults: &mut Faults) {
    count("amiSelectorTerms", spec.ami_selector_terms.len(), 1, 30, faults);
    one_of("amiFamily", spec.ami_family.as_deref(), &FAMILIES, faults);
    let aliases: Vec<&str> = spec.ami_selector_terms.iter().filter_map(|term| term.alias.as_deref()).collect();
    if !aliases.is_empty() && spec.ami_selector_terms.len() > 1 {
        faults.add("amiSelectorTerms", "a term with `alias` must be the only term".to_owned());
    }
    if aliases.is_empty() && spec.ami_family.is_none() {
        faults.add("amiFamily", "is needed when no term has an `alias`".to_owned());
    }
    for (at, term) in spec.ami_selector_terms.iter().enumerate() {
        faults
            .within(&format!("amiSelectorTerms[{at}]"), |faults| check_image(term, spec.ami_family.as_deref(), faults));
    }
}

fn check_image(term: &AmiSelectorTerm, family: Option<&str>, faults: &mut Faults) {
    let by_tags = !term.tags.is_empty() || term.name.is_some() || term.owner.is_some();
    exclusive(
        &[
            ("`alias`", term.alias.is_some()),
            ("`id`", term.id.is_some()),
            ("`ssmParameter`", term.ssm_parameter.is_some()),
            ("`tags`, `name` and `owner`", by_tags),
        ],
        faults,
    );
    check_id("id", term.id.as_deref(), "ami-", faults);
    check_tags(&term.tags, faults);
    let Some(alias) = &term.alias else { return };
    let known = ["al2", "al2023", "bottlerocket", "windows2019", "windows2022", "windows2025"];
    match alias.split_once('@') {
        Some((name, version)) if known.contains(&name) && !version.is_empty() && alias.len() <= 30 => {
            if name.starts_with("windows") && version != "latest" {
                faults.add("alias", "Windows has only the version `latest`".to_owned());
            }
            if family.is_some_and(|family| family != "Custom" && !family.eq_ignore_ascii_case(name)) {
                faults.add("alias", format!("is of another family than `amiFamily: {}`", family.unwrap_or_default()));
            }
        }
        _ => faults.add("alias", format!("`{alias}` is not `family@version` with a family of {}", known.join(", "))),
    }
}

fn check_reservations(spec: &EC2NodeClassSpec, faults: &mut Faults) {
    count("capacityReservationSelectorTerms", spec.capacity_reservation_selector_terms.len(), 0, 30, faults);
    for (at, term) in spec.capacity_reservation_selector_terms.iter().enumerate() {
        faults.within(&format!("capacityReservationSelectorTerms[{at}]"), |faults| {
            check_id("id", term.id.as_deref(), "cr-", faults);
            check_tags(&term.tags, faults);
            if term.id.is_some() && (!term.tags.is_empty() || term.owner_id.is_some()) {
                faults.add("id", "excludes `tags` and `ownerID`".to_owned());
            }
            if term
                .owner_id
                .as_deref()
                .is_some_and(|owner| owner.len() != 12 || !owner.bytes().all(|b| b.is_ascii_digit()))
            {
                faults.add("ownerID", "is an account of twelve digits".to_owned());
            }
            one_of("instanceMatchCriteria", term.instance_match_criteria.as_deref(), &["open", "targeted"], faults);
        });
    }
    if let Some(group) = &spec.placement_group_selector {
        faults.within("placementGroupSelector", |faults| {
            exclusive(&[("`name`", group.name.is_some()), ("`id`", group.id.is_some())], faults);
            check_id("id", group.id.as_deref(), "pg-", faults);
        });
    }
}

fn check_kubelet(kubelet: &KubeletConfiguration, faults: &mut Faults) {
    let resources = ["cpu", "memory", "ephemeral-storage", "pid"];
    for (field, list) in [("systemReserved", &kubelet.system_reserved), ("kubeReserved", &kubelet.kube_reserved)] {
        for (name, quantity) in list {
            one_of(field, Some(name), &resources, faults);
            match Quantity::parse(&quantity.0) {
                Err(error) => faults.add(&format!("{field}[{name}]"), error.to_string()),
                Ok(amount) if amount.units() < 0 => {
                    faults.add(&format!("{field}[{name}]"), "must not be negative".to_owned())
                }
                Ok(_) => {}
            }
        }
    }
    let signals = [
        "memory.available",
        "nodefs.available",
        "nodefs.inodesFree",
        "imagefs.available",
        "imagefs.inodesFree",
        "pid.available",
    ];
    for (field, list) in [("evictionHard", &kubelet.eviction_hard), ("evictionSoft", &kubelet.eviction_soft)] {
        list.keys().for_each(|name| one_of(field, Some(name), &signals, faults));
    }
    if !kubelet.eviction_soft.keys().eq(kubelet.eviction_soft_grace_period.keys()) {
        faults.add("evictionSoftGracePeriod", "must have the same keys as `evictionSoft`".to_owned());
    }
    within("maxPods", kubelet.max_pods.map(i64::from), 0, i64::from(i32::MAX), faults);
    within("podsPerCore", kubelet.pods_per_core.map(i64::from), 0, i64::from(i32::MAX), faults);
    within("imageGCHighThresholdPercent", kubelet.image_gc_high_threshold_percent.map(i64::from), 0, 100, faults);
    within("imageGCLowThresholdPercent", kubelet.image_gc_low_threshold_percent.map(i64::from), 0, 100, faults);
    if let (Some(high), Some(low)) = (kubelet.image_gc_high_threshold_percent, kubelet.image_gc_low_threshold_percent)
        && high <= low
    {
        faults.add("imageGCHighThresholdPercent", "must be above `imageGCLowThresholdPercent`".to_owned());
    }
}

fn check_volumes(mappings: &[BlockDeviceMapping], faults: &mut Faults) {
    count("blockDeviceMappings", mappings.len(), 0, 50, faults);
    if mappings.iter().filter(|mapping| mapping.root_volume).count() > 1 {
        faults.add("blockDeviceMappings", "only one can be the `rootVolume`".to_owned());
    }
    for (at, mapping) in mappings.iter().enumerate() {
        let Some(ebs) = &mapping.ebs else { continue };
        faults.within(&format!("blockDeviceMappings[{at}].ebs"), |faults| {
            if ebs.snapshot_id.is_none() && ebs.volume_size.is_none() {
                faults.add("", "needs `volumeSize` or `snapshotID`".to_owned());
            }
            one_of("volumeType", ebs.volume_type.as_deref(), &VOLUME_TYPES, faults);
            within("volumeInitializationRate", ebs.volume_initialization_rate.map(i64::from), 100, 300, faults);
            if ebs.volume_initialization_rate.is_some() && ebs.snapshot_id.is_none() {
                faults.add("volumeInitializationRate", "needs a `snapshotID`".to_owned());
            }
            if let Some(Err(error)) = ebs.volume_size.as_ref().map(|size| Quantity::parse(&size.0)) {
                faults.add("volumeSize", error.to_string());
            }
        });
    }
}

fn check_interfaces(spec: &EC2NodeClassSpec, faults: &mut Faults) {
    let interfaces = &spec.network_interfaces;
    count("networkInterfaces", interfaces.len(), 0, 150, faults);
    if interfaces.is_empty() {
        return;
    }
    let mut pairs = BTreeSet::new();
    let mut fabric_cards = BTreeSet::new();
    for (at, interface) in interfaces.iter().enumerate() {
        faults.within(&format!("networkInterfaces[{at}]"), |faults| {
            one_of("interfaceType", Some(&interface.interface_type), &["interface", "efa-only"], faults);
            if !pairs.insert((interface.network_card_index, interface.device_index)) {
                faults.add("", "card and device are there twice".to_owned());
            }
            if interface.interface_type == "efa-only" && !fabric_cards.insert(interface.network_card_index) {
                faults.add("", "its card has another `efa-only` interface".to_owned());
            }
        });
    }
    let primary =
        interfaces.iter().any(|i| (i.network_card_index, i.device_index) == (0, 0) && i.interface_type == "interface");
    if !primary {
        faults.add("networkInterfaces", "device 0 of card 0 must be there, as `interface`".to_owned());
    }
}
