//! One round of changes, or one for each minor version that a cluster goes up: control plane, then
//! add-ons, then node groups, then the next minor.

use std::str::FromStr;

use crate::aws::Kinds;
use crate::phases::{self, Surroundings};
use crate::plan::{Action, Change, Desired, FieldChange, Observed, Predictions, Problem, Round, diff_foretold};
use crate::spec::{KubernetesVersion, Stack};

/// The rounds that bring the cloud from `observed` to `stack`.
///
/// # Errors
/// Changes that cannot be made.
pub fn between(
    stack: &Stack,
    surroundings: &Surroundings,
    observed: &[Observed],
    predictions: &Predictions,
) -> Result<Vec<Round>, Vec<Problem>> {
    let steps = versions_on_the_way(stack, observed);
    let mut rounds: Vec<Round> = Vec::with_capacity(steps.len());
    let mut previous: Option<Vec<Desired>> = None;
    for version in &steps {
        let desired = phases::resources(&at_version(stack, *version), surroundings);
        let changes = match &previous {
            None => diff_foretold(&desired, observed, predictions, &Kinds)?,
            Some(earlier) => further(earlier, &desired, observed),
        };
        let title = version.filter(|_| steps.len() > 1).map(|version| format!("Kubernetes {version}"));
        rounds.push(Round { title, changes });
        previous = Some(desired);
    }
    Ok(rounds)
}

/// What the first round wants.
pub fn first_wish(stack: &Stack, surroundings: &Surroundings, observed: &[Observed]) -> Vec<Desired> {
    let version = versions_on_the_way(stack, observed).first().copied().flatten();
    phases::resources(&at_version(stack, version), surroundings)
}

/// The versions that the cluster takes one after the other; one `None` where it stays or is new.
fn versions_on_the_way(stack: &Stack, observed: &[Observed]) -> Vec<Option<KubernetesVersion>> {
    let wanted = stack.cluster.as_ref().map(|cluster| cluster.version);
    let current = observed
        .iter()
        .find(|resource| resource.kind == "cluster")
        .and_then(|cluster| KubernetesVersion::from_str(cluster.body.get("version")?.as_str()?).ok());
    match (current, wanted) {
        (Some(current), Some(wanted)) if current.major == wanted.major && current.minor < wanted.minor => {
            let first = if nodes_are_behind(current, observed) { current.minor } else { current.minor + 1 };
            (first..=wanted.minor).map(|minor| Some(KubernetesVersion { minor, ..wanted })).collect()
        }
        _ => vec![None],
    }
}

/// Whether a run that was cut off has left node groups at an earlier version than the control plane:
/// EKS takes the control plane no further before they have followed.
fn nodes_are_behind(current: KubernetesVersion, observed: &[Observed]) -> bool {
    let groups = observed.iter().filter(|resource| resource.kind == "node-group");
    let mut versions =
        groups.filter_map(|group| KubernetesVersion::from_str(group.body.get("version")?.as_str()?).ok());
    versions.any(|version| version < current)
}

fn at_version(stack: &Stack, version: Option<KubernetesVersion>) -> Stack {
    let mut stack = stack.clone();
    if let (Some(cluster), Some(version)) = (&mut stack.cluster, version) {
        cluster.version = version;
    }
    stack
}

/// What a later round changes: the fields in which its wish differs from the round before.
fn further(earlier: &[Desired], later: &[Desired], observed: &[Observed]) -> Vec<Change> {
    let before = |wanted: &Desired| observed.iter().find(|resource| resource.address == wanted.address).cloned();
    later
        .iter()
        .filter_map(|wanted| {
            let previous = earlier.iter().find(|resource| resource.address == wanted.address)?;
            let fields = differing(previous, wanted);
            let action = if fields.is_empty() { Action::Keep } else { Action::Update };
            Some(Change {
                address: wanted.address.clone(),
                kind: wanted.kind.clone(),
                action,
                before: before(wanted),
                after: Some(wanted.clone()),
                fields,
                tags: crate::plan::TagChange::default(),
                marks: std::collections::BTreeSet::new(),
                reason: None,
            })
        })
        .collect()
}

fn differing(previous: &Desired, wanted: &Desired) -> Vec<FieldChange> {
    let fields = wanted.body.as_object().into_iter().flatten();
    fields
        .filter_map(|(field, after)| {
            let before = previous.body.get(field).cloned().unwrap_or_default();
            (before != *after).then(|| FieldChange {
                field: field.clone(),
                before,
                after: after.clone(),
                forces_replacement: false,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::{State, Tags};

    fn standing(kind: &str, version: &str) -> Observed {
        Observed {
            address: kind.into(),
            kind: kind.to_owned(),
            body: json!({ "version": version }),
            outputs: serde_json::Map::new(),
            tags: Tags::new(),
            state: State::Ready,
        }
    }

    fn steps(cluster: &str, group: &str, wanted: &str) -> Vec<String> {
        let stack: Stack = serde_json::from_value(json!({
            "apiVersion": "eksup.dev/v1",
            "kind": "Stack",
            "metadata": { "name": "shop", "region": "eu-central-1" },
            "cluster": { "version": wanted },
        }))
        .expect("a stack of the test");
        let observed = [standing("cluster", cluster), standing("node-group", group)];
        versions_on_the_way(&stack, &observed).into_iter().flatten().map(|version| version.to_string()).collect()
    }

    #[test]
    fn a_cluster_takes_every_minor_version_on_the_way() {
        assert_eq!(steps("1.33", "1.33", "1.35"), ["1.34", "1.35"]);
        assert!(steps("1.35", "1.35", "1.35").is_empty());
    }

    #[test]
    fn node_groups_that_a_run_left_behind_follow_first() {
        assert_eq!(steps("1.34", "1.33", "1.35"), ["1.34", "1.35"]);
        assert!(steps("1.35", "1.34", "1.35").is_empty(), "one round brings them along");
    }
}
