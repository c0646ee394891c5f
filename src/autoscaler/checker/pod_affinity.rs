//! Pod affinity and anti-affinity.
//!
//! A term speaks of the pods that its selector matches in its namespaces (`namespaces` and those that
//! `namespaceSelector` selects; neither: the pod's own), and of the domains that the topology key makes.
//!
//! * Anti-affinity: no matching pod in the node's domain; and no placed pod in the domain whose own term
//!   matches this pod. A node without the key is in no domain.
//! * Affinity: the node has every key, and in the domain of every term there is a pod that matches *all*
//!   terms. Where no pod anywhere matches all terms and the pod itself does, it is the first of its group
//!   and needs only the keys.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::PodAffinityTerm;

use super::selector::{Labels, Selector};

/// Label that the control plane puts on every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Every namespace there is, with its labels.
#[derive(Debug, Clone, Default)]
pub struct Namespaces(BTreeMap<String, Labels>);

impl Namespaces {
    /// Makes a namespace known; labels given earlier stay.
    pub fn insert(&mut self, name: &str, labels: Option<&Labels>) {
        let entry = self.0.entry(name.to_owned()).or_default();
        entry.entry(NAMESPACE_NAME.to_owned()).or_insert_with(|| name.to_owned());
        for (key, value) in labels.into_iter().flatten() {
            entry.insert(key.clone(), value.clone());
        }
    }

    fn selected(&self, selector: &Selector) -> impl Iterator<Item = String> {
        self.0.iter().filter(|(_, labels)| selector.matches(labels)).map(|(name, _)| name.clone())
    }
}

/// A compiled term.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    topology_key: String,
    namespaces: BTreeSet<String>,
    selector: Selector,
}

impl Term {
    /// Compiles a term of a pod with the given namespace and labels.
    ///
    /// # Errors
    /// Names the operator that the API does not know.
    pub fn compile(term: &PodAffinityTerm, namespace: &str, own: &Labels, known: &Namespaces) -> Result<Self, String> {
        let mut namespaces: BTreeSet<String> = term.namespaces.iter().flatten().cloned().collect();
        match &term.namespace_selector {
            Some(selector) => namespaces.extend(known.selected(&Selector::compile(Some(selector))?)),
            None if namespaces.is_empty() => _ = namespaces.insert(namespace.to_owned()),
            None => {}
        }
        let mut selector = Selector::compile(term.label_selector.as_ref())?;
        selector.narrow(term.match_label_keys.as_deref(), own, true);
        selector.narrow(term.mismatch_label_keys.as_deref(), own, false);
        Ok(Self { topology_key: term.topology_key.clone(), namespaces, selector })
    }

    /// Whether the term speaks of a pod.
    pub fn matches(&self, namespace: &str, labels: &Labels) -> bool {
        self.namespaces.contains(namespace) && self.selector.matches(labels)
    }

    /// The domain that a node is in.
    pub fn domain<'a>(&self, node: &'a Labels) -> Option<&'a str> {
        node.get(&self.topology_key).map(String::as_str)
    }
}

/// A number of pods by domain.
#[derive(Debug, Clone, Default)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Number of pods in a domain.
    pub fn get(&self, domain: &str) -> u64 {
        self.0.get(domain).copied().unwrap_or(0)
    }

    /// Counts a pod, or with `present` false stops counting it.
    pub fn change(&mut self, domain: &str, present: bool) {
        let count = self.get(domain);
        match (present, count) {
            (true, _) => _ = self.0.insert(domain.to_owned(), count + 1),
            (false, 0 | 1) => _ = self.0.remove(domain),
            (false, _) => _ = self.0.insert(domain.to_owned(), count - 1),
        }
    }

    /// Whether no pod is counted anywhere.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A required anti-affinity term and where it matters.
#[derive(Debug, Clone)]
pub struct AntiGroup {
    /// The term.
    pub term: Term,
    /// Placed pods that the term matches.
    pub matching: Counts,
    /// Placed pods that carry the term.
    pub owners: Counts,
}

impl AntiGroup {
    /// A term that nothing is placed for yet.
    pub fn new(term: Term) -> Self {
        Self { term, matching: Counts::default(), owners: Counts::default() }
    }

    /// Why a pod that carries the term cannot go to a node.
    pub fn refuses_owner(&self, node: &Labels) -> Option<String> {
        let domain = self.term.domain(node)?;
        let pods = self.matching.get(domain);
        (pods > 0)
            .then(|| format!("{} in `{}={domain}` that it must not be with", counted(pods), self.term.topology_key))
    }

    /// Why a pod that the term matches cannot go to a node.
    pub fn refuses_match(&self, node: &Labels) -> Option<String> {
        let domain = self.term.domain(node)?;
        let pods = self.owners.get(domain);
        (pods > 0).then(|| format!("{} in `{}={domain}` must not be with it", counted(pods), self.term.topology_key))
    }
}

/// The required affinity terms of a pod and the placed pods that match all of them.
#[derive(Debug, Clone)]
pub struct AffinityGroup {
    /// The terms, all of which have to hold.
    pub terms: Vec<Term>,
    /// For each term, matching pods by domain.
    matching: Vec<Counts>,
}

impl AffinityGroup {
    /// Terms that nothing is placed for yet.
    pub fn new(terms: Vec<Term>) -> Self {
        let matching = vec![Counts::default(); terms.len()];
        Self { terms, matching }
    }

    /// Whether a pod matches all terms.
    pub fn matches(&self, namespace: &str, labels: &Labels) -> bool {
        self.terms.iter().all(|term| term.matches(namespace, labels))
    }

    /// Counts a matching pod on a node, or stops counting it.
    pub fn change(&mut self, node: &Labels, present: bool) {
        for (term, counts) in self.terms.iter().zip(&mut self.matching) {
            if let Some(domain) = term.domain(node) {
                counts.change(domain, present);
            }
        }
    }

    /// The topology key of a term that the node lacks.
    pub fn missing_key(&self, node: &Labels) -> Option<&str> {
        self.terms.iter().find(|term| term.domain(node).is_none()).map(|term| term.topology_key.as_str())
    }

    /// Whether the domain of every term holds a matching pod.
    pub fn joined(&self, node: &Labels) -> bool {
        self.terms
            .iter()
            .zip(&self.matching)
            .all(|(term, counts)| term.domain(node).is_some_and(|domain| counts.get(domain) > 0))
    }

    /// Whether no placed pod matches.
    pub fn is_empty(&self) -> bool {
        self.matching.iter().all(Counts::is_empty)
    }

    /// Why a pod with these terms cannot go to a node now; `matches_itself` when it matches all of them.
    pub fn refusal(&self, node: &Labels, matches_itself: bool) -> Option<String> {
        if let Some(key) = self.missing_key(node) {
            return Some(format!("the node has no label `{key}`"));
        }
        if self.joined(node) || (matches_itself && self.is_empty()) {
            return None;
        }
        let domains: Vec<String> = self
            .terms
            .iter()
            .map(|term| format!("`{}={}`", term.topology_key, term.domain(node).unwrap_or("")))
            .collect();
        let elsewhere = if self.is_empty() { "nor anywhere else" } else { "but elsewhere" };
        Some(format!("no matching pod in {}, {elsewhere}", domains.join(" and ")))
    }
}

fn counted(pods: u64) -> String {
    if pods == 1 { "1 pod".to_owned() } else { format!("{pods} pods") }
}
