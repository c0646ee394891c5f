//! Pools: how they stand, what their nodes have together, their hash, and their end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::hashes;
use super::registrations::{Registrations, Seen};
use super::stamping::Stamp;
use crate::autoscaler::api::node_pool::NodePoolStatus;
use crate::autoscaler::api::{NodeClaim, NodePool};
use crate::autoscaler::runtime::writes::{self, Truth, set_condition, truth_of};
use crate::autoscaler::runtime::{Context, Shared};
use crate::autoscaler::state::live::{Kind, Live, LiveClaim, LivePool, Observed};
use crate::autoscaler::state::resources::write_amount;

/// What changes together is written together.
const GATHER: Duration = Duration::from_millis(300);
const AGAIN: Duration = Duration::from_secs(60);
const AFTER_FAILURE: Duration = Duration::from_secs(1);

const STAMP: Stamp = Stamp { hash: hashes::POOL_HASH, version: hashes::POOL_HASH_VERSION };

/// Keeps pools as they are.
///
/// # Errors
/// None: what fails is tried again.
pub async fn run(context: Context, stop: CancellationToken) -> Result<()> {
    let mut changes = context.live.changes(&[Kind::Pool, Kind::Class, Kind::Node, Kind::Claim]);
    let mut registrations = Registrations::default();
    let mut pause = AGAIN;
    loop {
        tokio::select! {
            () = changes.next() => {}
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return Ok(()),
        }
        let work = look(&context.live, &mut registrations, context.now());
        pause = AGAIN;
        for pool in work {
            let name = Arc::clone(&pool.pool.name);
            if let Err(error) = pool.write(&context).await
                && !writes::is_missing(&error)
            {
                tracing::warn!(nodepool = &*name, %error, "a NodePool cannot be written, and is tried again");
                pause = AFTER_FAILURE;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(GATHER) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// What is to be written for a pool.
struct Work {
    pool: LivePool,
    status: Option<Value>,
    claims: Vec<LiveClaim>,
    hash: String,
}

fn look(live: &Shared<Live>, registrations: &mut Registrations, now: Timestamp) -> Vec<Work> {
    let live = live.lock();
    registrations.see(live.claims().filter_map(|claim| {
        let (launched, registered) = (claim.is("Launched"), claim.is("Registered"));
        Some(Seen { claim: &claim.name, pool: claim.pool()?, launched, registered })
    }));
    live.pools().map(|pool| Work::on(&live, pool, registrations, now)).collect()
}

impl Work {
    fn on(live: &Live, pool: &LivePool, registrations: &mut Registrations, now: Timestamp) -> Self {
        let class = live.class(pool.class()).and_then(|class| class.object.metadata.generation).unwrap_or(0);
        registrations.generation(&pool.name, (pool.object.metadata.generation.unwrap_or(0), class));
        let old = pool.object.status.clone().unwrap_or_default();
        let new = desired(live, pool, registrations.healthy(&pool.name), now);
        Self {
            status: (old != new).then(|| change(&old, &new)),
            claims: live.claims().filter(|claim| claim.pool() == Some(&*pool.name)).cloned().collect(),
            hash: hashes::pool(&pool.object.spec),
            pool: pool.clone(),
        }
    }

    async fn write(self, context: &Context) -> kube::Result<()> {
        let name = &*self.pool.name;
        if let Some(status) = self.status {
            let pool = writes::patch_status::<NodePool>(&context.client, name, status).await?;
            context.live.apply(Observed::Pool(Box::new(pool)));
        }
        if self.pool.deletion().is_some() {
            for claim in self.claims.iter().filter(|claim| claim.deletion().is_none()) {
                writes::delete::<NodeClaim>(&context.client, &claim.name, Some(claim.uid.to_string())).await?;
            }
            return Ok(());
        }
        // Claims before their pool: whoever is stopped between the two begins again with the claims.
        STAMP.renew(context, &self.claims, &self.hash).await?;
        if !STAMP.is_on(&self.pool.object.metadata, &self.hash) {
            let change = json!({ "metadata": { "annotations": STAMP.of(&self.hash) } });
            let pool = writes::patch::<NodePool>(&context.client, name, &change).await?;
            context.live.apply(Observed::Pool(Box::new(pool)));
        }
        Ok(())
    }
}

/// How a pool stands.
fn desired(live: &Live, pool: &LivePool, registers: Option<bool>, now: Timestamp) -> NodePoolStatus {
    let mut status = pool.object.status.clone().unwrap_or_default();
    let (used, nodes) = live.usage(&pool.name);
    let resources = &live.names().resources;
    status.resources =
        used.iter().map(|(id, amount)| (resources.name(id).to_owned(), Quantity(write_amount(id, amount)))).collect();
    for basic in ["cpu", "memory", "pods", "ephemeral-storage"] {
        status.resources.entry(basic.to_owned()).or_insert_with(|| Quantity("0".to_owned()));
    }
    status.resources.insert("nodes".to_owned(), Quantity(nodes.to_string()));
    status.nodes = Some(nodes);
    let class = live.class(pool.class());
    status.node_class_observed_generation = class.and_then(|class| class.object.metadata.generation);
    conditions(live, pool, registers, &mut status.conditions, now);
    status
}

fn conditions(live: &Live, pool: &LivePool, registers: Option<bool>, all: &mut Vec<Condition>, now: Timestamp) {
    let generation = pool.object.metadata.generation;
    let mut set = |kind: &str, truth: Truth, reason: &str, message: &str| {
        set_condition(all, kind, truth, reason, message, generation, now);
    };
    match &pool.read {
        Ok(_) => set("ValidationSucceeded", Truth::True, "", ""),
        Err(faults) => {
            let faults: Vec<String> =
                faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect();
            set("ValidationSucceeded", Truth::False, "NodePoolValidationFailed", &faults.join("; "));
        }
    }
    let name = pool.class();
    match live.class(name) {
        None => {
            let message = format!(
                "there is no EC2NodeClass `{name}`; make it, or name another in `spec.template.spec.nodeClassRef.name`"
            );
            set("NodeClassReady", Truth::False, "NodeClassNotFound", &message);
        }
        Some(class) if class.deletion().is_some() => {
            set(
                "NodeClassReady",
                Truth::False,
                "NodeClassTerminating",
                &format!("the EC2NodeClass `{name}` is being deleted"),
            );
        }
        Some(class) => {
            let status = class.object.status.as_ref();
            let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
            let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
            let message = ready.map(|ready| ready.message.as_str()).unwrap_or_default();
            match truth_of(conditions, "Ready") {
                Some(Truth::True) => set("NodeClassReady", Truth::True, "", ""),
                Some(Truth::False) => {
                    set(
                        "NodeClassReady",
                        Truth::False,
                        "NodeClassNotReady",
                        &format!("the EC2NodeClass `{name}`: {message}"),
                    );
                }
                _ => set(
                    "NodeClassReady",
                    Truth::Unknown,
                    "NodeClassReadinessUnknown",
                    &format!("the EC2NodeClass `{name}` has not been looked up yet"),
                ),
            }
        }
    }
    let healthy = match registers {
        Some(true) => (Truth::True, "RegistrationSucceeded", ""),
        Some(false) => (
            Truth::False,
            "RegistrationFailed",
            "half or more of the last launches never became nodes; look at the instances' console output, their \
             subnets' routes, and the access entry of their role",
        ),
        None => (Truth::Unknown, "AwaitingReconciliation", "nothing has been launched since the last change"),
    };
    set("NodeRegistrationHealthy", healthy.0, healthy.1, healthy.2);
    ready(all, generation, now);
}

/// `Ready` is that the pool can be used: a sum of two others.
fn ready(all: &mut Vec<Condition>, generation: Option<i64>, now: Timestamp) {
    let parts: Vec<Condition> =
        all.iter().filter(|c| matches!(c.type_.as_str(), "ValidationSucceeded" | "NodeClassReady")).cloned().collect();
    let worst = parts.iter().find(|c| c.status == "False").or(parts.iter().find(|c| c.status != "True"));
    match worst {
        None => set_condition(all, "Ready", Truth::True, "", "", generation, now),
        Some(worst) => {
            let truth = if worst.status == "False" { Truth::False } else { Truth::Unknown };
            let message = format!("{}: {}", worst.type_, worst.message);
            set_condition(all, "Ready", truth, &worst.reason, &message, generation, now)
        }
    };
}

/// The new status as a merge: what is there no more has to be said.
fn change(old: &NodePoolStatus, new: &NodePoolStatus) -> Value {
    let mut value = serde_json::to_value(new).unwrap_or_default();
    let resources: BTreeMap<&String, Option<&Quantity>> =
        old.resources.keys().map(|key| (key, None)).chain(new.resources.iter().map(|(k, v)| (k, Some(v)))).collect();
    value["resources"] = json!(resources);
    value["nodeClassObservedGeneration"] = json!(new.node_class_observed_generation);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(objects: &[Value]) -> Live {
        let mut live = Live::default();
        for object in objects {
            let object = object.clone();
            let read = match object["kind"].as_str() {
                Some("NodePool") => Observed::Pool(serde_json::from_value(object).expect("a pool")),
                Some("EC2NodeClass") => Observed::Class(serde_json::from_value(object).expect("a class")),
                _ => Observed::Node(serde_json::from_value(object).expect("a node")),
            };
            live.apply(read, Timestamp::UNIX_EPOCH);
        }
        live
    }

    fn pool(extra: Value) -> Value {
        let mut spec = json!({ "requirements": [], "nodeClassRef": {
            "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" } });
        for (key, value) in extra.as_object().expect("fields") {
            spec[key] = value.clone();
        }
        json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "default", "generation": 3 },
            "spec": { "template": { "spec": spec } } })
    }

    fn class(ready: &str) -> Value {
        json!({ "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass",
            "metadata": { "name": "default", "generation": 7 },
            "spec": { "subnetSelectorTerms": [], "securityGroupSelectorTerms": [], "amiSelectorTerms": [], "role": "nodes" },
            "status": { "conditions": [{ "type": "Ready", "status": ready, "reason": "Ready", "message": "no subnet",
                "lastTransitionTime": "2026-01-01T00:00:00Z" }] } })
    }

    fn status(objects: &[Value]) -> NodePoolStatus {
        let live = live(objects);
        desired(&live, live.pool("default").expect("the pool"), None, Timestamp::UNIX_EPOCH)
    }

    fn told(status: &NodePoolStatus, kind: &str) -> (String, String) {
        let found = status.conditions.iter().find(|condition| condition.type_ == kind).expect("the condition");
        (found.status.clone(), found.reason.clone())
    }

    #[test]
    fn a_pool_is_ready_when_it_is_valid_and_its_class_is_ready() {
        let words = |truth: &str, reason: &str| (truth.to_owned(), reason.to_owned());
        let pool_alone = status(&[pool(json!({}))]);
        assert_eq!(told(&pool_alone, "Ready"), words("False", "NodeClassNotFound"));
        assert_eq!(told(&status(&[pool(json!({})), class("Unknown")]), "Ready").0, "Unknown");
        assert_eq!(told(&status(&[pool(json!({})), class("False")]), "Ready"), words("False", "NodeClassNotReady"));
        let both = status(&[pool(json!({})), class("True")]);
        assert_eq!(told(&both, "Ready"), words("True", "Ready"));
        assert_eq!(both.node_class_observed_generation, Some(7));
        assert!(both.conditions.iter().all(|condition| condition.observed_generation == Some(3)));
        let wrong = json!({ "requirements": [{ "key": "karpenter.sh/nodepool", "operator": "Exists" }] });
        let invalid = status(&[pool(wrong), class("True")]);
        assert_eq!(told(&invalid, "ValidationSucceeded"), words("False", "NodePoolValidationFailed"));
        assert_eq!(told(&invalid, "Ready").0, "False");
    }

    #[test]
    fn what_the_nodes_of_a_pool_have_is_added_up() {
        let node = |name: &str, pool: &str| {
            json!({ "kind": "Node", "metadata": { "name": name, "labels": { "karpenter.sh/nodepool": pool } },
                "status": { "capacity": { "cpu": "2", "memory": "4Gi" } } })
        };
        let status = status(&[pool(json!({})), node("a", "default"), node("b", "default"), node("c", "other")]);
        let amount = |key: &str| status.resources.get(key).map(|quantity| quantity.0.clone());
        assert_eq!((amount("cpu").as_deref(), amount("memory").as_deref()), (Some("4"), Some("8Gi")));
        assert_eq!((amount("nodes").as_deref(), status.nodes), (Some("2"), Some(2)));
        let none = NodePoolStatus::default();
        assert_eq!(change(&status, &none)["resources"]["cpu"], Value::Null);
    }
}
