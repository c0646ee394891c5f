//! Why a node is still there, and how it stands: read from the objects of a cluster, for people.

use anyhow::{Context as _, Result, anyhow};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Node};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde::Serialize;
use std::fmt;

use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::lifecycle::reasons::STAYS_BECAUSE;

const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";
const TERMINATION_TIME: &str = "karpenter.sh/nodeclaim-termination-timestamp";

/// What is known about a node.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The node.
    pub node: Option<String>,
    /// Its claim.
    pub claim: Option<String>,
    /// Its pool.
    pub pool: Option<String>,
    /// Instance type, zone and capacity type, where they are known.
    pub machine: Vec<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// In one sentence: why it stays, or goes.
    pub summary: String,
    /// What else speaks for it.
    pub reasons: Vec<String>,
    /// What the claim says of itself.
    pub conditions: Vec<Told>,
    /// What has been said about node and claim, the newest first.
    pub events: Vec<Said>,
}

/// A condition.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// Its type.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// An event.
#[derive(Clone, Debug, Serialize)]
pub struct Said {
    /// When.
    pub at: Timestamp,
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
}

/// Looks up a node, or a claim, by name.
///
/// # Errors
/// There is neither, or the API server cannot be asked.
pub async fn look_up(client: &Client, name: &str) -> Result<Explanation> {
    let nodes = Api::<Node>::all(client.clone());
    let claims = Api::<NodeClaim>::all(client.clone());
    let unreachable = "the cluster cannot be asked";
    let mut node = nodes.get_opt(name).await.context(unreachable)?;
    let all = claims.list(&ListParams::default()).await;
    let all = all.context("NodeClaims cannot be listed; is the autoscaler installed?")?;
    let provider = node.as_ref().and_then(|node| node.spec.as_ref()?.provider_id.clone());
    let claim = all.items.into_iter().find(|claim| {
        let status = claim.status.as_ref();
        claim.name_any() == name
            || status.and_then(|status| status.node_name.as_deref()) == Some(name)
            || (provider.is_some() && status.and_then(|status| status.provider_id.clone()) == provider)
    });
    if node.is_none()
        && let Some(of_claim) = claim.as_ref().and_then(|claim| claim.status.as_ref()?.node_name.clone())
    {
        node = nodes.get_opt(&of_claim).await.context(unreachable)?;
    }
    if node.is_none() && claim.is_none() {
        return Err(anyhow!("there is neither a node nor a NodeClaim called `{name}`"));
    }
    let names: Vec<String> =
        [node.as_ref().map(Node::name_any), claim.as_ref().map(NodeClaim::name_any)].into_iter().flatten().collect();
    let events = events(client, &names).await.unwrap_or_default();
    Ok(explain(node.as_ref(), claim.as_ref(), events))
}

async fn events(client: &Client, names: &[String]) -> Result<Vec<Said>> {
    let api = Api::<Event>::namespaced(client.clone(), "default");
    let mut all = Vec::new();
    for name in names {
        let found = api.list(&ListParams::default().fields(&format!("involvedObject.name={name}"))).await?;
        all.extend(found.items.into_iter().filter_map(|event| {
            let at = event.last_timestamp.map(|time| time.0).or(event.event_time.map(|time| time.0))?;
            let (reason, message) = (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
            Some(Said { at, reason, message })
        }));
    }
    all.sort_by_key(|said| std::cmp::Reverse(said.at));
    all.truncate(10);
    Ok(all)
}

fn explain(node: Option<&Node>, claim: Option<&NodeClaim>, events: Vec<Said>) -> Explanation {
    let label = |key: &str| {
        let of = |metadata: &ObjectMeta| metadata.labels.as_ref().and_then(|labels| labels.get(key).cloned());
        node.and_then(|node| of(&node.metadata)).or_else(|| claim.and_then(|claim| of(&claim.metadata)))
    };
    let conditions = claim.and_then(|claim| claim.status.as_ref()).into_iter().flat_map(|status| &status.conditions);
    let conditions: Vec<Told> = conditions
        .map(|condition| Told {
            kind: condition.type_.clone(),
            status: condition.status.clone(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            since: condition.last_transition_time.0,
        })
        .collect();
    let machine = ["node.kubernetes.io/instance-type", "topology.kubernetes.io/zone", "karpenter.sh/capacity-type"];
    let created = node.and_then(|node| node.metadata.creation_timestamp.as_ref());
    let created = created.or_else(|| claim.and_then(|claim| claim.metadata.creation_timestamp.as_ref()));
    Explanation {
        node: node.map(Node::name_any),
        claim: claim.map(NodeClaim::name_any),
        pool: label("karpenter.sh/nodepool"),
        machine: machine.into_iter().filter_map(label).collect(),
        created: created.map(|time| time.0),
        summary: summary(node, claim, &conditions, &events),
        reasons: reasons(node, claim),
        conditions,
        events,
    }
}

/// The first of these that holds, from the end of a node's life to its beginning.
fn summary(node: Option<&Node>, claim: Option<&NodeClaim>, conditions: &[Told], events: &[Said]) -> String {
    let told = |kind: &str| conditions.iter().find(|told| told.kind == kind);
    let holds = |kind: &str| told(kind).filter(|told| told.status == "True");
    let why = |told: &Told| if told.message.is_empty() { told.reason.clone() } else { told.message.clone() };
    let said = |reason: &str| events.iter().find(|said| said.reason == reason);
    let Some(claim) = claim else {
        return "it belongs to no NodeClaim: the autoscaler counts its room and never takes it away".to_owned();
    };
    let leaving = claim.metadata.deletion_timestamp.is_some()
        || node.is_some_and(|node| node.metadata.deletion_timestamp.is_some());
    if leaving {
        let waits = said("FailedDraining").or(said("AwaitingVolumeDetachment"));
        return waits.map_or("it is going".to_owned(), |said| format!("it is going, and waits: {}", said.message));
    }
    if let Some(told) = holds("DisruptionReason") {
        return format!("it will go as soon as what replaces it is ready: {}", why(told));
    }
    for (kind, what) in [
        ("Launched", "it has no instance yet"),
        ("Registered", "its instance has not become a node yet"),
        ("Initialized", "its node has not started up yet"),
    ] {
        match told(kind) {
            Some(told) if told.status == "True" => {}
            Some(told) => return format!("{what}: {}", why(told)),
            None => return what.to_owned(),
        }
    }
    let stays = claim.metadata.annotations.as_ref().and_then(|all| all.get(STAYS_BECAUSE));
    if let Some(stays) = stays {
        let drifted = holds("Drifted").map(|told| format!("it is not as its pool and class say: {}; ", why(told)));
        return format!("{}it stays: {stays}", drifted.unwrap_or_default());
    }
    let blocked = said("DisruptionBlocked").map(|said| said.message.clone());
    if let Some(told) = holds("Drifted") {
        let blocked = blocked.map(|why| format!("; it stays because {why}")).unwrap_or_default();
        return format!("it is not as its pool and class say: {}{blocked}", why(told));
    }
    if let Some(blocked) = blocked {
        return format!("it stays: {blocked}");
    }
    if let Some(said) = said("Unconsolidatable") {
        return format!("it stays: {}", said.message);
    }
    match holds("Consolidatable") {
        Some(_) => "it stays: nothing cheaper has been found for its pods".to_owned(),
        None => "it stays: pods have come or gone within its pool's `consolidateAfter`".to_owned(),
    }
}

fn reasons(node: Option<&Node>, claim: Option<&NodeClaim>) -> Vec<String> {
    let annotated =
        |metadata: &ObjectMeta, key: &str| metadata.annotations.as_ref().and_then(|all| all.get(key).cloned());
    let mut reasons = Vec::new();
    let objects = [node.map(|node| ("the node", &node.metadata)), claim.map(|claim| ("the claim", &claim.metadata))];
    for (what, metadata) in objects.into_iter().flatten() {
        if annotated(metadata, DO_NOT_DISRUPT).as_deref() == Some("true") {
            reasons.push(format!(
                "{what} is annotated with `{DO_NOT_DISRUPT}`: nothing takes it away but its end of life"
            ));
        }
        if let Some(time) = annotated(metadata, TERMINATION_TIME) {
            reasons.push(format!("its pods are ended by force at {time}"));
        }
    }
    if let Some(node) = node.and_then(|node| node.spec.as_ref()) {
        if node.unschedulable == Some(true) {
            reasons.push("the node is cordoned: it gets no new pods".to_owned());
        }
        let taints = node.taints.iter().flatten().filter(|taint| taint.key.starts_with("karpenter.sh/"));
        reasons.extend(taints.map(|taint| format!("the node has the taint `{}`", taint.key)));
    }
    if let Some(claim) = claim
        && claim.spec.expire_after != "Never"
    {
        reasons.push(format!("it is replaced {} after it was made", claim.spec.expire_after));
    }
    reasons
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.node.as_deref().or(self.claim.as_deref()).unwrap_or_default();
        writeln!(out, "{name}: {}", self.summary)?;
        let facts = [
            ("claim", self.claim.clone()),
            ("pool", self.pool.clone()),
            ("machine", (!self.machine.is_empty()).then(|| self.machine.join(", "))),
            ("made", self.created.map(|time| time.to_string())),
        ];
        for (what, fact) in facts {
            if let Some(fact) = fact {
                writeln!(out, "  {what:<8} {fact}")?;
            }
        }
        self.reasons.iter().try_for_each(|reason| writeln!(out, "  - {reason}"))?;
        if !self.conditions.is_empty() {
            writeln!(out, "\nconditions")?;
        }
        for told in &self.conditions {
            let words = [told.reason.as_str(), told.message.as_str()];
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty() && *word != told.kind).collect();
            writeln!(out, "  {:<22} {:<8} {}", told.kind, told.status, words.join(": "))?;
        }
        if !self.events.is_empty() {
            writeln!(out, "\nevents")?;
        }
        self.events.iter().try_for_each(|said| writeln!(out, "  {:.0} {}: {}", said.at, said.reason, said.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn claim(conditions: &[(&str, &str, &str)]) -> NodeClaim {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(kind, status, message)| {
                json!({ "type": kind, "status": status, "reason": kind, "message": message,
                    "lastTransitionTime": "2026-01-01T00:00:00Z" })
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": "default-a" },
            "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } },
            "status": { "conditions": conditions },
        }))
        .expect("a claim")
    }

    const UP: [(&str, &str, &str); 3] =
        [("Launched", "True", ""), ("Registered", "True", ""), ("Initialized", "True", "")];

    #[test]
    fn the_first_thing_that_holds_is_said() {
        let of = |conditions: &[(&str, &str, &str)], events: Vec<Said>| {
            explain(None, Some(&claim(conditions)), events).summary
        };
        assert!(of(&[], Vec::new()).contains("no instance yet"));
        assert!(
            of(&[UP[0], ("Registered", "Unknown", "the kubelet is silent")], Vec::new())
                .ends_with("the kubelet is silent")
        );
        let drifted = [UP[0], UP[1], UP[2], ("Drifted", "True", "the image is another")];
        let blocked =
            Said { at: Timestamp::UNIX_EPOCH, reason: "DisruptionBlocked".into(), message: "a PDB allows none".into() };
        let text = of(&drifted, vec![blocked]);
        assert!(text.contains("the image is another") && text.contains("a PDB allows none"), "{text}");
        let mut stays = claim(&UP);
        stays.metadata.annotations = Some([(STAYS_BECAUSE.to_owned(), "its pods fit nowhere".to_owned())].into());
        assert_eq!(explain(None, Some(&stays), Vec::new()).summary, "it stays: its pods fit nowhere");
        assert!(explain(Some(&Node::default()), None, Vec::new()).summary.contains("no NodeClaim"));
    }
}
