//! A running fleet goes from upstream Karpenter to eksup and back, and no node, claim or pod notices.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::contender::{Contender, Engine, install};
use crate::field::{Field, until};
use crate::scenario::Scenario;
use crate::watching::{Watching, now};

/// Everything about a fleet that has to stay.
#[derive(Debug, PartialEq)]
struct Fleet {
    /// Instances by id.
    instances: Vec<String>,
    /// Claims: uid, instance.
    claims: BTreeMap<String, (String, String)>,
    /// Nodes: uid, and the labels that Karpenter's users select by.
    nodes: BTreeMap<String, (String, BTreeMap<String, String>)>,
    /// Pods: uid, node.
    pods: BTreeMap<String, (String, String)>,
}

/// How long nobody may move anything after a handover: drift, hashes and consolidation are looked at well within it.
const STILL: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(180);
const HASH_VERSION: &str = "karpenter.sh/nodepool-hash-version";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "builds upstream Karpenter, which takes minutes: `make bench-live` runs it"]
async fn a_fleet_goes_from_karpenter_to_eksup_and_back_without_a_node_replaced() {
    let eksup = Path::new(env!("CARGO_BIN_EXE_eksup"));
    let field = Field::prepare(eksup).await.expect("a cluster");
    let scenario = Scenario::named("handover");
    let theirs = install(Engine::Karpenter, eksup, &field, &scenario.node_pool()).await.expect("Karpenter runs");
    let watching = Watching::begin(&field);
    scale(&field, &scenario, 1).await.expect("pods");
    all_running(&watching, scenario.pods()).await;
    let version = hash_versions(&field).await.expect("claims");
    let before = started(&field).await;
    assert!(before.instances.len() > 1, "one node would say little: {before:#?}");
    theirs.stop().await.expect("it ends");

    let ours = take_over(&field, Engine::Eksup, eksup, &before, &version).await;
    scale(&field, &scenario, 2).await.expect("more pods");
    all_running(&watching, scenario.pods() * 2).await;
    let version = hash_versions(&field).await.expect("claims");
    let grown = started(&field).await;
    for (name, claim) in &before.claims {
        assert_eq!(grown.claims.get(name), Some(claim), "`{name}` was replaced");
    }
    ours.stop().await.expect("it ends");

    let theirs = take_over(&field, Engine::Karpenter, eksup, &grown, &version).await;
    theirs.stop().await.expect("it ends");
}

/// The fleet, once all of its nodes have started: pods run before their autoscaler has seen everything that it waits for.
async fn started(field: &Field) -> Fleet {
    let started = || async {
        let fleet = fleet(field).await?;
        let all = fleet.nodes.values().all(|(_, labels)| labels.contains_key("karpenter.sh/initialized"));
        Ok(all.then_some(fleet))
    };
    until("every node has started", PATIENCE, started).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Another autoscaler comes; nothing of the fleet may change but the stamps by which it knows its own claims.
async fn take_over(
    field: &Field,
    engine: Engine,
    eksup: &Path,
    before: &Fleet,
    stamped: &BTreeMap<String, String>,
) -> Contender {
    field.define(engine.definitions().expect("definitions")).await.expect("definitions that are served");
    let begun = now();
    let watching = Watching::begin(field);
    let contender = Contender::start(engine, eksup, field).await.expect("it runs");
    let adopted = || async {
        let versions = hash_versions(field).await?;
        let all = versions.iter().all(|(claim, version)| stamped.get(claim) != Some(version));
        Ok(all.then_some(()))
    };
    until("every claim carries the new stamp", PATIENCE, adopted)
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", contender.last_words()));
    tokio::time::sleep(STILL).await;
    let after = fleet(field).await.expect("a fleet");
    assert_eq!(&after, before, "{} replaced something:\n{}", engine.name(), contender.last_words());
    let claims =
        watching.look(|seen| seen.claims.values().filter(|claim| claim.leaving.is_some_and(|at| at > begun)).count());
    assert_eq!(claims, 0, "{} took claims away", engine.name());
    contender
}

async fn scale(field: &Field, scenario: &Scenario, times: u64) -> Result<()> {
    for one in &scenario.deployments {
        if times == 1 {
            field.apply(&one.manifest()).await?;
        }
        let replicas = json!({ "spec": { "replicas": one.replicas * times } });
        field.api("apps/v1", "Deployment").patch(&one.name, &PatchParams::default(), &Patch::Merge(&replicas)).await?;
    }
    Ok(())
}

async fn all_running(watching: &Watching, pods: usize) {
    let running = || async { Ok((watching.look(|seen| seen.running()) == pods).then_some(())) };
    until(&format!("{pods} pods run"), PATIENCE, running).await.expect("they run");
}

/// The version of the hash that each claim is stamped with.
async fn hash_versions(field: &Field) -> Result<BTreeMap<String, String>> {
    let claims = field.api("karpenter.sh/v1", "NodeClaim").list(&ListParams::default()).await?;
    let stamp = |claim: kube::api::DynamicObject| {
        let version = claim.metadata.annotations.unwrap_or_default().remove(HASH_VERSION);
        (claim.metadata.name.unwrap_or_default(), version.unwrap_or_default())
    };
    Ok(claims.items.into_iter().map(stamp).collect())
}

async fn fleet(field: &Field) -> Result<Fleet> {
    let seen = field.cloud.ask("GET", &format!("nodes?cluster={}", crate::field::CLUSTER), &Value::Null)?;
    let ids = seen["instances"].as_array().into_iter().flatten().filter(|one| one["stage"] != "down");
    let mut instances: Vec<String> = ids.filter_map(|one| one["id"].as_str().map(str::to_owned)).collect();
    instances.sort();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Fleet { instances, claims: BTreeMap::new(), nodes: BTreeMap::new(), pods: BTreeMap::new() };
    for claim in field.api("karpenter.sh/v1", "NodeClaim").list(&ListParams::default()).await? {
        let uid = claim.metadata.uid.unwrap_or_default();
        let instance = text(&claim.data["status"]["providerID"]);
        found.claims.insert(claim.metadata.name.unwrap_or_default(), (uid, instance));
    }
    for node in field.api("v1", "Node").list(&ListParams::default()).await? {
        let labels = node.metadata.labels.unwrap_or_default();
        let ours = labels.into_iter().filter(|(key, _)| key.contains("karpenter") || key.contains("topology"));
        let uid = node.metadata.uid.unwrap_or_default();
        found.nodes.insert(node.metadata.name.unwrap_or_default(), (uid, ours.collect()));
    }
    for pod in field.api("v1", "Pod").list(&ListParams::default()).await? {
        let uid = pod.metadata.uid.unwrap_or_default();
        found.pods.insert(pod.metadata.name.unwrap_or_default(), (uid, text(&pod.data["spec"]["nodeName"])));
    }
    Ok(found)
}
