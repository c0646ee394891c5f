//! What a change of a cluster's field means where the values decide. Pure.

use std::str::FromStr;

use serde_json::Value;

use crate::plan::{Effect, Mark};
use crate::spec::KubernetesVersion;

/// Refines the table of a cluster's fields.
pub fn judge(field: &str, before: &Value, after: &Value) -> Option<Effect> {
    match field {
        "version" => version(before, after, "a control plane"),
        "secretsKey" => Some(secrets_key(before, after)),
        "authenticationMode" => authentication_mode(before, after),
        _ => None,
    }
}

/// What a change of the Kubernetes version means for `what`: up is one-way, down is refused.
pub fn version(before: &Value, after: &Value, what: &str) -> Option<Effect> {
    let number = |value: &Value| KubernetesVersion::from_str(value.as_str()?).ok();
    let (from, to) = (number(before)?, number(after)?);
    if to < from {
        return Some(Effect::Refused(format!(
            "{what} cannot go back from Kubernetes {from} to {to}; write `cluster.version: \"{from}\"`, or build \
             another stack with {to} and move over"
        )));
    }
    Some(Effect::Marked(Mark::OneWay(format!("{what} cannot go back from Kubernetes {to} to {from}"))))
}

fn secrets_key(before: &Value, after: &Value) -> Effect {
    match (before.as_str().unwrap_or_default(), after.as_str().unwrap_or_default()) {
        ("", _) => Effect::Marked(Mark::OneWay(
            "secrets stay encrypted with this key for as long as the cluster lives; without the key they cannot be \
             read"
                .to_owned(),
        )),
        _ => Effect::Replace,
    }
}

/// EKS leads from `CONFIG_MAP` over `API_AND_CONFIG_MAP` to `API`, never back.
fn authentication_mode(before: &Value, after: &Value) -> Option<Effect> {
    const ORDER: &[&str] = &["CONFIG_MAP", "API_AND_CONFIG_MAP", "API"];
    let place = |value: &Value| ORDER.iter().position(|mode| value.as_str() == Some(mode));
    let (from, to) = (place(before)?, place(after)?);
    Some(if to > from {
        Effect::Marked(Mark::OneWay("the `aws-auth` ConfigMap stops counting and cannot be brought back".to_owned()))
    } else {
        Effect::Refused("EKS does not go back to the `aws-auth` ConfigMap; use access entries".to_owned())
    })
}

/// Why the cluster must not be deleted, if it must not.
pub fn protected(body: &Value) -> Option<String> {
    (body.get("deletionProtection") == Some(&Value::Bool(true))).then(|| {
        "the cluster is protected from deletion: write `cluster.deletionProtection: false`, apply, and run this again"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_version_goes_up_one_way_and_never_down() {
        let up = judge("version", &json!("1.34"), &json!("1.35"));
        assert!(matches!(up, Some(Effect::Marked(Mark::OneWay(_)))), "{up:?}");
        let down = judge("version", &json!("1.10"), &json!("1.9"));
        assert!(matches!(&down, Some(Effect::Refused(why)) if why.contains("1.10")), "{down:?}");
    }

    #[test]
    fn encryption_is_added_in_place_and_removed_only_by_a_new_cluster() {
        let (none, key, other) = (json!(""), json!("arn:aws:kms:eu-central-1:111122223333:key/a"), json!("arn:b"));
        assert!(matches!(judge("secretsKey", &none, &key), Some(Effect::Marked(Mark::OneWay(_)))));
        assert_eq!(judge("secretsKey", &key, &none), Some(Effect::Replace));
        assert_eq!(judge("secretsKey", &key, &other), Some(Effect::Replace));
    }

    #[test]
    fn a_protected_cluster_names_the_way_out() {
        let why = protected(&json!({ "deletionProtection": true })).unwrap_or_default();
        assert!(why.contains("deletionProtection: false"), "{why}");
        assert_eq!(protected(&json!({ "deletionProtection": false })), None);
    }
}
