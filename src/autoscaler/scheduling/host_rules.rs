//! Rules between pods of one host: anti-affinity and spread over hosts, host ports, and affinity to
//! pods that already run there.

use super::groups::Groups;
use super::model::{HostRule, HostTerm};
use super::problem::Problem;
use super::scope::Scope;
use crate::state::intern::{FastMap, Symbol};
use crate::state::pod_spec::{HostPort, PodSpec, label};

/// All host terms of a problem.
#[derive(Clone, Debug, Default)]
pub struct HostRules {
    /// The terms.
    pub terms: Vec<HostTerm>,
    /// Rules by group.
    pub of_group: Vec<Vec<HostRule>>,
    /// Selectors of which a pod must be on the same host, by group.
    pub beside: Vec<Vec<u32>>,
    /// Terms by selector and limit.
    by_selector: FastMap<u32, Vec<u32>>,
    ids: FastMap<Carried, u32>,
    /// What the emptiest host has of the pods of a selector, by the nodes that a spread counts, where no host can be
    /// added. Otherwise a new one could be, and the emptiest counts as empty.
    floors: FastMap<(u32, Scope), u32>,
    ports: Vec<(HostPort, u32)>,
}

/// A selector, the limit of pods that match it beside a carrier, and whether that binds those pods as well.
type Carried = (u32, u32, bool);

/// A limit that never binds: such a term only counts the pods that match a selector.
const COUNT_ONLY: u32 = u32::MAX;

impl HostRules {
    /// Reads the rules of all groups, and of the anti-affinity that running pods carry. `closed` says that no node can
    /// be bought for any of the groups.
    pub fn new(problem: &Problem<'_>, groups: &Groups, closed: bool) -> Self {
        let cluster = problem.cluster;
        let hostname = cluster.names.known.hostname;
        let mut rules = Self::default();
        let mut specs: Vec<(u32, u32)> = groups.groups.iter().map(|group| (group.spec, group.identity)).collect();
        if !groups.selectors.is_empty() {
            let mut running: Vec<(u32, u32)> = groups
                .identity_of_pod
                .iter()
                .map(|(pod, identity)| (cluster.pods[*pod as usize].spec, *identity))
                .collect();
            running.sort_unstable();
            running.dedup();
            specs.extend(running);
        }
        if closed {
            rules.find_floors(problem, groups);
        }
        for (spec, identity) in specs {
            for term in rules.carried(groups, cluster.spec(spec), identity, hostname) {
                rules.term(term);
            }
        }
        for group in &groups.groups {
            let spec = cluster.spec(group.spec);
            let beside: Vec<u32> = spec
                .affinity
                .iter()
                .filter(|term| term.topology_key == hostname)
                .filter_map(|term| groups.selector_id(&term.selector))
                .collect();
            for selector in &beside {
                rules.term((*selector, COUNT_ONLY, true));
            }
            rules.beside.push(beside);
            for port in &spec.host_ports {
                rules.port(*port);
            }
        }
        for group in &groups.groups {
            let list = rules.rules_of(groups, cluster.spec(group.spec), group.identity, hostname);
            rules.of_group.push(list);
        }
        rules
    }

    fn term(&mut self, term: Carried) {
        let next = u32::try_from(self.terms.len()).unwrap_or(u32::MAX);
        let id = *self.ids.entry(term).or_insert(next);
        if id == next {
            let (selector, limit, mutual) = term;
            self.terms.push(HostTerm { limit, mutual });
            self.by_selector.entry(selector).or_default().push(id);
        }
    }

    fn port(&mut self, port: HostPort) {
        if !self.ports.iter().any(|(known, _)| *known == port) {
            self.ports.push((port, u32::try_from(self.terms.len()).unwrap_or(u32::MAX)));
            self.terms.push(HostTerm { limit: 1, mutual: true });
        }
    }

    /// The term that counts the pods of a selector.
    pub fn counting_term(&self, selector: u32) -> Option<u32> {
        self.ids.get(&(selector, COUNT_ONLY, true)).copied()
    }

    /// How a pod takes part in the terms.
    pub fn rules_of(&self, groups: &Groups, spec: &PodSpec, identity: u32, hostname: Symbol) -> Vec<HostRule> {
        let mut list: Vec<HostRule> = Vec::new();
        if !self.by_selector.is_empty() {
            let matched = groups.matched.get(identity as usize).map(Vec::as_slice).unwrap_or_default();
            for term in matched.iter().filter_map(|selector| self.by_selector.get(selector)).flatten() {
                list.push(HostRule { term: *term, matches: 1, carries: false });
            }
            for carried in self.carried(groups, spec, identity, hostname) {
                let Some(term) = self.ids.get(&carried).copied() else {
                    continue;
                };
                match list.iter_mut().find(|rule| rule.term == term) {
                    Some(rule) => rule.carries = true,
                    None => list.push(HostRule { term, matches: 0, carries: true }),
                }
            }
        }
        for (port, term) in &self.ports {
            let matches = u32::from(spec.host_ports.iter().any(|own| own.conflicts(port)));
            let carries = spec.host_ports.contains(port);
            if matches > 0 || carries {
                list.push(HostRule { term: *term, matches, carries });
            }
        }
        list.sort_unstable_by_key(|rule| rule.term);
        list
    }

    /// What a pod carries on the level of hosts.
    fn carried(&self, groups: &Groups, spec: &PodSpec, identity: u32, hostname: Symbol) -> Vec<Carried> {
        let anti = spec.anti_affinity.iter().filter(|term| term.topology_key == hostname).filter_map(|term| {
            let selector = groups.selector_id(&term.selector)?;
            Some((selector, u32::from(groups.matches(selector, identity)), true))
        });
        let spreads = spec.spreads.iter().filter(|spread| spread.required && spread.topology_key == hostname);
        let spreads = spreads.filter_map(|spread| {
            let selector = groups.selector_id(&spread.selector)?;
            let floor = match self.floors.is_empty() {
                true => 0,
                false => self.floors.get(&(selector, Scope::of(spec, spread, hostname))).copied().unwrap_or(0),
            };
            Some((selector, u32::try_from(spread.max_skew).unwrap_or(1).saturating_add(floor), false))
        });
        anti.chain(spreads).collect()
    }

    fn find_floors(&mut self, problem: &Problem<'_>, groups: &Groups) {
        let cluster = problem.cluster;
        let hostname = cluster.names.known.hostname;
        for spec in groups.groups.iter().map(|group| cluster.spec(group.spec)) {
            for spread in spec.spreads.iter().filter(|spread| spread.required && spread.topology_key == hostname) {
                let Some(selector) = groups.selector_id(&spread.selector) else { continue };
                let scope = Scope::of(spec, spread, hostname);
                let floor = floor_of(problem, groups, &scope, selector);
                self.floors.insert((selector, scope), floor);
            }
        }
    }
}

/// The least number of pods of a selector on one of the nodes that a spread counts.
fn floor_of(problem: &Problem<'_>, groups: &Groups, scope: &Scope, selector: u32) -> u32 {
    let cluster = problem.cluster;
    let mut counts: Vec<Option<u32>> = cluster
        .nodes
        .iter()
        .zip(&problem.without)
        .map(|(node, gone)| {
            let counted = !gone && scope.holds(&cluster.names, |key| label(&node.labels, key), &node.taints);
            counted.then_some(0)
        })
        .collect();
    for (pod, identity) in &groups.identity_of_pod {
        let entry = &cluster.pods[*pod as usize];
        if let Some(Some(count)) = entry.node.map(|node| &mut counts[node as usize])
            && !entry.leaving
            && groups.matches(selector, *identity)
        {
            *count += 1;
        }
    }
    counts.into_iter().flatten().min().unwrap_or(0)
}
