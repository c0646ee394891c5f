//! What is next for one claim that goes, with its node: prepare, drain, detach, end the instance, let go.

use jiff::{SignedDuration, Timestamp};

use super::drain::{self, Drain, DrainPod, short};

/// A node on which pods ran stays at least so long after its deletion: load balancers have to hear of it.
pub const MINIMUM_DRAIN: SignedDuration = SignedDuration::from_secs(5);
/// So long after our taint was written, a pod may still be bound by a scheduler that had not seen it.
pub const SETTLE: SignedDuration = SignedDuration::from_millis(500);

/// The claim, as far as its end is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimView {
    /// Its name.
    pub name: String,
    /// Since when it is being deleted.
    pub deleted: Option<Timestamp>,
    /// Whether our finalizer is on it.
    pub held: bool,
    /// How long draining may take at most, in seconds.
    pub grace: Option<u64>,
    /// When it has to be gone, as its annotation says.
    pub end: Option<Timestamp>,
    /// Whether its conditions say that the instance was told to end.
    pub ending: bool,
}

/// The node, as far as its end is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Whether it is being deleted.
    pub deleted: bool,
    /// Whether our finalizer is on it.
    pub held: bool,
    /// Whether it has our taint and our label.
    pub marked: bool,
    /// Whether it is ready.
    pub ready: bool,
}

/// What is known of the instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instance {
    /// There never was one.
    None,
    /// Nothing was asked yet.
    #[default]
    Unknown,
    /// It was there when it was asked for.
    There,
    /// It was told to end.
    Ending,
    /// It is gone.
    Gone,
}

/// Everything about one claim, or one node without claim, that goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// The claim.
    pub claim: Option<ClaimView>,
    /// The nodes of its instance; more than one only by mistake.
    pub nodes: Vec<NodeView>,
    /// The instance.
    pub instance: Instance,
    /// The pods on the nodes.
    pub pods: Vec<DrainPod>,
    /// Volumes that are attached to the nodes and that no pod holds which nobody waits for.
    pub volumes: Vec<String>,
}

/// What has to be remembered of one that goes; losing it costs a repeated question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// When we wrote the taint.
    pub marked_at: Option<Timestamp>,
    /// Whether pods had to be drained that are no daemons.
    pub had_pods: bool,
}

/// What is to be done. Everything in one list can be done at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Do {
    /// Delete the claim, as its node was deleted.
    DeleteClaim,
    /// Write on the claim when it has to be gone.
    SetEnd(Timestamp),
    /// Put taint, label and finalizer on the node of this name, where they are missing, then delete it.
    PrepareNode(String),
    /// Ask whether the instance is still there.
    Look,
    /// Evict and delete pods.
    Drain(Drain),
    /// End the instance.
    EndInstance,
    /// Take our finalizer from the node of this name.
    ReleaseNode(String),
    /// Take our finalizer from the claim.
    ReleaseClaim,
}

/// How far it is, for conditions and events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Pods are left. The sentence names those that hold it up.
    Draining {
        /// How many pods are waited for.
        left: usize,
        /// Why they are still there.
        why: Option<String>,
        /// Whether something else than time is waited for.
        stuck: bool,
    },
    /// The pods are gone; a moment is waited out.
    Settling,
    /// Volumes are attached.
    Detaching(Vec<String>),
    /// The instance ends; these volumes were attached when time was up.
    Ending(Vec<String>),
    /// It can go.
    Gone,
}

/// The next steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// What is to be done.
    pub todo: Vec<Do>,
    /// How far it is.
    pub stage: Stage,
    /// When time alone changes this.
    pub again: Option<Timestamp>,
}

impl Next {
    fn of(stage: Stage, todo: Vec<Do>) -> Self {
        Self { todo, stage, again: None }
    }
}

/// Decides what is next.
pub fn next(leaving: &Leaving, memory: &mut Memory, now: Timestamp) -> Next {
    let Some(claim) = &leaving.claim else { return without_claim(leaving) };
    if claim.deleted.is_none() {
        return Next::of(draining(leaving.pods.len(), None, false), vec![Do::DeleteClaim]);
    }
    if matches!(leaving.instance, Instance::Gone | Instance::None) {
        return let_go(leaving);
    }
    let end = claim.end.or_else(|| end_of(claim));
    let mut next = drain_and_end(leaving, claim, end, memory, now);
    next.todo.splice(0..0, preparations(leaving, claim, end));
    next
}

fn draining(left: usize, why: Option<String>, stuck: bool) -> Stage {
    Stage::Draining { left, why, stuck }
}

/// When the claim's grace period for termination is over.
fn end_of(claim: &ClaimView) -> Option<Timestamp> {
    let grace = SignedDuration::from_secs(i64::try_from(claim.grace?).ok()?);
    claim.deleted?.checked_add(grace).ok()
}

fn preparations(leaving: &Leaving, claim: &ClaimView, end: Option<Timestamp>) -> Vec<Do> {
    let mut todo: Vec<Do> = match (claim.end, end) {
        (None, Some(end)) => vec![Do::SetEnd(end)],
        _ => Vec::new(),
    };
    let unprepared = leaving.nodes.iter().filter(|node| !node.marked || !node.deleted);
    todo.extend(unprepared.map(|node| Do::PrepareNode(node.name.clone())));
    if leaving.nodes.iter().any(|node| !node.ready) && leaving.instance == Instance::Unknown {
        todo.push(Do::Look);
    }
    todo
}

fn drain_and_end(
    leaving: &Leaving,
    claim: &ClaimView,
    end: Option<Timestamp>,
    memory: &mut Memory,
    now: Timestamp,
) -> Next {
    if leaving.instance == Instance::Ending {
        return Next::of(Stage::Ending(Vec::new()), Vec::new());
    }
    if claim.ending {
        return Next::of(Stage::Ending(Vec::new()), vec![Do::EndInstance]);
    }
    let drain = drain::decide(&leaving.pods, end, now);
    memory.had_pods |= leaving.pods.iter().any(|pod| !pod.daemon && !pod.is_left_alone(now));
    if !drain.is_over() {
        let stage = draining(drain.left, drain.sentence(&leaving.pods), drain.is_stuck());
        let again = drain.again;
        return Next { todo: vec![Do::Drain(drain)], stage, again };
    }
    if let Some(until) = settled_at(leaving, claim, memory).filter(|until| now < *until) {
        return Next { todo: Vec::new(), stage: Stage::Settling, again: Some(until) };
    }
    let volumes = leaving.volumes.clone();
    if volumes.is_empty() || end.is_some_and(|end| now >= end) {
        return Next::of(Stage::Ending(volumes), vec![Do::EndInstance]);
    }
    Next { todo: Vec::new(), stage: Stage::Detaching(volumes), again: end }
}

/// Until when it is waited although no pod is left; nothing where there is no node.
fn settled_at(leaving: &Leaving, claim: &ClaimView, memory: &Memory) -> Option<Timestamp> {
    if leaving.nodes.is_empty() {
        return None;
    }
    let after = |time: Timestamp, wait| time.checked_add(wait).unwrap_or(time);
    if leaving.nodes.iter().any(|node| !node.marked) && memory.marked_at.is_none() {
        // The taint is being written: what is decided after that counts.
        return Some(Timestamp::MAX);
    }
    let marked = memory.marked_at.map(|time| after(time, SETTLE));
    let drained = claim.deleted.filter(|_| memory.had_pods).map(|time| after(time, MINIMUM_DRAIN));
    marked.max(drained)
}

/// The claim was taken away by hand: what is left of it goes without further ado.
fn without_claim(leaving: &Leaving) -> Next {
    match leaving.instance {
        Instance::Gone | Instance::None => let_go(leaving),
        Instance::Ending => Next::of(Stage::Ending(Vec::new()), Vec::new()),
        Instance::Unknown | Instance::There => Next::of(Stage::Ending(Vec::new()), vec![Do::EndInstance]),
    }
}

/// First the nodes, then the claim: a claim stands as long as anything of it does.
fn let_go(leaving: &Leaving) -> Next {
    let mut todo: Vec<Do> = Vec::new();
    for node in &leaving.nodes {
        match node.deleted {
            false => todo.push(Do::PrepareNode(node.name.clone())),
            true if node.held => todo.push(Do::ReleaseNode(node.name.clone())),
            true => {}
        }
    }
    if leaving.nodes.is_empty() && leaving.claim.as_ref().is_some_and(|claim| claim.held) {
        todo.push(Do::ReleaseClaim);
    }
    Next::of(Stage::Gone, todo)
}

impl Stage {
    /// What is waited for, in a sentence.
    pub fn sentence(&self, end: Option<Timestamp>) -> String {
        let limit = match end {
            Some(end) => format!("; the node goes at {} in any case", short(end)),
            None => String::new(),
        };
        match self {
            Self::Draining { left, why: Some(why), .. } => format!("{}: {why}{limit}", pods(*left)),
            Self::Draining { left, why: None, .. } => format!("{}{limit}", pods(*left)),
            Self::Settling => "no pod is left".to_owned(),
            Self::Detaching(volumes) => {
                format!("waiting until {} detached{limit}", many(volumes, "volume", "is", "are"))
            }
            Self::Ending(volumes) if volumes.is_empty() => "the instance ends".to_owned(),
            Self::Ending(volumes) => {
                format!("time was up while {} attached", many(volumes, "volume", "was", "were"))
            }
            Self::Gone => "the instance is gone".to_owned(),
        }
    }
}

fn pods(left: usize) -> String {
    format!("waiting for {left} {}", if left == 1 { "pod" } else { "pods" })
}

fn many(names: &[String], noun: &str, one: &str, several: &str) -> String {
    const NAMED: usize = 5;
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match names.len() {
        1 => format!("{noun} {} {one}", shown.join(", ")),
        _ => format!("{noun}s {}{more} {several}", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests;
