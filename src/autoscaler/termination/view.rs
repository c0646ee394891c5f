//! Everything that goes now, read from the live state.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::drain::{Budget, DrainPod, Protected};
use super::steps::{ClaimView, Instance, Leaving, NodeView};
use crate::autoscaler::api::{NodeClaim, duration};
use crate::autoscaler::cloud::instance_id;
use crate::autoscaler::state::intern::Symbol;
use crate::autoscaler::state::live::{Live, LiveClaim, LiveNode, LivePod, Owner, Protection};
use crate::autoscaler::state::pod_spec::{Effect, Taint};

/// The taint of nodes that go or are about to.
pub const DISRUPTED: &str = "karpenter.sh/disrupted";
/// The finalizer on nodes and claims.
pub const FINALIZER: &str = "karpenter.sh/termination";
/// The label that takes a node out of load balancers, and its value.
pub const EXCLUDED: (&str, &str) = ("node.kubernetes.io/exclude-from-external-load-balancers", "karpenter");
/// The annotation of claims that says when they have to be gone.
pub const END: &str = "karpenter.sh/nodeclaim-termination-timestamp";
/// The group of the classes whose claims are ours.
const CLASS_GROUP: &str = "karpenter.k8s.aws";

/// One claim with its nodes, or one node without claim, that goes.
#[derive(Clone, Debug)]
pub struct Going {
    /// What tells it from all others.
    pub key: String,
    /// What is decided from.
    pub leaving: Leaving,
    /// The claim.
    pub claim: Option<Arc<NodeClaim>>,
    /// Its instance.
    pub instance: Option<String>,
    /// Its nodes, by name and UID.
    pub nodes: Vec<(String, String)>,
}

impl Going {
    /// The UID of one of its nodes.
    pub fn node_uid(&self, name: &str) -> Option<&str> {
        self.nodes.iter().find(|(own, _)| own == name).map(|(_, uid)| uid.as_str())
    }
}

/// Everything that goes. `state` says what is known of an instance.
pub fn going(live: &Live, state: impl Fn(&str) -> Instance, now: Timestamp) -> Vec<Going> {
    let reader = Reader { live, state: &state, taint: disrupted(live), now };
    let claims = live.claims().filter(|claim| claim.object.spec.node_class_ref.group == CLASS_GROUP);
    let mut all: Vec<Going> = claims.filter_map(|claim| reader.claim(claim)).collect();
    let lonely = live.nodes().filter(|node| node.deletion.is_some() && held(&node.finalizers));
    all.extend(lonely.filter(|node| claim_of(live, node).is_none()).map(|node| reader.lonely(node)));
    all
}

/// The claim of a node: of the same instance, or named as its owner.
pub fn claim_of<'a>(live: &'a Live, node: &LiveNode) -> Option<&'a LiveClaim> {
    live.claim_of_node(node).or_else(|| live.claim(node.owner_claim.as_deref()?))
}

/// The node of a claim: of the same instance, or the one that its status names.
pub fn node_of<'a>(live: &'a Live, claim: &LiveClaim) -> Option<&'a LiveNode> {
    let named = || live.node(claim.object.status.as_ref()?.node_name.as_deref()?);
    live.node_of_claim(claim).or_else(named)
}

/// The pods on a node as a drain sees them.
pub fn pods_on(live: &Live, node: &str) -> Vec<DrainPod> {
    let taint = disrupted(live);
    live.pods_on(node).map(|pod| drain_pod(live, pod, &taint)).collect()
}

fn held(finalizers: &[Box<str>]) -> bool {
    finalizers.iter().any(|finalizer| &**finalizer == FINALIZER)
}

/// A word that no pod has ever used is known to nobody.
fn disrupted(live: &Live) -> Taint {
    let symbol = |text: &str| live.names().strings.find(text).unwrap_or(Symbol(u32::MAX));
    Taint { key: symbol(DISRUPTED), value: symbol(""), effect: Effect::NoSchedule }
}

struct Reader<'a, F> {
    live: &'a Live,
    state: &'a F,
    taint: Taint,
    now: Timestamp,
}

impl<F: Fn(&str) -> Instance> Reader<'_, F> {
    fn claim(&self, claim: &LiveClaim) -> Option<Going> {
        let node = node_of(self.live, claim);
        if claim.deletion().is_none() && node.is_none_or(|node| node.deletion.is_none()) {
            return None;
        }
        let instance = claim.provider_id().and_then(instance_id).map(str::to_owned);
        let grace = claim.object.spec.termination_grace_period.as_deref().and_then(|text| duration::seconds(text).ok());
        let view = ClaimView {
            name: claim.name.to_string(),
            deleted: claim.deletion(),
            held: claim.object.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER),
            grace,
            end: claim.annotation(END).and_then(|text| text.parse().ok()),
            ending: claim.is("InstanceTerminating"),
        };
        let key = format!("claim/{}", claim.name);
        Some(self.whole(key, Some((view, Arc::clone(&claim.object))), node, instance))
    }

    fn lonely(&self, node: &LiveNode) -> Going {
        let instance = node.provider_id.as_deref().and_then(instance_id).map(str::to_owned);
        // Only instances of ours are ended.
        let ours = self.live.node_label(node, crate::autoscaler::api::labels::NODE_POOL).is_some();
        self.whole(format!("node/{}", node.name), None, Some(node), instance.filter(|_| ours))
    }

    fn whole(
        &self,
        key: String,
        claim: Option<(ClaimView, Arc<NodeClaim>)>,
        node: Option<&LiveNode>,
        instance: Option<String>,
    ) -> Going {
        let (view, object) = claim.unzip();
        let pods: Vec<&LivePod> = node.into_iter().flat_map(|node| self.live.pods_on(&node.name)).collect();
        let leaving = Leaving {
            claim: view,
            nodes: node.map(|node| self.node(node)).into_iter().collect(),
            instance: instance.as_deref().map_or(Instance::None, self.state),
            pods: pods.iter().map(|pod| drain_pod(self.live, pod, &self.taint)).collect(),
            volumes: node.map(|node| self.volumes(node, &pods)).unwrap_or_default(),
        };
        let nodes = node.map(|node| (node.name.to_string(), node.uid.to_string())).into_iter().collect();
        Going { key, leaving, claim: object, instance, nodes }
    }

    fn node(&self, node: &LiveNode) -> NodeView {
        let excluded = self.live.node_label(node, EXCLUDED.0) == Some(EXCLUDED.1);
        NodeView {
            name: node.name.to_string(),
            deleted: node.deletion.is_some(),
            held: held(&node.finalizers),
            marked: node.has_taint(DISRUPTED) && excluded,
            ready: node.ready(),
        }
    }

    /// Attached volumes, but for those that pods hold which nobody waits for.
    fn volumes(&self, node: &LiveNode, pods: &[&LivePod]) -> Vec<String> {
        let attached = self.live.attachments(&node.name).filter_map(|attachment| attachment.volume.as_deref());
        let mut attached: BTreeSet<&str> = attached.collect();
        if !attached.is_empty() {
            let stay = pods.iter().filter(|pod| drain_pod(self.live, pod, &self.taint).is_left_alone(self.now));
            for volume in stay.flat_map(|pod| self.live.volumes_of(pod)) {
                attached.remove(volume);
            }
        }
        attached.into_iter().map(str::to_owned).collect()
    }
}

fn drain_pod(live: &Live, pod: &LivePod, taint: &Taint) -> DrainPod {
    let tolerations = live.spec(pod).map(|spec| spec.tolerations.as_slice()).unwrap_or_default();
    let budget = |budget: &crate::autoscaler::state::live::LiveBudget| Budget {
        name: budget.name.to_string(),
        allowed: budget.allowed,
        unhealthy_may_go: budget.always_allows_unhealthy,
    };
    DrainPod {
        uid: pod.uid.to_string(),
        namespace: pod.namespace().to_owned(),
        name: pod.own_name().to_owned(),
        daemon: pod.owner == Owner::Daemon,
        mirror: pod.owner == Owner::Mirror,
        critical: pod.critical,
        finished: false,
        tolerates: tolerations.iter().any(|toleration| toleration.tolerates(&live.names().strings, taint)),
        ready: pod.ready,
        size: live.size_of(pod),
        grace: i64::from(pod.grace_seconds),
        deletion: pod.deletion,
        protected: protected(pod),
        budgets: live.budgets_of(pod).map(budget).collect(),
    }
}

/// A protection for a time counts from the start of the pod: one that has not started keeps all of it.
fn protected(pod: &LivePod) -> Protected {
    match (pod.do_not_disrupt, pod.started) {
        (None, _) => Protected::No,
        (Some(Protection::For(time)), Some(started)) => {
            started.checked_add(time).map_or(Protected::Always, Protected::Until)
        }
        (Some(Protection::Always | Protection::For(_)), _) => Protected::Always,
    }
}
