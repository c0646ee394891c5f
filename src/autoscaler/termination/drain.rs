//! Which pods of a leaving node are evicted, deleted outright, waited for or left alone, and why it is stuck.
//!
//! Pods go in four tiers, each awaited before the next: ordinary ones, ordinary daemons, critical ones, critical
//! daemons. The eviction API has the last word on disruption budgets; what is known of them here decides how soon it
//! is asked again and what the reason is called.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;

/// So long after its deletion time a pod that is still there is given up: its kubelet is gone.
pub const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// How a pod is kept from being disturbed by its annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protected {
    /// It is not.
    No,
    /// For good.
    Always,
    /// Until then.
    Until(Timestamp),
}

impl Protected {
    fn holds_at(self, now: Timestamp) -> bool {
        match self {
            Self::No => false,
            Self::Always => true,
            Self::Until(end) => now < end,
        }
    }
}

/// A disruption budget that selects a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// `namespace/name`.
    pub name: String,
    /// How many pods it lets go now.
    pub allowed: i32,
    /// Whether a pod that is not ready may always go.
    pub unhealthy_may_go: bool,
}

/// A pod on a leaving node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainPod {
    /// Its UID.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether a DaemonSet owns it.
    pub daemon: bool,
    /// Whether it mirrors a static pod.
    pub mirror: bool,
    /// Whether it is critical to the system.
    pub critical: bool,
    /// Whether it has succeeded or failed.
    pub finished: bool,
    /// Whether it tolerates the taint of leaving nodes.
    pub tolerates: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// How large it is: thousandths of a core, with 4 GiB of memory counting as one.
    pub size: u64,
    /// Its grace period in seconds.
    pub grace: i64,
    /// The time by which it should be gone, once it has been deleted.
    pub deletion: Option<Timestamp>,
    /// Its protection.
    pub protected: Protected,
    /// The budgets that select it.
    pub budgets: Vec<Budget>,
}

impl DrainPod {
    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// A reference to it, for events.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }

    /// Whether the drain leaves it alone: nobody waits for it, and its volumes hold nothing up.
    pub fn is_left_alone(&self, now: Timestamp) -> bool {
        let given_up = self.deletion.is_some_and(|deletion| now >= deletion.saturating_add_signed(GIVEN_UP_AFTER));
        self.mirror || self.finished || self.tolerates || given_up
    }

    /// When it is deleted outright if the node has to be gone at `end`, so that its grace period fits in.
    fn outright_at(&self, end: Timestamp) -> Timestamp {
        end.saturating_add_signed(SignedDuration::from_secs(-self.grace.max(0)))
    }

    fn tier(&self) -> u8 {
        2 * u8::from(self.critical) + u8::from(self.daemon)
    }

    fn why_not_evicted(&self) -> Option<Why> {
        if let [_, _, ..] = self.budgets.as_slice() {
            return Some(Why::SeveralBudgets(self.budgets.iter().map(|budget| budget.name.clone()).collect()));
        }
        let full = self.budgets.iter().find(|budget| budget.allowed < 1 && (self.ready || !budget.unhealthy_may_go))?;
        Some(Why::Budget(full.name.clone()))
    }
}

/// Adding durations to times without overflow.
trait Saturating {
    fn saturating_add_signed(self, duration: SignedDuration) -> Self;
}

impl Saturating for Timestamp {
    fn saturating_add_signed(self, duration: SignedDuration) -> Self {
        self.checked_add(duration).unwrap_or(if duration.is_negative() { Self::MIN } else { Self::MAX })
    }
}

/// Why a pod is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is ending, and has until then.
    Ending(Timestamp),
    /// It was ending until then, and has not ended.
    Overdue(Timestamp),
    /// Its annotation protects it, until then or for good.
    Protected(Option<Timestamp>),
    /// This budget lets nobody go.
    Budget(String),
    /// The eviction API refuses pods that several budgets select.
    SeveralBudgets(Vec<String>),
}

/// A pod that is to be asked to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// The pod.
    pub pod: usize,
    /// Whether what is known of the budgets says that it will be refused: asked seldom then.
    pub doubtful: bool,
}

/// What is to be done now. Pods are named by their place in the list that was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// Pods to evict.
    pub evict: Vec<Eviction>,
    /// Pods to delete outright, with the grace period that is left for them in seconds.
    pub delete: Vec<(usize, i64)>,
    /// Pods that are waited for in the tier that has its turn, and why each of them is still there.
    pub waits: Vec<(usize, Why)>,
    /// How many pods are waited for in all, those of later tiers included.
    pub left: usize,
    /// When time alone changes this decision next.
    pub again: Option<Timestamp>,
}

impl Drain {
    /// Whether nobody is waited for any more.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }
}

/// Decides for the pods of one node. `end` is when the node has to be gone, if there is such a time.
pub fn decide(pods: &[DrainPod], end: Option<Timestamp>, now: Timestamp) -> Drain {
    let mut drain = Drain::default();
    let mut tier = u8::MAX;
    for pod in pods.iter().filter(|pod| !pod.is_left_alone(now)) {
        drain.left += 1;
        tier = tier.min(pod.tier());
    }
    for (at, pod) in pods.iter().enumerate().filter(|(_, pod)| !pod.is_left_alone(now)) {
        if delete_outright(&mut drain, at, pod, end, now) || pod.tier() > tier {
            continue;
        }
        wait_or_evict(&mut drain, at, pod, now);
    }
    drain
}

/// Deletes the pod if its time has come; whether it did.
fn delete_outright(drain: &mut Drain, at: usize, pod: &DrainPod, end: Option<Timestamp>, now: Timestamp) -> bool {
    let Some(end) = end else { return false };
    // A pod that would be gone in time by itself needs no second deletion.
    if pod.deletion.is_some_and(|deletion| deletion <= end.max(now)) {
        return false;
    }
    let due = pod.outright_at(end);
    if now < due {
        drain.wake_at(due);
        return false;
    }
    drain.delete.push((at, end.duration_since(now).as_secs().max(1)));
    true
}

fn wait_or_evict(drain: &mut Drain, at: usize, pod: &DrainPod, now: Timestamp) {
    if let Some(deletion) = pod.deletion {
        drain.wake_at(deletion.saturating_add_signed(GIVEN_UP_AFTER));
        let why = if now < deletion { Why::Ending(deletion) } else { Why::Overdue(deletion) };
        return drain.waits.push((at, why));
    }
    if pod.protected.holds_at(now) {
        let until = match pod.protected {
            Protected::Until(end) => Some(end),
            _ => None,
        };
        until.into_iter().for_each(|end| drain.wake_at(end));
        return drain.waits.push((at, Why::Protected(until)));
    }
    let why = pod.why_not_evicted();
    drain.evict.push(Eviction { pod: at, doubtful: why.is_some() });
    drain.waits.extend(why.map(|why| (at, why)));
}

impl Drain {
    fn wake_at(&mut self, time: Timestamp) {
        self.again = Some(self.again.map_or(time, |again| again.min(time)));
    }

    /// Whether something waits for somebody's hand, or for pods elsewhere.
    pub fn is_stuck(&self) -> bool {
        self.waits.iter().any(|(_, why)| !matches!(why, Why::Ending(_)))
    }

    /// What is waited for, in a sentence, or nothing when every pod that is left has just been asked to go.
    /// It does not change by itself from second to second, so that it can stand on an object.
    pub fn sentence(&self, pods: &[DrainPod]) -> Option<String> {
        const NAMED: usize = 3;
        // What needs somebody's hand is said before what passes by itself.
        let mut waits: Vec<_> = self.waits.iter().filter_map(|(at, why)| Some((pods.get(*at)?, why))).collect();
        waits.sort_by_key(|(pod, why)| (matches!(why, Why::Ending(_)), pod.full_name()));
        let parts: Vec<String> =
            waits.iter().take(NAMED).map(|(pod, why)| format!("pod `{}` {why}", pod.full_name())).collect();
        let more = match waits.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        (!parts.is_empty()).then(|| format!("{}{more}", parts.join("; ")))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ending(until) => write!(out, "is ending and has until {}", short(*until)),
            Self::Overdue(until) => {
                write!(out, "should have ended at {} and has not: look at its finalizers and its kubelet", short(*until))
            }
            Self::Protected(None) => out.write_str(
                "has the annotation `karpenter.sh/do-not-disrupt`: take it away or delete the pod, or give the NodePool \
                 a `terminationGracePeriod`",
            ),
            Self::Protected(Some(until)) => {
                write!(out, "is protected by `karpenter.sh/do-not-disrupt` until {}", short(*until))
            }
            Self::Budget(name) => write!(
                out,
                "may not be evicted: the PodDisruptionBudget `{name}` allows no disruption now; it goes when more of its \
                 pods are ready"
            ),
            Self::SeveralBudgets(names) => write!(
                out,
                "cannot be evicted: the PodDisruptionBudgets `{}` all select it, which the eviction API refuses; leave one",
                names.join("`, `")
            ),
        }
    }
}

/// A time to the second.
pub fn short(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

#[cfg(test)]
pub(super) mod tests;
