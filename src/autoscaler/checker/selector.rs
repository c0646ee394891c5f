//! Label selectors and node selectors, compiled once and matched often.
//!
//! A missing label selector selects nothing, an empty one everything. Requirements are ANDed. `NotIn` and
//! `DoesNotExist` hold where the key is missing. `Gt` and `Lt` compare integers and are for nodes only.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
}

impl Operator {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "In" => Self::In,
            "NotIn" => Self::NotIn,
            "Exists" => Self::Exists,
            "DoesNotExist" => Self::DoesNotExist,
            "Gt" => Self::Gt,
            "Lt" => Self::Lt,
            _ => return None,
        })
    }
}

/// One compiled requirement on one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Requirement {
    key: String,
    operator: Operator,
    values: BTreeSet<String>,
}

impl Requirement {
    fn of_one(key: &str, operator: Operator, value: &str) -> Self {
        Self { key: key.to_owned(), operator, values: BTreeSet::from([value.to_owned()]) }
    }

    fn holds(&self, found: Option<&str>) -> bool {
        match self.operator {
            Operator::In => found.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => found.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
            Operator::Gt => self.compare(found).is_some_and(|(label, bound)| label > bound),
            Operator::Lt => self.compare(found).is_some_and(|(label, bound)| label < bound),
        }
    }

    /// Label and bound as integers; nothing where either is not one.
    fn compare(&self, found: Option<&str>) -> Option<(i64, i64)> {
        let bound = self.values.first().filter(|_| self.values.len() == 1)?;
        Some((found?.parse().ok()?, bound.parse().ok()?))
    }
}

/// A compiled label selector: all requirements hold, or nothing matches at all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// Absent: the selector was missing, and selects nothing.
    requirements: Option<BTreeSet<Requirement>>,
}

impl Selector {
    /// Compiles a label selector of an API object.
    ///
    /// # Errors
    /// Names the operator that the API does not know.
    pub fn compile(selector: Option<&LabelSelector>) -> Result<Self, String> {
        let Some(selector) = selector else { return Ok(Self { requirements: None }) };
        let mut requirements: BTreeSet<Requirement> = selector
            .match_labels
            .iter()
            .flatten()
            .map(|(key, value)| Requirement::of_one(key, Operator::In, value))
            .collect();
        for expression in selector.match_expressions.iter().flatten() {
            let operator = Operator::read(&expression.operator)
                .filter(|operator| !matches!(operator, Operator::Gt | Operator::Lt))
                .ok_or_else(|| format!("label selector has unknown operator `{}`", expression.operator))?;
            let values = expression.values.iter().flatten().cloned().collect();
            requirements.insert(Requirement { key: expression.key.clone(), operator, values });
        }
        Ok(Self { requirements: Some(requirements) })
    }

    /// Adds `key in (value of the pod's own label)` for each key that the pod has, as `matchLabelKeys` does,
    /// or `notin` for `mismatchLabelKeys`. A selector that selects nothing keeps selecting nothing.
    pub fn narrow(&mut self, keys: Option<&[String]>, own: &Labels, same: bool) {
        let Some(requirements) = &mut self.requirements else { return };
        for key in keys.into_iter().flatten() {
            if let Some(value) = own.get(key) {
                let operator = if same { Operator::In } else { Operator::NotIn };
                requirements.insert(Requirement::of_one(key, operator, value));
            }
        }
    }

    /// Whether labels match.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.as_ref().is_some_and(|requirements| {
            requirements.iter().all(|requirement| requirement.holds(labels.get(&requirement.key).map(String::as_str)))
        })
    }
}

/// One compiled term of a node selector: requirements on labels, and on fields of the node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeTerm {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

impl NodeTerm {
    /// Compiles one term.
    ///
    /// # Errors
    /// Names the operator or the field that the API does not know.
    pub fn compile(term: &NodeSelectorTerm) -> Result<Self, String> {
        let fields = compile_requirements(term.match_fields.as_deref())?;
        if let Some(unknown) = fields.iter().find(|requirement| requirement.key != "metadata.name") {
            return Err(format!("node selector has unknown field `{}`", unknown.key));
        }
        Ok(Self { labels: compile_requirements(term.match_expressions.as_deref())?, fields })
    }

    /// Whether a node matches. A term without any requirement matches no node.
    pub fn matches(&self, labels: &Labels, name: &str) -> bool {
        (!self.labels.is_empty() || !self.fields.is_empty())
            && self.labels.iter().all(|requirement| requirement.holds(labels.get(&requirement.key).map(String::as_str)))
            && self.fields.iter().all(|requirement| requirement.holds(Some(name)))
    }
}

fn compile_requirements(given: Option<&[NodeSelectorRequirement]>) -> Result<Vec<Requirement>, String> {
    given
        .into_iter()
        .flatten()
        .map(|requirement| {
            let operator = Operator::read(&requirement.operator)
                .ok_or_else(|| format!("node selector has unknown operator `{}`", requirement.operator))?;
            let values = requirement.values.iter().flatten().cloned().collect();
            Ok(Requirement { key: requirement.key.clone(), operator, values })
        })
        .collect()
}

/// A compiled node selector: one of its terms has to match.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeTerms(Vec<NodeTerm>);

impl NodeTerms {
    /// Compiles a node selector.
    ///
    /// # Errors
    /// As [`NodeTerm::compile`].
    pub fn compile(selector: &NodeSelector) -> Result<Self, String> {
        selector.node_selector_terms.iter().map(NodeTerm::compile).collect::<Result<_, _>>().map(Self)
    }

    /// Whether any term matches the node.
    pub fn matches(&self, labels: &Labels, name: &str) -> bool {
        self.0.iter().any(|term| term.matches(labels, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn selects(selector: Value, pairs: &[(&str, &str)]) -> bool {
        let selector: Option<LabelSelector> = serde_json::from_value(selector).expect("a selector");
        Selector::compile(selector.as_ref()).expect("it compiles").matches(&labels(pairs))
    }

    #[test]
    fn a_missing_selector_selects_nothing_and_an_empty_one_everything() {
        assert!(!selects(Value::Null, &[]));
        assert!(selects(json!({}), &[("a", "b")]));
    }

    #[test]
    fn requirements_of_a_label_selector_are_anded() {
        let selector = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "tier", "operator": "NotIn", "values": ["test"]}, {"key": "old", "operator": "DoesNotExist"}]});
        assert!(selects(selector.clone(), &[("app", "web")]));
        assert!(selects(selector.clone(), &[("app", "web"), ("tier", "live")]));
        assert!(!selects(selector.clone(), &[("app", "web"), ("tier", "test")]));
        assert!(!selects(selector.clone(), &[("app", "web"), ("old", "")]));
        assert!(!selects(selector, &[("app", "api")]));
    }

    #[test]
    fn label_keys_narrow_a_selector_by_the_pods_own_value_and_absent_keys_are_ignored() {
        let empty: LabelSelector = LabelSelector::default();
        let own = labels(&[("rev", "1")]);
        let keys = ["rev".to_owned(), "absent".to_owned()];
        let mut same = Selector::compile(Some(&empty)).expect("it compiles");
        same.narrow(Some(&keys), &own, true);
        assert!(same.matches(&labels(&[("rev", "1")])) && !same.matches(&labels(&[("rev", "2")])));
        let mut other = Selector::compile(Some(&empty)).expect("it compiles");
        other.narrow(Some(&keys), &own, false);
        assert!(!other.matches(&labels(&[("rev", "1")])) && other.matches(&labels(&[("rev", "2")])));
        let mut nothing = Selector::compile(None).expect("it compiles");
        nothing.narrow(Some(&keys), &own, true);
        assert!(!nothing.matches(&own));
    }

    #[test]
    fn a_node_term_compares_integers_fields_and_never_matches_when_empty() {
        let matches = |term: Value, pairs: &[(&str, &str)]| {
            let term: NodeSelectorTerm = serde_json::from_value(term).expect("a term");
            NodeTerm::compile(&term).expect("it compiles").matches(&labels(pairs), "n1")
        };
        let more_than_4 = json!({"matchExpressions": [{"key": "cpu", "operator": "Gt", "values": ["4"]}]});
        assert!(matches(more_than_4.clone(), &[("cpu", "8")]));
        assert!(!matches(more_than_4.clone(), &[("cpu", "4")]));
        assert!(!matches(more_than_4.clone(), &[("cpu", "many")]));
        assert!(!matches(more_than_4, &[]));
        assert!(matches(
            json!({"matchExpressions": [{"key": "cpu", "operator": "Lt", "values": ["4"]}]}),
            &[("cpu", "-1")]
        ));
        assert!(matches(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}), &[]));
        assert!(!matches(
            json!({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]}),
            &[]
        ));
        assert!(!matches(json!({}), &[]));
    }

    #[test]
    fn unknown_operators_and_fields_are_named() {
        let term: NodeSelectorTerm =
            serde_json::from_value(json!({"matchFields": [{"key": "spec.x", "operator": "In"}]})).expect("a term");
        assert!(NodeTerm::compile(&term).expect_err("unknown field").contains("`spec.x`"));
        let selector: LabelSelector =
            serde_json::from_value(json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}))
                .expect("a selector");
        assert!(Selector::compile(Some(&selector)).expect_err("no comparison on pods").contains("`Gt`"));
    }
}
