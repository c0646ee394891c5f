//! The table of `cases.yaml`, asked of a real API server with our definitions, of the autoscaler's own reading, and,
//! on request, of the API server with Karpenter's definitions.

use std::path::Path;

use anyhow::{Context, Result};
use eksup::autoscaler::api::{EC2NodeClassSpec, Fault, NodePoolSpec, validate, validate_class};
use kube::api::PostParams;
use kube::core::DynamicObject;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::contender::Engine;
use crate::field::Field;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What it is about.
    what: String,
    kind: String,
    /// What is merged into the smallest manifest.
    change: Value,
    /// The field that is refused.
    field: Option<String>,
    /// `runtime`: no definition can say it.
    only: Option<String>,
}

impl Case {
    fn all() -> Vec<Self> {
        serde_saphyr::from_str(include_str!("cases.yaml")).expect("a table of cases")
    }

    fn manifest(&self) -> Value {
        let mut manifest = smallest(&self.kind);
        merge(&mut manifest, &self.change);
        manifest
    }

    /// What is wrong with a verdict: nothing when it was refused with the field named, or accepted, as it should be.
    fn differs(&self, wanted: Option<&str>, named: Option<&[String]>) -> Option<String> {
        match (wanted, named) {
            (None, None) => None,
            (Some(field), Some(named)) if named.iter().any(|name| related(field, name)) => None,
            (Some(field), Some(named)) => Some(format!("{}: {}: names {named:?}, not `{field}`", self.kind, self.what)),
            (Some(field), None) => Some(format!("{}: {}: is accepted; `{field}` is wrong", self.kind, self.what)),
            (None, Some(named)) => Some(format!("{}: {}: is refused because of {named:?}", self.kind, self.what)),
        }
    }

    /// The field that a definition has to refuse.
    fn by_definition(&self) -> Option<&str> {
        self.field.as_deref().filter(|_| self.only.is_none())
    }
}

fn smallest(kind: &str) -> Value {
    let tags = json!([{ "tags": { "karpenter.sh/discovery": "shop" } }]);
    match kind {
        "NodePool" => json!({
            "apiVersion": "karpenter.sh/v1", "kind": kind, "metadata": { "name": "case" },
            "spec": { "template": { "spec": {
                "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
                "requirements": [{ "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] }],
            } } },
        }),
        _ => json!({
            "apiVersion": "karpenter.k8s.aws/v1", "kind": kind, "metadata": { "name": "case" },
            "spec": {
                "role": "nodes",
                "amiSelectorTerms": [{ "alias": "al2023@latest" }],
                "subnetSelectorTerms": tags,
                "securityGroupSelectorTerms": tags,
            },
        }),
    }
}

/// A JSON merge patch.
fn merge(into: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *into = change.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let Value::Object(into) = into else { return };
    for (key, value) in change {
        if value.is_null() {
            into.remove(key);
        } else {
            merge(into.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Whether two names of fields are one, or one of them lies in the other: a rule about a list or a map may stand at
/// the list or at its entry.
fn related(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.replace('[', ".").replace(']', "");
    let (one, other) = (plain(one), plain(other));
    let within = |inner: &str, outer: &str| inner == outer || inner.starts_with(&format!("{outer}."));
    within(&one, &other) || within(&other, &one)
}

/// The fields that an API server names when it refuses `manifest`; `None` when it would take it.
async fn refused(field: &Field, manifest: &Value) -> Result<Option<Vec<String>>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api = field.api(&text(&manifest["apiVersion"]), &text(&manifest["kind"]));
    let object: DynamicObject = serde_json::from_value(manifest.clone())?;
    match api.create(&PostParams { dry_run: true, ..PostParams::default() }, &object).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) if status.code == 422 || status.code == 400 => {
            let causes = status.details.clone().map(|details| details.causes).unwrap_or_default();
            Ok(Some(causes.into_iter().map(|cause| cause.field).collect()))
        }
        Err(error) => Err(error).context("asking the API server"),
    }
}

/// The fields that the autoscaler itself names; `None` when it has nothing against the manifest.
fn refused_at_run_time(case: &Case) -> Option<Vec<String>> {
    let spec = case.manifest()["spec"].clone();
    let read = |error: serde_json::Error| vec![Fault { field: "spec".to_owned(), message: error.to_string() }];
    let faults = match case.kind.as_str() {
        "NodePool" => serde_json::from_value::<NodePoolSpec>(spec).map_or_else(read, |spec| validate::node_pool(&spec)),
        _ => serde_json::from_value::<EC2NodeClassSpec>(spec)
            .map_or_else(read, |spec| validate_class::ec2_node_class(&spec)),
    };
    (!faults.is_empty()).then(|| faults.into_iter().map(|fault| fault.field).collect())
}

async fn every_verdict(engine: Engine) -> Vec<String> {
    let field = Field::prepare(Path::new(env!("CARGO_BIN_EXE_eksup"))).await.expect("a cluster");
    field.define(engine.definitions().expect("definitions")).await.expect("definitions that are served");
    let mut different = Vec::new();
    for case in Case::all() {
        let named = refused(&field, &case.manifest()).await.expect("a verdict");
        different.extend(case.differs(case.by_definition(), named.as_deref()));
    }
    different
}

#[test]
fn the_autoscaler_itself_refuses_what_karpenter_refuses() {
    let different: Vec<_> = Case::all()
        .iter()
        .filter_map(|case| case.differs(case.field.as_deref(), refused_at_run_time(case).as_deref()))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_definitions_refuse_what_karpenter_refuses() {
    let different = every_verdict(Engine::Eksup).await;
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "fetches Karpenter's module: the table itself is checked with its definitions"]
async fn the_table_is_what_karpenters_definitions_say() {
    let different = every_verdict(Engine::Karpenter).await;
    assert!(different.is_empty(), "{}", different.join("\n"));
}
