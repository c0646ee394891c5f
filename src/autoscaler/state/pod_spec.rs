//! A pod as the scheduler sees it. Two pods with equal specs and labels are interchangeable.

use super::intern::Symbol;
use super::requirements::Requirements;
use super::resources::Amounts;

/// Labels sorted by key.
pub type Labels = Box<[(Symbol, Symbol)]>;

/// The value of a label.
pub fn label(labels: &[(Symbol, Symbol)], key: Symbol) -> Option<Symbol> {
    labels.binary_search_by_key(&key, |(known, _)| *known).ok().map(|at| labels[at].1)
}

/// Everything about a pod that decides where it can run, except its labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PodSpec {
    /// The namespace, as the numeric value of its symbol.
    pub namespace: u32,
    /// Effective requests, one pod slot included.
    pub requests: Amounts,
    /// Alternatives of which one must hold: node selector, required node affinity and volumes
    /// multiplied out. Never empty: a pod without requirements has one unrestricted term.
    pub node_terms: Vec<Requirements>,
    /// The same without volumes, where these narrow it: what a topology spread goes by.
    pub selection: Option<Vec<Requirements>>,
    /// Preferred node affinity with weights.
    pub preferred_nodes: Vec<(i32, Requirements)>,
    /// Tolerations.
    pub tolerations: Vec<Toleration>,
    /// Topology spread constraints.
    pub spreads: Vec<Spread>,
    /// Required pod affinity.
    pub affinity: Vec<PodTerm>,
    /// Required pod anti-affinity.
    pub anti_affinity: Vec<PodTerm>,
    /// Preferred pod affinity (positive weight) and anti-affinity (negative weight).
    pub preferred_pods: Vec<(i32, PodTerm)>,
    /// Ports of the host that the pod takes.
    pub host_ports: Vec<HostPort>,
    /// The workload that owns the pod, for spreading its replicas over machines.
    pub workload: Option<Symbol>,
}

impl PodSpec {
    /// Node selector and required node affinity, volumes left out.
    pub fn node_selection(&self) -> &[Requirements] {
        self.selection.as_ref().unwrap_or(&self.node_terms)
    }
}

impl PodSpec {
    /// Every symbol in use.
    pub fn symbols(&self, visit: &mut dyn FnMut(Symbol)) {
        visit(Symbol(self.namespace));
        self.workload.into_iter().for_each(&mut *visit);
        for terms in [Some(&self.node_terms), self.selection.as_ref()].into_iter().flatten() {
            terms.iter().for_each(|term| term.symbols(visit));
        }
        self.preferred_nodes.iter().for_each(|(_, term)| term.symbols(visit));
        for toleration in &self.tolerations {
            toleration.key.into_iter().for_each(&mut *visit);
            visit(toleration.value);
        }
        for spread in &self.spreads {
            visit(spread.topology_key);
            spread.selector.symbols(visit);
        }
        let preferred = self.preferred_pods.iter().map(|(_, term)| term);
        for term in self.affinity.iter().chain(&self.anti_affinity).chain(preferred) {
            visit(term.topology_key);
            term.selector.symbols(visit);
        }
        for port in &self.host_ports {
            visit(port.protocol);
            port.address.into_iter().for_each(&mut *visit);
        }
    }
}

impl PodSelector {
    fn symbols(&self, visit: &mut dyn FnMut(Symbol)) {
        self.namespaces.iter().flatten().copied().for_each(&mut *visit);
        self.labels.iter().for_each(|labels| labels.symbols(visit));
    }
}

/// The effect of a taint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Pods without toleration are not placed.
    NoSchedule,
    /// Pods without toleration are placed elsewhere if possible.
    PreferNoSchedule,
    /// Pods without toleration are not placed, and evicted.
    NoExecute,
}

/// A taint of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Taint {
    /// Taint key.
    pub key: Symbol,
    /// Taint value; the empty text when there is none.
    pub value: Symbol,
    /// Taint effect.
    pub effect: Effect,
}

/// A toleration of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Toleration {
    /// The taint key; `None` tolerates every key.
    pub key: Option<Symbol>,
    /// How the value is compared.
    pub operator: TolerationOperator,
    /// The value that `Equal`, `Gt` and `Lt` compare with.
    pub value: Symbol,
    /// The taint effect; `None` tolerates every effect.
    pub effect: Option<Effect>,
}

/// How a toleration compares values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TolerationOperator {
    /// Any value.
    Exists,
    /// The same value.
    Equal,
    /// A taint value greater than the toleration's, both integers.
    Gt,
    /// A taint value less than the toleration's, both integers.
    Lt,
}

impl Toleration {
    /// Whether this toleration covers a taint.
    pub fn tolerates(&self, names: &super::intern::Interner, taint: &Taint) -> bool {
        let compare = |test: fn(i64, i64) -> bool| matches!((names.number(taint.value), names.number(self.value)), (Some(a), Some(b)) if test(a, b));
        self.effect.is_none_or(|effect| effect == taint.effect)
            && self.key.is_none_or(|key| key == taint.key)
            && match self.operator {
                TolerationOperator::Exists => true,
                TolerationOperator::Equal => self.value == taint.value,
                TolerationOperator::Gt => compare(|taint, own| taint > own),
                TolerationOperator::Lt => compare(|taint, own| taint < own),
            }
    }
}

/// Which pods a term speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodSelector {
    /// Their namespaces; `None` is every namespace.
    pub namespaces: Option<Box<[Symbol]>>,
    /// Their labels; `None` (a selector that was left out) matches no pod.
    pub labels: Option<Requirements>,
}

impl PodSelector {
    /// The pods that both selectors mean.
    pub fn and(&self, other: &Self) -> Self {
        let namespaces = match (&self.namespaces, &other.namespaces) {
            (Some(own), Some(others)) => Some(own.iter().filter(|name| others.contains(name)).copied().collect()),
            (own, others) => own.clone().or_else(|| others.clone()),
        };
        let labels = match (&self.labels, &other.labels) {
            (Some(own), Some(others)) => Some(own.and(others)),
            _ => None,
        };
        Self { namespaces, labels }
    }

    /// Whether a pod is meant.
    pub fn matches(&self, names: &super::intern::Interner, namespace: Symbol, labels: &[(Symbol, Symbol)]) -> bool {
        self.namespaces.as_ref().is_none_or(|list| list.contains(&namespace))
            && self.labels.as_ref().is_some_and(|wanted| wanted.met_by(names, |key| label(labels, key)))
    }
}

/// A pod affinity or anti-affinity term.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodTerm {
    /// The label key whose values are the domains.
    pub topology_key: Symbol,
    /// The pods to be near to, or far from.
    pub selector: PodSelector,
}

/// A topology spread constraint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spread {
    /// The label key whose values are the domains.
    pub topology_key: Symbol,
    /// The pods that are counted.
    pub selector: PodSelector,
    /// The largest allowed difference to the emptiest domain.
    pub max_skew: i32,
    /// Below this number of domains the emptiest counts as zero.
    pub min_domains: i32,
    /// `DoNotSchedule` when true, `ScheduleAnyway` when false.
    pub required: bool,
    /// Only domains with nodes that the pod's node selector and affinity accept count.
    pub honor_node_affinity: bool,
    /// Only domains with nodes whose taints the pod tolerates count.
    pub honor_taints: bool,
}

/// A port of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Port number.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Symbol,
    /// The address; `None` is all of them.
    pub address: Option<Symbol>,
}

impl HostPort {
    /// Whether both cannot be had on one host.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address.is_none() || other.address.is_none() || self.address == other.address)
    }
}
