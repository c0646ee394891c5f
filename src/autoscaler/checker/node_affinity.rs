//! Which nodes a pod selects: every pair of `nodeSelector`, and one of the required node affinity terms.

use k8s_openapi::api::core::v1::PodSpec;

use super::selector::{Labels, NodeTerms};

/// The compiled node selection of a pod. Two equal ones select the same nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeSelection {
    pairs: Labels,
    terms: Option<NodeTerms>,
}

impl NodeSelection {
    /// Compiles the selection of a pod.
    ///
    /// # Errors
    /// Names the operator or the field that the API does not know.
    pub fn compile(spec: &PodSpec) -> Result<Self, String> {
        let required = spec
            .affinity
            .as_ref()
            .and_then(|affinity| affinity.node_affinity.as_ref())
            .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        Ok(Self {
            pairs: spec.node_selector.clone().unwrap_or_default(),
            terms: required.map(NodeTerms::compile).transpose()?,
        })
    }

    /// Why the node is not selected.
    pub fn refusal(&self, labels: &Labels, name: &str) -> Option<String> {
        for (key, value) in &self.pairs {
            match labels.get(key) {
                Some(found) if found == value => {}
                Some(found) => return Some(format!("node selector wants `{key}={value}`, the node has `{found}`")),
                None => return Some(format!("node selector wants `{key}={value}`, the node has no such label")),
            }
        }
        let refused = self.terms.as_ref().is_some_and(|terms| !terms.matches(labels, name));
        refused.then(|| "no required node affinity term matches".to_owned())
    }

    /// Whether the node is selected.
    pub fn matches(&self, labels: &Labels, name: &str) -> bool {
        self.refusal(labels, name).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn selects(mut spec: Value, labels: Value) -> bool {
        spec["containers"] = json!([]);
        let spec: PodSpec = serde_json::from_value(spec).expect("a pod spec");
        let labels: Labels = serde_json::from_value(labels).expect("labels");
        NodeSelection::compile(&spec).expect("it compiles").matches(&labels, "n1")
    }

    fn terms(terms: Value) -> Value {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}})
    }

    #[test]
    fn every_pair_of_the_node_selector_has_to_be_on_the_node() {
        let spec = json!({"nodeSelector": {"disk": "ssd", "arch": "arm64"}});
        assert!(selects(spec.clone(), json!({"disk": "ssd", "arch": "arm64", "zone": "a"})));
        assert!(!selects(spec.clone(), json!({"disk": "ssd"})));
        assert!(!selects(spec, json!({"disk": "hdd", "arch": "arm64"})));
    }

    #[test]
    fn one_term_is_enough_and_all_its_expressions_are_needed() {
        let in_zone = |zone: &str| json!({"key": "zone", "operator": "In", "values": [zone]});
        let spec = terms(json!([
            {"matchExpressions": [in_zone("a"), {"key": "gpu", "operator": "Exists"}]}, {"matchExpressions": [in_zone("b")]}]));
        assert!(selects(spec.clone(), json!({"zone": "b"})));
        assert!(selects(spec.clone(), json!({"zone": "a", "gpu": "1"})));
        assert!(!selects(spec, json!({"zone": "a"})));
    }

    #[test]
    fn selector_and_affinity_both_have_to_hold() {
        let mut spec = terms(json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]));
        assert!(selects(spec.clone(), json!({})));
        spec["nodeSelector"] = json!({"disk": "ssd"});
        assert!(!selects(spec, json!({})));
    }

    #[test]
    fn an_empty_list_of_terms_selects_nothing() {
        assert!(!selects(terms(json!([])), json!({})));
        assert!(!selects(terms(json!([{}])), json!({})));
    }
}
