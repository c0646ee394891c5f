//! Amazon Linux 2023: nodeadm reads every NodeConfig in a MIME document; later ones win.

use serde_json::{Map, Value, json};

use super::mime::{self, Part};
use super::{Node, UserDataFault, dns, pairs};
use crate::render::yaml;

const CONFIG: &str = "application/node.eks.aws";
const SCRIPT: &str = "text/x-shellscript; charset=\"us-ascii\"";

/// The user's parts, then our NodeConfig.
pub fn write(node: &Node<'_>) -> Result<String, UserDataFault> {
    let users = node.users.filter(|text| !text.trim().is_empty());
    let mut parts = users.map(|text| mime::read(text, type_of)).transpose()?.unwrap_or_default();
    parts.push(Part::new(CONFIG, yaml::write(&config(node))));
    Ok(mime::write(&parts))
}

/// What a text that is no MIME document is.
fn type_of(text: &str) -> &'static str {
    if text.lines().any(|line| line.trim_start().starts_with("apiVersion:") && line.contains("node.eks.aws/")) {
        CONFIG
    } else {
        SCRIPT
    }
}

fn config(node: &Node<'_>) -> Value {
    let cluster = node.cluster;
    let mut spec = json!({
        "cluster": {
            "name": cluster.name,
            "apiServerEndpoint": cluster.endpoint,
            "certificateAuthority": cluster.certificate_authority,
            "cidr": cluster.service_cidr,
        },
        "kubelet": { "config": kubelet(node) },
    });
    if !node.labels.is_empty() {
        spec["kubelet"]["flags"] = json!([format!("--node-labels=\"{}\"", pairs(&node.labels))]);
    }
    if node.raid0 {
        spec["instance"] = json!({ "localStorage": { "strategy": "RAID0" } });
    }
    json!({ "apiVersion": "node.eks.aws/v1alpha1", "kind": "NodeConfig", "spec": spec })
}

/// The part of a KubeletConfiguration that the class and the cluster decide.
fn kubelet(node: &Node<'_>) -> Value {
    let mut config = match serde_json::to_value(&node.kubelet) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let dns = dns(node);
    if !dns.is_empty() {
        config.insert("clusterDNS".to_owned(), json!(dns));
    }
    if let Some(pods) = node.max_pods {
        config.insert("maxPods".to_owned(), json!(pods));
    }
    if !node.taints.is_empty() {
        config.insert("registerWithTaints".to_owned(), json!(node.taints));
    }
    Value::Object(config)
}
