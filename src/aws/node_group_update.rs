//! Changes a node group as it stands: the version of its nodes, then everything else, each waited
//! for before the next.

use std::collections::HashMap;

use aws_sdk_eks::types;

use super::error::{CloudError, call};
use super::kind::{Found, Work};
use super::node_group::{NodeGroup, Taint};
use super::{eks, node_group_request};

/// Carries out what `work.fields` names.
///
/// # Errors
/// The first step that fails, with EKS's reasons.
pub async fn carry_out(group: &NodeGroup, found: &Found<NodeGroup>, work: &Work) -> Result<(), CloudError> {
    let changes = |fields: &[&str]| fields.iter().any(|field| work.changes(field));
    if changes(&["version", "launchTemplateVersion"]) {
        renew_nodes(group, found, work).await?;
    }
    if changes(&["min", "max", "labels", "taints", "maxUnavailable", "maxUnavailablePercentage"]) {
        configure(group, found, work).await?;
    }
    Ok(())
}

/// EKS replaces the nodes one after another and drains each.
async fn renew_nodes(group: &NodeGroup, found: &Found<NodeGroup>, work: &Work) -> Result<(), CloudError> {
    const ACTION: &str = "eks:UpdateNodegroupVersion";
    let name = &found.outputs.name;
    let payload = format!("{}/{}", group.version, group.launch_template_version);
    let template = work.changes("launchTemplateVersion").then(|| node_group_request::launch_template(group));
    let sending = work
        .cloud
        .write
        .eks
        .update_nodegroup_version()
        .cluster_name(&found.outputs.cluster)
        .nodegroup_name(name)
        .set_version(work.changes("version").then(|| group.version.clone()))
        .set_launch_template(template)
        .client_request_token(eks::token(work, "version", &payload));
    let answer = call(ACTION, sending.send()).await.map(|answer| answer.update);
    eks::finish(ACTION, answer, target(found), work).await
}

async fn configure(group: &NodeGroup, found: &Found<NodeGroup>, work: &Work) -> Result<(), CloudError> {
    const ACTION: &str = "eks:UpdateNodegroupConfig";
    let updates = work.changes("maxUnavailable") || work.changes("maxUnavailablePercentage");
    let payload = serde_json::to_string(group).unwrap_or_default();
    let sending = work
        .cloud
        .write
        .eks
        .update_nodegroup_config()
        .cluster_name(&found.outputs.cluster)
        .nodegroup_name(&found.outputs.name)
        .set_scaling_config((work.changes("min") || work.changes("max")).then(|| scaling(group, found.body.desired)))
        .set_labels(work.changes("labels").then(|| labels(group, &found.body)))
        .set_taints(work.changes("taints").then(|| taints(group, &found.body)))
        .set_update_config(updates.then(|| node_group_request::update_config(group)))
        .client_request_token(eks::token(work, "config", &payload));
    let answer = call(ACTION, sending.send()).await.map(|answer| answer.update);
    eks::finish(ACTION, answer, target(found), work).await
}

fn target(found: &Found<NodeGroup>) -> eks::Target<'_> {
    eks::Target { cluster: &found.outputs.cluster, node_group: Some(&found.outputs.name), ..eks::Target::default() }
}

/// The bounds; how many nodes there are now is said only where the new bounds do not allow it.
fn scaling(group: &NodeGroup, now: i32) -> types::NodegroupScalingConfig {
    let within = now.max(group.min).min(group.max);
    types::NodegroupScalingConfig::builder()
        .min_size(group.min)
        .max_size(group.max)
        .set_desired_size((within != now).then_some(within))
        .build()
}

fn labels(wanted: &NodeGroup, standing: &NodeGroup) -> types::UpdateLabelsPayload {
    let set: HashMap<String, String> = wanted
        .labels
        .iter()
        .filter(|(key, value)| standing.labels.get(*key) != Some(*value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let unset: Vec<String> = standing.labels.keys().filter(|key| !wanted.labels.contains_key(*key)).cloned().collect();
    types::UpdateLabelsPayload::builder()
        .set_add_or_update_labels((!set.is_empty()).then_some(set))
        .set_remove_labels((!unset.is_empty()).then_some(unset))
        .build()
}

/// A taint is known by its key and effect: another value is written over it.
fn taints(wanted: &NodeGroup, standing: &NodeGroup) -> types::UpdateTaintsPayload {
    let stays = |old: &Taint| wanted.taints.iter().any(|new| (&new.key, &new.effect) == (&old.key, &old.effect));
    let set: Vec<types::Taint> = wanted.taints.difference(&standing.taints).map(node_group_request::taint).collect();
    let unset: Vec<types::Taint> =
        standing.taints.iter().filter(|old| !stays(old)).map(node_group_request::taint).collect();
    types::UpdateTaintsPayload::builder()
        .set_add_or_update_taints((!set.is_empty()).then_some(set))
        .set_remove_taints((!unset.is_empty()).then_some(unset))
        .build()
}

#[cfg(test)]
mod tests {
    use super::super::node_group_request::tests::group;
    use super::*;

    fn taint(key: &str, value: &str, effect: &str) -> Taint {
        Taint { key: key.into(), value: value.into(), effect: effect.into() }
    }

    #[test]
    fn the_number_of_nodes_is_left_alone_within_the_bounds() {
        assert_eq!(scaling(&group(), 2).desired_size(), None);
        assert_eq!(scaling(&group(), 5).desired_size(), Some(3));
        assert_eq!(scaling(&group(), 0).desired_size(), Some(1));
    }

    #[test]
    fn a_taint_with_another_value_is_written_over_and_not_removed() {
        let standing = NodeGroup {
            taints: [taint("team", "web", "NO_SCHEDULE"), taint("old", "", "NO_EXECUTE")].into(),
            ..group()
        };
        let wanted = NodeGroup { taints: [taint("team", "shop", "NO_SCHEDULE")].into(), ..group() };
        let payload = taints(&wanted, &standing);
        let keys = |list: &[types::Taint]| list.iter().filter_map(|taint| taint.key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(payload.add_or_update_taints()), ["team"]);
        assert_eq!(keys(payload.remove_taints()), ["old"]);
    }

    #[test]
    fn only_labels_that_differ_are_sent() {
        let standing = NodeGroup { labels: [("a".into(), "1".into()), ("b".into(), "2".into())].into(), ..group() };
        let wanted = NodeGroup { labels: [("a".into(), "1".into()), ("c".into(), "3".into())].into(), ..group() };
        let payload = labels(&wanted, &standing);
        assert_eq!(payload.add_or_update_labels().map(HashMap::len), Some(1));
        assert_eq!(payload.remove_labels(), ["b"]);
    }
}
