//! Terms over zones and other topologies that many nodes share: spread, affinity, anti-affinity.
//!
//! They are settled before any node is filled: each group of pods that takes part in one is dealt
//! out over the *cells* (combinations of the values of the topology keys), one pod after the other,
//! as the scheduler of Kubernetes would accept them. Within a cell only host rules remain.

use super::groups::Groups;
use super::problem::Problem;
use super::shapes::Cells;
use crate::autoscaler::state::intern::{FastMap, Symbol};
use crate::autoscaler::state::pod_spec::{PodSpec, label};

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
    ids: FastMap<DomainTerm, u32>,
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
        for group in &groups.groups {
            let carried = all.read(groups, cells, cluster.spec(group.spec), cluster.names.known.hostname);
            all.carried.push(carried);
        }
        let mut by_selector: FastMap<u32, Vec<u32>> = FastMap::default();
        for (at, term) in (0_u32..).zip(&all.terms) {
            by_selector.entry(term.selector).or_default().push(at);
        }
        for group in &groups.groups {
            let selectors = groups.matched[group.identity as usize].iter();
            all.matched.push(selectors.filter_map(|selector| by_selector.get(selector)).flatten().copied().collect());
        }
        all
    }

    fn read(&mut self, groups: &Groups, cells: &Cells, spec: &PodSpec, hostname: Symbol) -> Vec<u32> {
        let spreads = spec.spreads.iter().filter(|spread| spread.required).map(|spread| {
            let rule = DomainRule::Spread { max_skew: spread.max_skew, min_domains: spread.min_domains };
            (spread.topology_key, &spread.selector, rule)
        });
        let near = spec.affinity.iter().map(|term| (term.topology_key, &term.selector, DomainRule::Near));
        // Pods of one host are in one domain of every other key as well.
        let on_host = spec
            .affinity
            .iter()
            .filter(|term| term.topology_key == hostname)
            .flat_map(|term| cells.keys.iter().map(move |key| (*key, &term.selector, DomainRule::Near)));
        let far = spec.anti_affinity.iter().map(|term| (term.topology_key, &term.selector, DomainRule::Far));
        let mut carried = Vec::new();
        for (key, selector, rule) in spreads.chain(near).chain(on_host).chain(far) {
            let Ok(key) = cells.keys.binary_search(&key) else {
                continue;
            };
            let Some(selector) = groups.selector_id(selector) else {
                continue;
            };
            let term = DomainTerm { key, selector, rule };
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

    /// Whether a group takes part in any term.
    pub fn concern(&self, group: usize) -> bool {
        !self.carried[group].is_empty() || !self.matched[group].is_empty()
    }
}

/// What a group may choose from.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The group.
    pub group: usize,
    /// Cells with nodes that accept it, what a pod costs there, and how many pods running nodes have room for.
    pub cells: Vec<(u16, f64, u32)>,
    /// Cells whose nodes match its node requirements, room or no room: they count for skew.
    pub counted: Vec<u16>,
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

/// Counts by term and domain while pods are dealt out.
pub struct Dealer<'a> {
    cells: &'a Cells,
    terms: &'a DomainTerms,
    /// Domain of each cell for each key; `None` where nodes have no such label.
    domain: Vec<Vec<Option<u32>>>,
    matching: Vec<Vec<u32>>,
    carrying: Vec<Vec<u32>>,
    /// Pods anywhere that match, by term.
    anywhere: Vec<u32>,
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
        let sizes = |term: &DomainTerm| vec![0; domains[term.key].len()];
        let mut dealer = Self {
            cells,
            terms,
            domain,
            matching: terms.terms.iter().map(sizes).collect(),
            carrying: terms.terms.iter().map(sizes).collect(),
            anywhere: vec![0; terms.terms.len()],
            forbidden: Vec::new(),
            load: vec![0.0; cells.values.len()],
        };
        dealer.count_running(problem, groups, &domains);
        dealer
    }

    /// Whether a group has to be dealt out: it takes part in a term, or running pods keep it away from somewhere.
    pub fn concerns(&self, groups: &Groups, group: usize) -> bool {
        let identity = groups.groups[group].identity;
        self.terms.concern(group) || self.forbidden.iter().any(|(_, _, selector)| groups.matches(*selector, identity))
    }

    fn count_running(&mut self, problem: &Problem<'_>, groups: &Groups, domains: &[FastMap<Symbol, u32>]) {
        let cluster = problem.cluster;
        let mut pods: Vec<(u32, u32)> =
            groups.identity_of_pod.iter().map(|(pod, identity)| (*pod, *identity)).collect();
        pods.sort_unstable();
        for (pod, identity) in pods {
            let entry = &cluster.pods[pod as usize];
            let Some(node) = entry.node else { continue };
            if problem.without[node as usize] {
                continue;
            }
            let node_labels = &cluster.nodes[node as usize].labels;
            let domain_at = |key: usize| {
                label(node_labels, self.cells.keys[key]).and_then(|value| domains[key].get(&value).copied())
            };
            for (at, term) in self.terms.terms.iter().enumerate() {
                if groups.matches(term.selector, identity) {
                    self.anywhere[at] += 1;
                    if let Some(domain) = domain_at(term.key) {
                        self.matching[at][domain as usize] += 1;
                    }
                }
            }
            for term in &cluster.spec(entry.spec).anti_affinity {
                let Ok(key) = self.cells.keys.binary_search(&term.topology_key) else {
                    continue;
                };
                if let (Some(domain), Some(selector)) = (domain_at(key), groups.selector_id(&term.selector)) {
                    self.forbidden.push((key, domain, selector));
                }
            }
        }
        self.forbidden.sort_unstable();
        self.forbidden.dedup();
    }

    /// Deals out all groups that take part in terms; what cannot go anywhere is returned with its group.
    pub fn deal(&mut self, groups: &Groups, mut choices: Vec<Choice>) -> (Vec<Dealt>, Vec<(usize, u32)>) {
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
        for &term in &self.terms.matched[group] {
            self.anywhere[term as usize] += 1;
            if let Some(domain) = self.domain[self.terms.terms[term as usize].key][usize::from(cell)] {
                self.matching[term as usize][domain as usize] += 1;
            }
        }
        for &term in &self.terms.carried[group] {
            if let Some(domain) = self.domain[self.terms.terms[term as usize].key][usize::from(cell)] {
                self.carrying[term as usize][domain as usize] += 1;
            }
        }
        self.load[usize::from(cell)] += weight;
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
                    let domain = self.domain[self.terms.terms[*term as usize].key][usize::from(*cell)]?;
                    Some(self.matching[*term as usize][domain as usize])
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

    fn own_terms_hold(&self, groups: &Groups, choice: &Choice, cell: u16) -> bool {
        let group = choice.group;
        let identity = groups.groups[group].identity;
        let blocked = self.forbidden.iter().any(|(key, domain, selector)| {
            self.domain[*key][usize::from(cell)] == Some(*domain) && groups.matches(*selector, identity)
        });
        if blocked {
            return false;
        }
        let carried = self.terms.carried[group].iter().all(|at| {
            let term = &self.terms.terms[*at as usize];
            let own = groups.matches(term.selector, identity);
            let Some(domain) = self.domain[term.key][usize::from(cell)] else {
                // Without the label there is no domain: nothing to be far from, and nothing to be near to.
                return term.rule == DomainRule::Far;
            };
            let here = self.matching[*at as usize][domain as usize];
            match term.rule {
                DomainRule::Spread { max_skew, min_domains } => {
                    let least = self.least(*at, &choice.counted, min_domains);
                    i64::from(here) + i64::from(own) - i64::from(least) <= i64::from(max_skew)
                }
                DomainRule::Near => here > 0 || (own && self.anywhere[*at as usize] == 0),
                DomainRule::Far => here == 0,
            }
        });
        // Those that want to be far from this pod.
        carried
            && self.terms.matched[group].iter().all(|at| {
                let term = &self.terms.terms[*at as usize];
                term.rule != DomainRule::Far
                    || self.domain[term.key][usize::from(cell)]
                        .is_none_or(|domain| self.carrying[*at as usize][domain as usize] == 0)
            })
    }

    /// Whether pods that spread and are there already stay within their skew.
    fn others_stay_level(&self, choice: &Choice, cell: u16) -> bool {
        self.terms.matched[choice.group].iter().all(|at| {
            let term = &self.terms.terms[*at as usize];
            let DomainRule::Spread { max_skew, min_domains } = term.rule else {
                return true;
            };
            let Some(domain) = self.domain[term.key][usize::from(cell)] else {
                return true;
            };
            self.carrying[*at as usize][domain as usize] == 0
                || i64::from(self.matching[*at as usize][domain as usize]) + 1
                    - i64::from(self.least(*at, &choice.counted, min_domains))
                    <= i64::from(max_skew)
        })
    }

    /// Pods in the emptiest domain that counts.
    fn least(&self, term: u32, counted: &[u16], min_domains: i32) -> u32 {
        let key = self.terms.terms[term as usize].key;
        let counts = &self.matching[term as usize];
        let mut seen = 0_u64;
        let mut many = 0;
        let mut least = u32::MAX;
        for cell in counted {
            let Some(domain) = self.domain[key][usize::from(*cell)] else {
                continue;
            };
            least = least.min(counts[domain as usize]);
            if domain >= 64 || seen >> domain & 1 == 0 {
                many += 1;
                seen |= 1_u64.checked_shl(domain).unwrap_or(0);
            }
        }
        if many < min_domains || least == u32::MAX { 0 } else { least }
    }
}

fn compare(a: &(u8, f64, u32, f64), b: &(u8, f64, u32, f64)) -> std::cmp::Ordering {
    a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)).then(a.3.total_cmp(&b.3))
}
