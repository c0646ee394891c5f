//! The IAM policies of `policies/`, embedded in the binary, with their placeholders filled in.
//!
//! A policy is JSON with `{{ name }}` inside texts and keys. A text that is nothing but a
//! placeholder can become a list.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Permissions of the AWS Load Balancer Controller: `partition`, `region`, `vpc`.
pub const LOAD_BALANCER_CONTROLLER: &str = include_str!("../../policies/aws-load-balancer-controller.json");
/// What an autoscaler may launch and terminate: `partition`, `region`, `cluster`.
pub const AUTOSCALER_NODES: &str = include_str!("../../policies/autoscaler/nodes.json");
/// Which roles it may give to nodes, and how: `partition`, `region`, `account`, `cluster`, `node_roles`.
pub const AUTOSCALER_NODE_ROLES: &str = include_str!("../../policies/autoscaler/node-roles.json");
/// What it has to see: `partition`, `region`, `account`, `cluster`.
pub const AUTOSCALER_DISCOVERY: &str = include_str!("../../policies/autoscaler/discovery.json");
/// The queue that it listens to: `queue`.
pub const AUTOSCALER_INTERRUPTION: &str = include_str!("../../policies/autoscaler/interruption.json");

/// What placeholders stand for: a text, or a list of texts.
#[derive(Debug, Default, Clone)]
pub struct Values(BTreeMap<&'static str, Value>);

impl Values {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// These values, and `text` for `name`.
    #[must_use]
    pub fn with(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.0.insert(name, Value::String(text.into()));
        self
    }

    /// These values, and a list for `name`; one of a single text is the text, as IAM writes it.
    #[must_use]
    pub fn with_list(mut self, name: &'static str, texts: Vec<String>) -> Self {
        let value = match <[String; 1]>::try_from(texts) {
            Ok([only]) => Value::String(only),
            Err(texts) => texts.into(),
        };
        self.0.insert(name, value);
        self
    }
}

/// The policy `template` with every placeholder that `values` knows filled in.
pub fn policy(template: &str, values: &Values) -> Value {
    // The templates are part of the binary, and a test reads each of them.
    let document = serde_json::from_str(template).unwrap_or_default();
    filled(&document, values)
}

fn filled(value: &Value, values: &Values) -> Value {
    match value {
        Value::String(text) => filled_text(text, values),
        Value::Array(items) => items.iter().map(|item| filled(item, values)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, item)| (filled_key(key, values), filled(item, values)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn filled_text(text: &str, values: &Values) -> Value {
    let alone = text.strip_prefix("{{ ").and_then(|rest| rest.strip_suffix(" }}"));
    match alone.and_then(|name| values.0.get(name)) {
        Some(value) => value.clone(),
        None => Value::String(filled_key(text, values)),
    }
}

fn filled_key(text: &str, values: &Values) -> String {
    let mut filled = text.to_owned();
    for (name, value) in &values.0 {
        if let Value::String(value) = value {
            filled = filled.replace(&format!("{{{{ {name} }}}}"), value);
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[&str] = &[
        LOAD_BALANCER_CONTROLLER,
        AUTOSCALER_NODES,
        AUTOSCALER_NODE_ROLES,
        AUTOSCALER_DISCOVERY,
        AUTOSCALER_INTERRUPTION,
    ];

    /// The longest values that there are.
    fn values() -> Values {
        let cluster = "c".repeat(46);
        let role = |name: &str| format!("arn:aws-us-gov:iam::111122223333:role/eksup/ap-southeast-2/{cluster}/{name}");
        Values::new()
            .with("partition", "aws-us-gov")
            .with("region", "ap-southeast-2")
            .with("account", "111122223333")
            .with("vpc", "vpc-0123456789abcdef0")
            .with("queue", format!("arn:aws-us-gov:sqs:ap-southeast-2:111122223333:{cluster}"))
            .with_list("node_roles", vec![role(&"n".repeat(64)), role(&"m".repeat(64))])
            .with("cluster", cluster)
    }

    /// What IAM counts: everything but white space.
    fn size(document: &Value) -> usize {
        document.to_string().chars().filter(|character| !character.is_whitespace()).count()
    }

    #[test]
    fn every_policy_is_a_document_and_leaves_no_placeholder() {
        for template in ALL {
            let document = policy(template, &values());
            assert_eq!(document["Version"], "2012-10-17");
            assert!(!document.to_string().contains("{{"), "{document}");
            let statements = document["Statement"].as_array().map_or(0, Vec::len);
            let ids: std::collections::BTreeSet<_> =
                document["Statement"].as_array().into_iter().flatten().filter_map(|one| one["Sid"].as_str()).collect();
            assert_eq!(ids.len(), statements, "every statement has a name of its own");
        }
    }

    #[test]
    fn the_policies_of_a_role_fit_into_what_iam_takes() {
        const LIMIT: usize = 10_240;
        assert!(size(&policy(LOAD_BALANCER_CONTROLLER, &values())) < LIMIT);
        let autoscaler: usize = ALL[1..].iter().map(|template| size(&policy(template, &values()))).sum();
        assert!(autoscaler < LIMIT, "{autoscaler}");
    }

    #[test]
    fn nothing_is_allowed_to_do_everything() {
        for template in ALL {
            for statement in policy(template, &values())["Statement"].as_array().into_iter().flatten() {
                let actions = statement["Action"].to_string();
                assert!(!actions.contains('*'), "{statement}");
            }
        }
    }

    #[test]
    fn a_list_takes_the_place_of_a_text_and_keys_are_filled_in() {
        let template = r#"{ "Resource": "{{ node_roles }}", "{{ cluster }}": ["a{{ cluster }}"] }"#;
        let values = Values::new().with("cluster", "shop").with_list("node_roles", vec!["a".into(), "b".into()]);
        assert_eq!(policy(template, &values), serde_json::json!({ "Resource": ["a", "b"], "shop": ["ashop"] }));
    }
}
