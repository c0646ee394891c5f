//! Pods: what is kept of each, and the indices over them.

use crate::api::duration;
use crate::state::intern::{FastMap, Symbol};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";
/// How dear it is to let a pod go, for the ReplicaSet that is scaled in.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The same, where this autoscaler has said so.
pub const OWN_DELETION_COST: &str = "eksup.dev/pod-deletion-cost";
const MIRROR: &str = "kubernetes.io/config.mirror";
const CRITICAL: [&str; 2] = ["system-cluster-critical", "system-node-critical"];

/// The id that Kubernetes gave an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(u128);

impl Uid {
    /// Reads an id. Kubernetes gives UUIDs; any other text becomes a number of its own, by its bytes.
    pub fn read(text: &str) -> Self {
        let digits = || text.bytes().filter(|byte| *byte != b'-');
        let uuid = digits().count() == 32 && digits().all(|byte| byte.is_ascii_hexdigit());
        let fold = |number: u128, byte: u8| number.wrapping_mul(0x0100_0193).wrapping_add(u128::from(byte) + 1);
        Self(match uuid {
            true => u128::from_str_radix(&digits().map(char::from).collect::<String>(), 16).unwrap_or_default(),
            false => text.bytes().fold(0x6c62_272e, fold),
        })
    }

    /// One that no object has.
    pub fn of_nobody(number: u32) -> Self {
        Self(u128::MAX - u128::from(number))
    }

    /// The id of an object.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self::read(metadata.uid.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(out, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// Who made a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A daemon set.
    Daemon,
    /// The kubelet, from a file.
    Mirror,
    /// Something that makes another one when it goes.
    Workload,
    /// Nobody: when it goes, it is gone.
    None,
}

/// How far a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are Kubernetes' own phases")]
pub enum Phase {
    Pending,
    Running,
    Unknown,
}

/// For how long a pod keeps its node from being disrupted: `karpenter.sh/do-not-disrupt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// As long as it lives.
    Always,
    /// So long after its start.
    For(SignedDuration),
}

/// One pod that has not finished.
#[derive(Clone, Debug, PartialEq)]
pub struct LivePod {
    /// Its id.
    pub uid: Uid,
    /// `namespace/name`.
    pub name: Arc<str>,
    /// The node that it is bound to.
    pub node: Option<Symbol>,
    /// The node that it is meant for.
    pub nominated: Option<Symbol>,
    /// Index into the specs; `None` when it cannot be read.
    pub spec: Option<u32>,
    /// Index into the label sets.
    pub labels: u32,
    /// Index into the limits.
    pub limits: u32,
    /// The workload that owns it: `namespace/kind/name`.
    pub workload: Option<Symbol>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was bound.
    pub bound: Option<Timestamp>,
    /// When the kubelet took it up.
    pub started: Option<Timestamp>,
    /// When it has to be gone.
    pub deletion: Option<Timestamp>,
    /// How long it may take to end.
    pub grace_seconds: u32,
    /// Who made it.
    pub owner: Owner,
    /// How far it is.
    pub phase: Phase,
    /// Whether kube-scheduler has looked for a node and found none.
    pub unschedulable: bool,
    /// When kube-scheduler last found no node for it, as far as that was seen, unless it was told one since.
    pub refused: Option<Timestamp>,
    /// Whether somebody keeps it from being scheduled.
    pub gated: bool,
    /// Whether it serves.
    pub ready: bool,
    /// Whether it keeps its node.
    pub do_not_disrupt: Option<Protection>,
    /// `controller.kubernetes.io/pod-deletion-cost`, as others have said.
    pub deletion_cost: i32,
    /// The same, as this autoscaler has said.
    pub own_deletion_cost: Option<i32>,
    /// Its priority.
    pub priority: i32,
    /// Whether it is of a critical class of the system.
    pub critical: bool,
    pub(super) round: u32,
    pub(super) version: u64,
}

impl LivePod {
    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.name.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// Its name within the namespace.
    pub fn own_name(&self) -> &str {
        self.name.split_once('/').map_or(&self.name, |(_, name)| name)
    }

    /// Whether it is on its way out.
    pub fn leaving(&self) -> bool {
        self.deletion.is_some()
    }
}

/// What has to be read again when volumes or namespaces change, or explains why a pod cannot be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Aside {
    /// The pod as far as reading it again needs it.
    pub raw: Option<Box<(ObjectMeta, core::PodSpec)>>,
    /// Why it cannot be read.
    pub fault: Option<Box<str>>,
}

/// All pods with their indices.
#[derive(Debug, Default)]
pub(super) struct Pods {
    slots: Vec<Option<LivePod>>,
    free: Vec<u32>,
    by_uid: FastMap<Uid, u32>,
    by_name: FastMap<Arc<str>, u32>,
    by_node: FastMap<Symbol, Vec<u32>>,
    by_workload: FastMap<Symbol, Vec<u32>>,
    aside: BTreeMap<Uid, Aside>,
}

impl Pods {
    pub fn iter(&self) -> impl Iterator<Item = &LivePod> {
        self.slots.iter().flatten()
    }

    pub fn len(&self) -> usize {
        self.by_uid.len()
    }

    fn at(&self, slot: u32) -> Option<&LivePod> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub fn get(&self, uid: Uid) -> Option<&LivePod> {
        self.at(*self.by_uid.get(&uid)?)
    }

    pub fn get_mut(&mut self, uid: Uid) -> Option<&mut LivePod> {
        self.slots.get_mut(*self.by_uid.get(&uid)? as usize)?.as_mut()
    }

    pub fn named(&self, name: &str) -> Option<&LivePod> {
        self.at(*self.by_name.get(name)?)
    }

    pub fn on(&self, node: Symbol) -> impl Iterator<Item = &LivePod> {
        self.by_node.get(&node).into_iter().flatten().filter_map(|slot| self.at(*slot))
    }

    pub fn of(&self, workload: Symbol) -> impl Iterator<Item = &LivePod> {
        self.by_workload.get(&workload).into_iter().flatten().filter_map(|slot| self.at(*slot))
    }

    pub fn aside(&self, uid: Uid) -> Option<&Aside> {
        self.aside.get(&uid)
    }

    pub fn all_aside(&self) -> impl Iterator<Item = (Uid, &Aside)> {
        self.aside.iter().map(|(uid, aside)| (*uid, aside))
    }

    pub fn set_aside(&mut self, uid: Uid, aside: Aside) {
        if aside.raw.is_none() && aside.fault.is_none() {
            self.aside.remove(&uid);
        } else {
            self.aside.insert(uid, aside);
        }
    }

    /// The claims of volumes that a pod names.
    pub fn volume_claims(&self, pod: &LivePod) -> Vec<String> {
        let raw = self.aside.get(&pod.uid).and_then(|aside| aside.raw.as_ref());
        let volumes = raw.into_iter().flat_map(|raw| raw.1.volumes.iter().flatten());
        volumes.filter_map(|volume| claim_of(pod.own_name(), volume)).collect()
    }

    /// Puts a pod in the place of the one with its id or its name.
    pub fn put(&mut self, pod: LivePod) {
        if let Some(other) = self.by_name.get(&pod.name).and_then(|slot| self.at(*slot)).map(|other| other.uid)
            && other != pod.uid
        {
            self.remove(other);
        }
        let slot = match self.by_uid.get(&pod.uid) {
            Some(slot) => {
                let slot = *slot;
                if let Some(before) = self.slots[slot as usize].take() {
                    self.unindex(slot, &before);
                }
                slot
            }
            None => self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }),
        };
        self.by_uid.insert(pod.uid, slot);
        self.by_name.insert(Arc::clone(&pod.name), slot);
        if let Some(node) = pod.node {
            self.by_node.entry(node).or_default().push(slot);
        }
        if let Some(workload) = pod.workload {
            self.by_workload.entry(workload).or_default().push(slot);
        }
        self.slots[slot as usize] = Some(pod);
    }

    pub fn remove(&mut self, uid: Uid) -> Option<LivePod> {
        self.aside.remove(&uid);
        let slot = self.by_uid.remove(&uid)?;
        let pod = self.slots[slot as usize].take()?;
        self.unindex(slot, &pod);
        self.free.push(slot);
        Some(pod)
    }

    fn unindex(&mut self, slot: u32, pod: &LivePod) {
        self.by_name.remove(&pod.name);
        let forget = |index: &mut FastMap<Symbol, Vec<u32>>, key: Option<Symbol>| {
            let Some(key) = key else { return };
            if let Some(slots) = index.get_mut(&key) {
                slots.retain(|other| *other != slot);
                if slots.is_empty() {
                    index.remove(&key);
                }
            }
        };
        forget(&mut self.by_node, pod.node);
        forget(&mut self.by_workload, pod.workload);
    }
}

/// The claim that a volume of a pod names.
fn claim_of(pod: &str, volume: &core::Volume) -> Option<String> {
    match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(source), _) => Some(source.claim_name.clone()),
        (None, Some(_)) => Some(format!("{pod}-{}", volume.name)),
        _ => None,
    }
}

/// What says about a pod whether it may be moved and how it stands, without its place and spec.
pub(super) struct Standing {
    pub owner: Owner,
    pub phase: Phase,
    pub unschedulable: bool,
    pub ready: bool,
    pub bound: Option<Timestamp>,
    pub do_not_disrupt: Option<Protection>,
    pub deletion_cost: i32,
    pub own_deletion_cost: Option<i32>,
    pub critical: bool,
}

pub(super) fn standing(pod: &core::Pod) -> Standing {
    let annotation = |key: &str| pod.metadata.annotations.as_ref().and_then(|all| all.get(key)).map(String::as_str);
    let status = pod.status.as_ref();
    let condition = |kind: &str| status.and_then(|s| s.conditions.iter().flatten().find(|c| c.type_ == kind));
    let scheduled = condition("PodScheduled");
    let controller = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let class = pod.spec.as_ref().and_then(|spec| spec.priority_class_name.as_deref());
    let cost = |key: &str| annotation(key).and_then(|cost| cost.parse::<i32>().ok());
    let own_deletion_cost = cost(OWN_DELETION_COST).filter(|own| cost(DELETION_COST) == Some(*own));
    Standing {
        owner: match controller.map(|owner| owner.kind.as_str()) {
            _ if annotation(MIRROR).is_some() => Owner::Mirror,
            Some("DaemonSet") => Owner::Daemon,
            Some("Node") => Owner::Mirror,
            Some(_) => Owner::Workload,
            None => Owner::None,
        },
        phase: match status.and_then(|s| s.phase.as_deref()) {
            Some("Running") => Phase::Running,
            None | Some("Pending" | "") => Phase::Pending,
            Some(_) => Phase::Unknown,
        },
        unschedulable: scheduled.is_some_and(|c| c.status == "False" && c.reason.as_deref() == Some("Unschedulable")),
        ready: condition("Ready").is_some_and(|c| c.status == "True"),
        bound: scheduled.filter(|c| c.status == "True").and_then(|c| c.last_transition_time.as_ref()).map(|t| t.0),
        do_not_disrupt: annotation(DO_NOT_DISRUPT).and_then(protection),
        deletion_cost: cost(DELETION_COST).filter(|_| own_deletion_cost.is_none()).unwrap_or(0),
        own_deletion_cost,
        critical: class.is_some_and(|class| CRITICAL.contains(&class)),
    }
}

/// `true`, or a positive duration; anything else protects nothing.
fn protection(text: &str) -> Option<Protection> {
    if text == "true" {
        return Some(Protection::Always);
    }
    let seconds = duration::seconds(text).ok().filter(|seconds| *seconds > 0)?;
    i64::try_from(seconds).ok().map(|seconds| Protection::For(SignedDuration::from_secs(seconds)))
}

/// Whether how a pod is read depends on volumes or namespaces.
fn depends_on_others(spec: &core::PodSpec) -> bool {
    let claims = spec.volumes.iter().flatten().any(|v| v.persistent_volume_claim.is_some() || v.ephemeral.is_some());
    let affinity = spec.affinity.as_ref();
    let near = affinity.and_then(|a| a.pod_affinity.as_ref());
    let far = affinity.and_then(|a| a.pod_anti_affinity.as_ref());
    let required = near
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref())
        .into_iter()
        .chain(far.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()))
        .flatten();
    let preferred = near
        .and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref())
        .into_iter()
        .chain(far.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()))
        .flatten()
        .map(|weighted| &weighted.pod_affinity_term);
    claims || required.chain(preferred).any(|term| term.namespace_selector.is_some())
}

/// The pod as far as reading it again needs it, if that can be needed.
pub(super) fn raw_of(pod: &core::Pod) -> Option<Box<(ObjectMeta, core::PodSpec)>> {
    let spec = pod.spec.as_ref().filter(|spec| depends_on_others(spec))?;
    let metadata = ObjectMeta {
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        labels: pod.metadata.labels.clone(),
        ..ObjectMeta::default()
    };
    let containers = |list: &[core::Container]| list.iter().map(bare).collect::<Vec<_>>();
    let volumes = spec.volumes.iter().flatten();
    let volumes = volumes.filter(|v| v.persistent_volume_claim.is_some() || v.ephemeral.is_some());
    let volumes = volumes.map(|volume| core::Volume {
        name: volume.name.clone(),
        persistent_volume_claim: volume.persistent_volume_claim.clone(),
        ephemeral: volume.ephemeral.as_ref().map(|_| core::EphemeralVolumeSource::default()),
        ..core::Volume::default()
    });
    let kept = core::PodSpec {
        containers: containers(&spec.containers),
        init_containers: spec.init_containers.as_deref().map(containers),
        affinity: spec.affinity.clone(),
        host_network: spec.host_network,
        node_selector: spec.node_selector.clone(),
        overhead: spec.overhead.clone(),
        resources: spec.resources.clone(),
        tolerations: spec.tolerations.clone(),
        topology_spread_constraints: spec.topology_spread_constraints.clone(),
        volumes: Some(volumes.collect()),
        ..core::PodSpec::default()
    };
    Some(Box::new((metadata, kept)))
}

fn bare(container: &core::Container) -> core::Container {
    core::Container {
        name: container.name.clone(),
        ports: container.ports.clone(),
        resources: container.resources.clone(),
        restart_policy: container.restart_policy.clone(),
        ..core::Container::default()
    }
}
