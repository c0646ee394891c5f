//! Terms over zones and other topologies that many nodes share: spread, affinity, anti-affinity.

use super::groups::Groups;
use super::problem::Problem;
use super::scope::Scope;
use super::shapes::Cells;
use crate::state::intern::{FastMap, Symbol};
use crate::state::pod_spec::PodSpec;

/// What a term asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DomainRule {
    /// At most `max_skew` more matching pods than in the emptiest domain.
    Spread {
        /// See above.
        max_skew: i32,
        /// With fewer domains the emptiest counts as zero.
        min_domains: i32,
    },
    /// A matching pod in the same domain.
    Near,
    /// No matching pod in the same domain.
    Far,
}

/// A term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DomainTerm {
    /// Index of the topology key in [`Cells::keys`].
    pub key: usize,
    /// The selector.
    pub selector: u32,
    /// What is asked.
    pub rule: DomainRule,
    /// Which nodes take part, as an index into the scopes; only spreads leave nodes out.
    pub scope: u32,
}

/// Domain terms by group.
#[derive(Clone, Debug, Default)]
pub struct DomainTerms {
    /// The terms.
    pub terms: Vec<DomainTerm>,
    /// Terms that a group carries.
    pub carried: Vec<Vec<u32>>,
    /// Terms whose selector matches a group.
    pub matched: Vec<Vec<u32>>,
    /// Terms by selector.
    pub by_selector: FastMap<u32, Vec<u32>>,
    /// Which nodes take part; the first one is all of them.
    pub scopes: Vec<Scope>,
    ids: FastMap<DomainTerm, u32>,
    scope_ids: FastMap<Scope, u32>,
}

/// The topology keys, hostname aside, of required terms that concern pending pods.
pub fn topology_keys(problem: &Problem<'_>, groups: &Groups) -> Vec<Symbol> {
    let cluster = problem.cluster;
    let mut keys = Vec::new();
    for group in &groups.groups {
        let spec = cluster.spec(group.spec);
        keys.extend(spec.spreads.iter().filter(|spread| spread.required).map(|spread| spread.topology_key));
        keys.extend(spec.affinity.iter().chain(&spec.anti_affinity).map(|term| term.topology_key));
    }
    for pod in groups.identity_of_pod.keys() {
        let spec = cluster.spec(cluster.pods[*pod as usize].spec);
        for term in &spec.anti_affinity {
            let concerns = groups
                .selector_id(&term.selector)
                .is_some_and(|selector| groups.groups.iter().any(|group| groups.matches(selector, group.identity)));
            if concerns {
                keys.push(term.topology_key);
            }
        }
    }
    keys.retain(|key| *key != cluster.names.known.hostname);
    keys.sort_unstable();
    keys.dedup();
    keys
}

impl DomainTerms {
    /// Reads the terms of all groups.
    pub fn new(problem: &Problem<'_>, groups: &Groups, cells: &Cells) -> Self {
        let cluster = problem.cluster;
        let mut all = Self::default();
        all.scope(Scope::default());
        for group in &groups.groups {
            let carried = all.read(groups, cells, cluster.spec(group.spec), cluster.names.known.hostname);
            all.carried.push(carried);
        }
        for (at, term) in (0_u32..).zip(&all.terms) {
            all.by_selector.entry(term.selector).or_default().push(at);
        }
        for group in &groups.groups {
            let selectors = groups.matched[group.identity as usize].iter();
            all.matched
                .push(selectors.filter_map(|selector| all.by_selector.get(selector)).flatten().copied().collect());
        }
        all
    }

    fn read(&mut self, groups: &Groups, cells: &Cells, spec: &PodSpec, hostname: Symbol) -> Vec<u32> {
        let spreads = spec.spreads.iter().filter(|spread| spread.required).map(|spread| {
            let rule = DomainRule::Spread { max_skew: spread.max_skew, min_domains: spread.min_domains };
            (spread.topology_key, &spread.selector, rule, Scope::of(spec, spread, hostname))
        });
        let everywhere = Scope::default;
        let near = spec.affinity.iter().map(|term| (term.topology_key, &term.selector, DomainRule::Near, everywhere()));
        // Pods of one host are in one domain of every other key as well.
        let on_host =
            spec.affinity.iter().filter(|term| term.topology_key == hostname).flat_map(|term| {
                cells.keys.iter().map(move |key| (*key, &term.selector, DomainRule::Near, everywhere()))
            });
        let far =
            spec.anti_affinity.iter().map(|term| (term.topology_key, &term.selector, DomainRule::Far, everywhere()));
        let mut carried = Vec::new();
        for (key, selector, rule, scope) in spreads.chain(near).chain(on_host).chain(far) {
            let Ok(key) = cells.keys.binary_search(&key) else {
                continue;
            };
            let Some(selector) = groups.selector_id(selector) else {
                continue;
            };
            let term = DomainTerm { key, selector, rule, scope: self.scope(scope) };
            let next = u32::try_from(self.terms.len()).unwrap_or(u32::MAX);
            let id = *self.ids.entry(term).or_insert(next);
            if id == next {
                self.terms.push(term);
            }
            carried.push(id);
        }
        carried.sort_unstable();
        carried.dedup();
        carried
    }

    fn scope(&mut self, scope: Scope) -> u32 {
        let next = u32::try_from(self.scopes.len()).unwrap_or(u32::MAX);
        let id = *self.scope_ids.entry(scope.clone()).or_insert(next);
        if id == next {
            self.scopes.push(scope);
        }
        id
    }

    /// Whether a group takes part in any term.
    pub fn concern(&self, group: usize) -> bool {
        !self.carried[group].is_empty() || !self.matched[group].is_empty()
    }
}
