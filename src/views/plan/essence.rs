//! The few facts by which a person tells one resource from another: its addresses, version, size.

use serde_json::Value;

use crate::plan::is_unknown;
use crate::views::value::{is_sensitive, shown};

/// More facts than this are no essence.
const MOST: usize = 3;
/// A fact that is longer says too much.
const LONGEST: usize = 48;

/// What is essential about a resource with this `body`, most telling first.
pub fn essence(body: &Value) -> Vec<String> {
    const WORDS: &[fn(&Value) -> Option<String>] = &[
        |body| first(body, &["cidr", "cidrBlock", "destination", "destinationCidr"]),
        engine,
        |body| first(body, &["zone", "availabilityZone"]),
        |body| first(body, &["instanceType", "instanceTypes", "instanceClass"]),
        sizes,
        |body| with_unit(body, &["storage", "diskSize", "volumeSize", "allocatedStorage"], "GiB"),
        traffic,
        service_account,
        |body| first(body, &["service", "serviceName", "principal", "addon", "addonName"]),
        |body| first(body, &["name", "policyArn", "url"]),
    ];
    let mut facts: Vec<String> = WORDS.iter().filter_map(|word| word(body)).take(MOST).collect();
    facts.dedup();
    facts
}

/// The first of `fields` that says something short and known.
fn first(body: &Value, fields: &[&str]) -> Option<String> {
    fields.iter().find_map(|field| {
        let value = body.get(*field)?;
        let empty = matches!(value, Value::Null | Value::Object(_)) || value.as_str() == Some("");
        if empty || is_unknown(value) || is_sensitive(field, value) {
            return None;
        }
        let text = match value {
            Value::Array(items) => items.iter().map(|item| shown(field, item)).collect::<Vec<_>>().join(", "),
            value => shown(field, value),
        };
        (!text.is_empty() && text.chars().count() <= LONGEST).then_some(text)
    })
}

/// `mariadb 10.11`, `version 1.35`.
fn engine(body: &Value) -> Option<String> {
    let engine = first(body, &["engine"]);
    let version = first(body, &["engineVersion", "version"]);
    match (engine, version) {
        (Some(engine), Some(version)) => Some(format!("{engine} {version}")),
        (None, Some(version)) => Some(format!("version {version}")),
        (engine, None) => engine,
    }
}

/// `2 to 3 nodes`.
fn sizes(body: &Value) -> Option<String> {
    let nested = body.get("scaling").or_else(|| body.get("scalingConfig")).unwrap_or(body);
    let number = |fields: &[&str]| fields.iter().find_map(|field| nested.get(*field)?.as_u64());
    let (min, max) = (number(&["min", "minSize"])?, number(&["max", "maxSize"])?);
    Some(if min == max { format!("{min} nodes") } else { format!("{min} to {max} nodes") })
}

/// `ingress tcp 3306 10.0.0.0/16`
fn traffic(body: &Value) -> Option<String> {
    let direction = first(body, &["direction"])?;
    let protocol =
        first(body, &["protocol"]).map(|protocol| if protocol == "-1" { "all".to_owned() } else { protocol });
    let port = |at: usize| body.get("ports")?.get(at)?.as_i64();
    let ports = match (port(0), port(1)) {
        (Some(from), Some(to)) if from == to => Some(from.to_string()),
        (Some(from), Some(to)) => Some(format!("{from}-{to}")),
        _ => None,
    };
    let peer = body.get("peer").and_then(|peer| first(peer, &["cidr", "group"]));
    Some([Some(direction), protocol, ports, peer].into_iter().flatten().collect::<Vec<_>>().join(" "))
}

/// `kube-system/ebs-csi`
fn service_account(body: &Value) -> Option<String> {
    Some(format!("{}/{}", first(body, &["namespace"])?, first(body, &["serviceAccount"])?))
}

fn with_unit(body: &Value, fields: &[&str], unit: &str) -> Option<String> {
    let size = |value: &Value| value.as_u64().or_else(|| value.get("size")?.as_u64());
    let number = fields.iter().find_map(|field| size(body.get(*field)?))?;
    Some(format!("{number} {unit}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_resource_is_told_by_what_people_know_it_by() {
        let cases = [
            (json!({ "vpc": "${output:network/vpc#id}", "cidr": "10.0.1.0/24", "zone": "a" }), "10.0.1.0/24; a"),
            (
                json!({ "engine": "mariadb", "version": "10.11", "instanceClass": "db.t3.small", "storage": 20 }),
                "mariadb 10.11; db.t3.small; 20 GiB",
            ),
            (json!({ "version": "1.35", "name": "shop" }), "version 1.35; shop"),
            (
                json!({ "instanceTypes": ["t3.medium", "t3.large"], "min": 2, "max": 3 }),
                "t3.medium, t3.large; 2 to 3 nodes",
            ),
            (
                json!({ "direction": "ingress", "protocol": "tcp", "ports": [3306, 3306], "peer": { "cidr": "10.0.0.0/16" } }),
                "ingress tcp 3306 10.0.0.0/16",
            ),
            (
                json!({ "direction": "egress", "protocol": "-1", "ports": null, "peer": { "group": "${output:a/b#id}" } }),
                "egress all",
            ),
            (json!({ "namespace": "kube-system", "serviceAccount": "ebs", "role": "r" }), "kube-system/ebs"),
            (json!({ "version": null, "name": "", "password": "x" }), ""),
            (json!("no object"), ""),
        ];
        for (body, facts) in cases {
            assert_eq!(essence(&body).join("; "), facts);
        }
    }
}
