//! A node group in the words of the EKS API, and back.

use aws_sdk_eks::operation::create_nodegroup::builders::CreateNodegroupFluentBuilder;
use aws_sdk_eks::types;

use super::eks;
use super::kind::Work;
use super::node_group::{NodeGroup, Taint};
use crate::plan::{Fingerprint, Reference};

/// How many digits of a fingerprint a name ends in.
const DIGITS: usize = 8;

/// The name in EKS: the group's own, and a fingerprint of everything that cannot be changed.
///
/// Two groups of one name can so stand side by side while one replaces the other, and a call that is
/// repeated asks for the same group. `salt` leads to yet another name.
pub fn name_of(group: &NodeGroup, salt: &str) -> String {
    let fixed = (
        (&group.cluster, &group.role, &group.role_id, &group.subnets, &group.launch_template),
        (&group.instance_types, &group.ami_type, &group.capacity_type),
        salt,
    );
    let text = serde_json::to_string(&fixed).unwrap_or_default();
    format!("{}-{}", group.name, Fingerprint::short(&text, DIGITS))
}

/// The group's own name in a name that EKS shows.
fn own_name(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((own, digits)) if digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => own,
        _ => name,
    }
}

/// The call that makes `group` under `name`.
pub fn creation(group: &NodeGroup, name: &str, work: &Work) -> CreateNodegroupFluentBuilder {
    let scaling = types::NodegroupScalingConfig::builder()
        .min_size(group.min)
        .max_size(group.max)
        .desired_size(group.desired)
        .build();
    work.cloud
        .write
        .eks
        .create_nodegroup()
        .cluster_name(group.cluster.as_str())
        .nodegroup_name(name)
        .node_role(group.role.as_str())
        .set_subnets(Some(group.subnets.iter().map(ToString::to_string).collect()))
        .set_instance_types(Some(group.instance_types.clone()))
        .ami_type(group.ami_type.as_str().into())
        .capacity_type(group.capacity_type.as_str().into())
        .launch_template(launch_template(group))
        .version(&group.version)
        .scaling_config(scaling)
        .set_labels(Some(group.labels.clone().into_iter().collect()))
        .set_taints(Some(group.taints.iter().map(taint).collect()))
        .update_config(update_config(group))
        .client_request_token(eks::token(work, "create", name))
        .set_tags(eks::tags_of(work))
}

/// What else an instance is made from.
pub fn launch_template(group: &NodeGroup) -> types::LaunchTemplateSpecification {
    types::LaunchTemplateSpecification::builder()
        .id(group.launch_template.as_str())
        .version(group.launch_template_version.as_str())
        .build()
}

/// How many nodes an update takes away at a time.
pub fn update_config(group: &NodeGroup) -> types::NodegroupUpdateConfig {
    types::NodegroupUpdateConfig::builder()
        .set_max_unavailable(group.max_unavailable)
        .set_max_unavailable_percentage(group.max_unavailable_percentage)
        .build()
}

/// A taint as EKS takes it.
pub fn taint(taint: &Taint) -> types::Taint {
    types::Taint::builder()
        .key(&taint.key)
        .set_value(Some(taint.value.clone()).filter(|value| !value.is_empty()))
        .effect(taint.effect.as_str().into())
        .build()
}

/// The node group that EKS shows, in the form in which the stack wants it.
pub fn body_of(shown: &types::Nodegroup) -> NodeGroup {
    let scaling = shown.scaling_config();
    let size = |size: fn(&types::NodegroupScalingConfig) -> Option<i32>| scaling.and_then(size).unwrap_or_default();
    let template = shown.launch_template();
    let updates = shown.update_config();
    NodeGroup {
        cluster: Reference::known(shown.cluster_name().unwrap_or_default()),
        name: own_name(shown.nodegroup_name().unwrap_or_default()).to_owned(),
        role: Reference::known(shown.node_role().unwrap_or_default()),
        role_id: Reference::known(""),
        subnets: shown.subnets().iter().map(Reference::known).collect(),
        instance_types: shown.instance_types().to_vec(),
        ami_type: shown.ami_type().map_or("", types::AmiTypes::as_str).to_owned(),
        capacity_type: shown.capacity_type().map_or("ON_DEMAND", types::CapacityTypes::as_str).to_owned(),
        launch_template: Reference::known(template.and_then(|template| template.id()).unwrap_or_default()),
        launch_template_version: Reference::known(template.and_then(|template| template.version()).unwrap_or_default()),
        version: shown.version().unwrap_or_default().to_owned(),
        min: size(types::NodegroupScalingConfig::min_size),
        max: size(types::NodegroupScalingConfig::max_size),
        desired: size(types::NodegroupScalingConfig::desired_size),
        labels: eks::tags(shown.labels()),
        taints: shown.taints().iter().map(own_taint).collect(),
        max_unavailable: updates.and_then(types::NodegroupUpdateConfig::max_unavailable),
        max_unavailable_percentage: updates.and_then(types::NodegroupUpdateConfig::max_unavailable_percentage),
    }
}

fn own_taint(shown: &types::Taint) -> Taint {
    Taint {
        key: shown.key().unwrap_or_default().to_owned(),
        value: shown.value().unwrap_or_default().to_owned(),
        effect: shown.effect().map_or("", types::TaintEffect::as_str).to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn group() -> NodeGroup {
        NodeGroup {
            cluster: Reference::known("shop"),
            name: "system".into(),
            role: Reference::known("arn:aws:iam::111122223333:role/nodes"),
            role_id: Reference::known("AROA1"),
            subnets: [Reference::known("subnet-a")].into(),
            instance_types: vec!["t3.medium".into()],
            ami_type: "AL2023_x86_64_STANDARD".into(),
            capacity_type: "ON_DEMAND".into(),
            launch_template: Reference::known("lt-1"),
            launch_template_version: Reference::known("1"),
            version: "1.35".into(),
            min: 1,
            max: 3,
            desired: 2,
            labels: [].into(),
            taints: [].into(),
            max_unavailable: Some(1),
            max_unavailable_percentage: None,
        }
    }

    #[test]
    fn a_group_that_has_to_be_made_anew_gets_another_name_and_only_that_one() {
        let one = group();
        let name = name_of(&one, "");
        assert_eq!(own_name(&name), "system");
        let scaled = NodeGroup { max: 9, version: "1.36".into(), ..one.clone() };
        assert_eq!(name_of(&scaled, ""), name);
        let others = [
            NodeGroup { capacity_type: "SPOT".into(), ..one.clone() },
            NodeGroup { role_id: Reference::known("AROA2"), ..one.clone() },
            NodeGroup { launch_template: Reference::known("lt-2"), ..one.clone() },
        ];
        assert!(others.iter().all(|other| name_of(other, "") != name));
        assert_ne!(name_of(&one, "salt"), name);
    }

    #[test]
    fn a_name_without_a_fingerprint_is_its_own() {
        assert_eq!(own_name("system-workers"), "system-workers");
        assert_eq!(own_name("system"), "system");
        assert_eq!(own_name("system-deadbeef-0123abcd"), "system-deadbeef");
    }
}
