//! Dealing pods out over zones and other topologies that many nodes share.
//!
//! Terms over such topologies are settled before any node is filled: each group of pods that takes
//! part in one is dealt out over the *cells* (combinations of the values of the topology keys), one pod
//! after the other, as the scheduler of Kubernetes would accept them. Within a cell only host rules remain.

use super::domains::{DomainRule, DomainTerms};
use super::groups::Groups;
use super::problem::Problem;
use super::shapes::Cells;
use crate::state::intern::{FastMap, Symbol};
use crate::state::pod_spec::label;

/// What a group may choose from.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The group.
    pub group: usize,
    /// Cells with nodes that accept it, what a pod costs there, and how many pods running nodes have room for.
    pub cells: Vec<(u16, f64, u32)>,
    /// What a pod weighs, for keeping the cells level.
    pub weight: f64,
}

/// How many pods of a group went to a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dealt {
    /// The group.
    pub group: usize,
    /// The cell.
    pub cell: u16,
    /// How many pods.
    pub count: u32,
}

/// The counts of one term, by domain of its topology key.
#[derive(Clone, Debug, Default)]
struct Tally {
    /// Pods that match, those included of which it is not certain that the term counts them.
    matching: Vec<u32>,
    /// Pods that match and are counted whatever node of the cell they go to.
    certain: Vec<u32>,
    /// Dealt pods that carry the term.
    carrying: Vec<u32>,
    /// Pods that match, wherever they are.
    anywhere: u32,
    /// Domains that count even when they are empty.
    counted: Vec<u32>,
    /// The least of `certain` over `counted`.
    least: u32,
}

impl Tally {
    fn find_least(&mut self) {
        self.least = self.counted.iter().map(|domain| self.certain[*domain as usize]).min().unwrap_or(0);
    }
}

/// How the pods of a spread stand, by cell.
#[derive(Clone, Debug)]
pub struct Balance {
    max_skew: u32,
    pods: Vec<(u16, u32)>,
}

impl Balance {
    /// Pods by cell, of which one may have `max_skew` more than another.
    pub fn new(max_skew: u32, pods: Vec<(u16, u32)>) -> Self {
        Self { max_skew, pods }
    }

    /// Whether no cell has more pods than the spread allows.
    pub fn is_even(&self) -> bool {
        let counts = || self.pods.iter().map(|(_, count)| *count);
        counts().max().unwrap_or(0) - counts().min().unwrap_or(0) <= self.max_skew
    }

    /// Takes pods out of a cell.
    pub fn take(&mut self, cell: u16, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.pods.iter_mut().filter(|(at, _)| *at == cell).for_each(|(_, pods)| *pods = pods.saturating_sub(count));
    }

    /// Puts a pod into a cell.
    pub fn put(&mut self, cell: u16) {
        self.pods.iter_mut().filter(|(at, _)| *at == cell).for_each(|(_, pods)| *pods += 1);
    }

    /// A cell that may take one more pod: one that is preferred before others, and the one with fewest pods of these.
    pub fn choose(&self, preferred: impl Fn(u16) -> bool) -> Option<u16> {
        let least = self.pods.iter().map(|(_, pods)| *pods).min()?;
        let open = self.pods.iter().filter(|(_, pods)| pods + 1 - least <= self.max_skew);
        open.min_by_key(|(cell, pods)| (!preferred(*cell), *pods, *cell)).map(|(cell, _)| *cell)
    }
}

/// Counts by term and domain while pods are dealt out.
pub struct Dealer<'a> {
    terms: &'a DomainTerms,
    /// Domain of each cell for each key; `None` where nodes have no such label.
    domain: Vec<Vec<Option<u32>>>,
    /// Whether a cell has all keys that the nodes of a scope need, by scope.
    complete: Vec<Vec<bool>>,
    /// Whether each of the terms that match a group counts it for certain.
    certain: Vec<Vec<bool>>,
    tallies: Vec<Tally>,
    /// Domains that running pods keep a group out of: (key, domain, selector).
    forbidden: Vec<(usize, u32, u32)>,
    load: Vec<f64>,
}

impl<'a> Dealer<'a> {
    /// Counts what runs already.
    pub fn new(problem: &Problem<'_>, groups: &Groups, cells: &'a Cells, terms: &'a DomainTerms) -> Self {
        let mut domains: Vec<FastMap<Symbol, u32>> = vec![FastMap::default(); cells.keys.len()];
        let mut domain = vec![Vec::new(); cells.keys.len()];
        for values in &cells.values {
            for (key, value) in values.iter().enumerate() {
                let next = u32::try_from(domains[key].len()).unwrap_or(u32::MAX);
                domain[key].push(value.map(|value| *domains[key].entry(value).or_insert(next)));
            }
        }
        let tally = |key: usize| {
            let zeros = vec![0; domains[key].len()];
            Tally { matching: zeros.clone(), certain: zeros.clone(), carrying: zeros, ..Tally::default() }
        };
        let spec_of = |group: usize| groups.spec(problem.cluster, group);
        let mut dealer = Self {
            terms,
            domain,
            complete: terms
                .scopes
                .iter()
                .map(|scope| cells.values.iter().map(|values| scope.has_keys(&cells.keys, values)).collect())
                .collect(),
            certain: (0..groups.groups.len())
                .map(|group| {
                    let scope = |term: &u32| &terms.scopes[terms.terms[*term as usize].scope as usize];
                    terms.matched[group].iter().map(|term| scope(term).holds_wherever_runs(spec_of(group))).collect()
                })
                .collect(),
            tallies: terms.terms.iter().map(|term| tally(term.key)).collect(),
            forbidden: Vec::new(),
            load: vec![0.0; cells.values.len()],
        };
        dealer.count_running(problem, groups, cells, &domains);
        dealer
    }

    /// Whether a group has to be dealt out: it takes part in a term, or running pods keep it away from somewhere.
    pub fn concerns(&self, groups: &Groups, group: usize) -> bool {
        let identity = groups.groups[group].identity;
        self.terms.concern(group) || self.forbidden.iter().any(|(_, _, selector)| groups.matches(*selector, identity))
    }

    /// The domain of a cell for a term; `None` where its nodes lack a topology key.
    fn domain_of(&self, term: u32, cell: u16) -> Option<u32> {
        let term = &self.terms.terms[term as usize];
        self.domain[term.key][usize::from(cell)].filter(|_| self.complete[term.scope as usize][usize::from(cell)])
    }

    fn count_running(
        &mut self,
        problem: &Problem<'_>,
        groups: &Groups,
        cells: &Cells,
        domains: &[FastMap<Symbol, u32>],
    ) {
        let cluster = problem.cluster;
        let taking_part: Vec<Vec<bool>> = self
            .terms
            .scopes
            .iter()
            .map(|scope| {
                let holds = |(node, gone): (&crate::state::cluster::NodeEntry, &bool)| {
                    !gone && scope.holds(&cluster.names, |key| label(&node.labels, key), &node.taints)
                };
                cluster.nodes.iter().zip(&problem.without).map(holds).collect()
            })
            .collect();
        let domain_at = |key: usize, node: usize| {
            let value = label(&cluster.nodes[node].labels, cells.keys[key])?;
            domains[key].get(&value).copied()
        };
        for (term, tally) in self.terms.terms.iter().zip(&mut self.tallies) {
            let part = &taking_part[term.scope as usize];
            let nodes = (0..cluster.nodes.len()).filter(|node| part[*node]);
            tally.counted = nodes.filter_map(|node| domain_at(term.key, node)).collect();
            tally.counted.sort_unstable();
            tally.counted.dedup();
        }
        let mut pods: Vec<(u32, u32)> =
            groups.identity_of_pod.iter().map(|(pod, identity)| (*pod, *identity)).collect();
        pods.sort_unstable();
        for (pod, identity) in pods {
            let entry = &cluster.pods[pod as usize];
            let Some(node) = entry.node.map(|node| node as usize).filter(|node| !problem.without[*node]) else {
                continue;
            };
            let matched = groups.matched.get(identity as usize).into_iter().flatten();
            for at in matched.filter_map(|selector| self.terms.by_selector.get(selector)).flatten() {
                let term = &self.terms.terms[*at as usize];
                let tally = &mut self.tallies[*at as usize];
                let spreads = matches!(term.rule, DomainRule::Spread { .. });
                if spreads && (entry.leaving || !taking_part[term.scope as usize][node]) {
                    continue;
                }
                if let Some(domain) = domain_at(term.key, node) {
                    tally.anywhere += 1;
                    tally.matching[domain as usize] += 1;
                    tally.certain[domain as usize] += 1;
                }
            }
            for term in &cluster.spec(entry.spec).anti_affinity {
                let Ok(key) = cells.keys.binary_search(&term.topology_key) else {
                    continue;
                };
                if let (Some(domain), Some(selector)) = (domain_at(key, node), groups.selector_id(&term.selector)) {
                    self.forbidden.push((key, domain, selector));
                }
            }
        }
        self.forbidden.sort_unstable();
        self.forbidden.dedup();
    }

    /// Counts the domains that a term's own pods could open, and with `wide` those that any pod could.
    fn count_domains(&mut self, problem: &Problem<'_>, groups: &Groups, cells: &Cells, choices: &[Choice], wide: bool) {
        for choice in choices {
            for (cell, cost, _) in &choice.cells {
                if !cost.is_finite() || self.is_kept_out(groups, choice.group, *cell) {
                    continue;
                }
                for &term in &self.terms.carried[choice.group] {
                    let opened = self.domain_of(term, *cell);
                    self.tallies[term as usize].counted.extend(opened);
                }
            }
        }
        for term in (0_u32..).take(if wide { self.terms.terms.len() } else { 0 }) {
            let scope = &self.terms.scopes[self.terms.terms[term as usize].scope as usize];
            for (cell, values) in (0_u16..).zip(&cells.values) {
                let opened = self
                    .domain_of(term, cell)
                    .filter(|_| scope.could_hold(&problem.cluster.names, &cells.keys, values));
                self.tallies[term as usize].counted.extend(opened);
            }
        }
        for tally in &mut self.tallies {
            tally.counted.sort_unstable();
            tally.counted.dedup();
            tally.find_least();
        }
    }

    /// Whether a domain of a term was taken into account.
    pub fn counts(&self, term: u32, cell: u16) -> bool {
        self.domain_of(term, cell)
            .is_none_or(|domain| self.tallies[term as usize].counted.binary_search(&domain).is_ok())
    }

    /// Deals out all groups that take part in terms; what cannot go anywhere is returned with its group.
    pub fn deal(
        &mut self,
        problem: &Problem<'_>,
        groups: &Groups,
        cells: &Cells,
        mut choices: Vec<Choice>,
        wide: bool,
    ) -> (Vec<Dealt>, Vec<(usize, u32)>) {
        self.count_domains(problem, groups, cells, &choices, wide);
        let spreads = |group: usize| {
            self.terms.carried[group]
                .iter()
                .any(|term| matches!(self.terms.terms[*term as usize].rule, DomainRule::Spread { .. }))
        };
        // Those with the least choice first; those that keep level with others last.
        choices.sort_by_cached_key(|choice| (spreads(choice.group), choice.cells.len(), choice.group));
        let mut dealt = Vec::new();
        let mut waiting: Vec<(Choice, u32)> = Vec::new();
        for choice in choices {
            let count = u32::try_from(groups.groups[choice.group].pods.len()).unwrap_or(u32::MAX);
            waiting.push((choice, count));
        }
        // A pod that has to be near another may have to wait until that one is dealt.
        loop {
            let mut moved = false;
            for (choice, left) in &mut waiting {
                let placed = self.deal_group(groups, choice, *left, &mut dealt);
                *left -= placed;
                moved |= placed > 0;
            }
            waiting.retain(|(_, left)| *left > 0);
            if !moved || waiting.is_empty() {
                break;
            }
        }
        (dealt, waiting.into_iter().map(|(choice, left)| (choice.group, left)).collect())
    }

    fn deal_group(&mut self, groups: &Groups, choice: &mut Choice, count: u32, dealt: &mut Vec<Dealt>) -> u32 {
        let mut sums: Vec<u32> = vec![0; choice.cells.len()];
        let mut placed = 0;
        while placed < count {
            let Some(at) = self.best_cell(groups, choice) else {
                break;
            };
            sums[at] += 1;
            placed += 1;
            choice.cells[at].2 = choice.cells[at].2.saturating_sub(1);
            self.put(choice.group, choice.cells[at].0, choice.weight);
        }
        for (sum, (cell, _, _)) in sums.into_iter().zip(&choice.cells) {
            if sum > 0 {
                dealt.push(Dealt { group: choice.group, cell: *cell, count: sum });
            }
        }
        placed
    }

    fn put(&mut self, group: usize, cell: u16, weight: f64) {
        for (&term, certain) in self.terms.matched[group].iter().zip(&self.certain[group]) {
            let domain = self.domain_of(term, cell);
            let tally = &mut self.tallies[term as usize];
            let Some(domain) = domain.map(|domain| domain as usize) else { continue };
            tally.anywhere += 1;
            tally.matching[domain] += 1;
            if *certain {
                tally.certain[domain] += 1;
                if tally.certain[domain] == tally.least + 1 {
                    tally.find_least();
                }
            }
        }
        for &term in &self.terms.carried[group] {
            if let Some(domain) = self.domain_of(term, cell) {
                self.tallies[term as usize].carrying[domain as usize] += 1;
            }
        }
        self.load[usize::from(cell)] += weight;
    }

    /// The spread of a group over single cells, if it takes part in nothing else.
    pub fn only_spread(&self, group: usize) -> Option<Balance> {
        let [at] = *self.terms.carried[group].as_slice() else { return None };
        let DomainRule::Spread { max_skew, min_domains } = self.terms.terms[at as usize].rule else { return None };
        let tally = &self.tallies[at as usize];
        let alone = self.terms.matched.iter().enumerate().all(|(other, terms)| other == group || !terms.contains(&at));
        if !alone || self.terms.matched[group].iter().any(|term| *term != at) || tally.matching != tally.certain {
            return None;
        }
        let mut pods: Vec<(u16, u32)> = Vec::new();
        let mut seen: Vec<u32> = Vec::new();
        for cell in 0..u16::try_from(self.load.len()).ok()? {
            let Some(domain) = self.domain_of(at, cell).filter(|domain| tally.counted.contains(domain)) else {
                continue;
            };
            if seen.contains(&domain) {
                return None;
            }
            seen.push(domain);
            pods.push((cell, tally.matching[domain as usize]));
        }
        let few = usize::try_from(min_domains).is_ok_and(|least| seen.len() < least);
        (!few && !pods.is_empty()).then(|| Balance::new(max_skew.unsigned_abs(), pods))
    }

    /// Whether a pod of a group that stands in a cell would be let in there again: its spreads are level enough,
    /// counting what stands.
    pub fn could_come_back(&self, group: usize, cell: u16) -> bool {
        self.terms.carried[group].iter().all(|at| {
            let DomainRule::Spread { max_skew, min_domains } = self.terms.terms[*at as usize].rule else {
                return true;
            };
            let Some(domain) = self.domain_of(*at, cell) else { return true };
            let tally = &self.tallies[*at as usize];
            let few = usize::try_from(min_domains).is_ok_and(|least| tally.counted.len() < least);
            let least = tally.counted.iter().map(|domain| tally.certain[*domain as usize]).min().filter(|_| !few);
            i64::from(tally.matching[domain as usize]) - i64::from(least.unwrap_or(0)) <= i64::from(max_skew)
        })
    }

    /// The allowed cell where a pod costs least; where that is equal, the one that is most level.
    fn best_cell(&self, groups: &Groups, choice: &Choice) -> Option<usize> {
        let mut best: Option<(usize, (u8, f64, u32, f64))> = None;
        for (at, (cell, cost, room)) in choice.cells.iter().enumerate() {
            if !self.own_terms_hold(groups, choice, *cell) {
                continue;
            }
            let strict = u8::from(!self.others_stay_level(choice, *cell));
            let cost = if *room > 0 { 0.0 } else { *cost };
            let crowd: u32 = self.terms.matched[choice.group]
                .iter()
                .filter_map(|term| {
                    let domain = self.domain_of(*term, *cell)?;
                    Some(self.tallies[*term as usize].matching[domain as usize])
                })
                .sum();
            let rank = (strict, cost, crowd, self.load[usize::from(*cell)]);
            let better = best.as_ref().is_none_or(|(_, held)| compare(&rank, held).is_lt());
            if better {
                best = Some((at, rank));
            }
        }
        best.map(|(at, _)| at)
    }

    /// Whether running pods want to be far from a group, and are where the cell is.
    fn is_kept_out(&self, groups: &Groups, group: usize, cell: u16) -> bool {
        let identity = groups.groups[group].identity;
        self.forbidden.iter().any(|(key, domain, selector)| {
            self.domain[*key][usize::from(cell)] == Some(*domain) && groups.matches(*selector, identity)
        })
    }

    fn own_terms_hold(&self, groups: &Groups, choice: &Choice, cell: u16) -> bool {
        let group = choice.group;
        let identity = groups.groups[group].identity;
        if self.is_kept_out(groups, group, cell) {
            return false;
        }
        let carried = self.terms.carried[group].iter().all(|at| {
            let term = &self.terms.terms[*at as usize];
            let tally = &self.tallies[*at as usize];
            let own = groups.matches(term.selector, identity);
            let Some(domain) = self.domain_of(*at, cell) else {
                // Without the label there is no domain: nothing to be far from, and nothing to be near to.
                return term.rule == DomainRule::Far;
            };
            let here = tally.matching[domain as usize];
            match term.rule {
                DomainRule::Spread { max_skew, min_domains } => {
                    i64::from(here) + i64::from(own) - self.least(*at, min_domains) <= i64::from(max_skew)
                }
                DomainRule::Near => here > 0 || (own && tally.anywhere == 0),
                DomainRule::Far => here == 0,
            }
        });
        // Those that want to be far from this pod.
        carried
            && self.terms.matched[group].iter().all(|at| {
                self.terms.terms[*at as usize].rule != DomainRule::Far
                    || self
                        .domain_of(*at, cell)
                        .is_none_or(|domain| self.tallies[*at as usize].carrying[domain as usize] == 0)
            })
    }

    /// Whether pods that spread and are there already stay within their skew.
    fn others_stay_level(&self, choice: &Choice, cell: u16) -> bool {
        self.terms.matched[choice.group].iter().all(|at| {
            let DomainRule::Spread { max_skew, min_domains } = self.terms.terms[*at as usize].rule else {
                return true;
            };
            let Some(domain) = self.domain_of(*at, cell) else {
                return true;
            };
            let tally = &self.tallies[*at as usize];
            tally.carrying[domain as usize] == 0
                || i64::from(tally.matching[domain as usize]) + 1 - self.least(*at, min_domains) <= i64::from(max_skew)
        })
    }

    /// Pods in the emptiest domain that counts.
    fn least(&self, term: u32, min_domains: i32) -> i64 {
        let tally = &self.tallies[term as usize];
        let few = usize::try_from(min_domains).is_ok_and(|least| tally.counted.len() < least);
        if few { 0 } else { i64::from(tally.least) }
    }
}

fn compare(a: &(u8, f64, u32, f64), b: &(u8, f64, u32, f64)) -> std::cmp::Ordering {
    a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)).then(a.3.total_cmp(&b.3))
}
