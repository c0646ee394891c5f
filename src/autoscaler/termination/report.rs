//! What is said about a termination: conditions on the claim, events, and figures.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::{Resource, ResourceExt};
use serde_json::json;

use super::drain::{DrainPod, short};
use super::steps::{Instance, Stage};
use super::view::Going;
use super::writes::Asked;
use crate::autoscaler::api::{NodeClaim, labels};
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::events::{Tone, about, about_node};
use crate::autoscaler::runtime::writes::{Truth, is_missing, patch_status_of, set_condition};
use crate::autoscaler::state::live::Observed;

/// The words of a condition that has not changed its status move at most this often.
const WORDS_MOVE: SignedDuration = SignedDuration::from_secs(2);
/// Pods that just take their time are no reason for an event before this.
const PATIENT: SignedDuration = SignedDuration::from_secs(60);

/// A condition: type, status, reason, message.
type Wanted = (&'static str, Truth, &'static str, String);
/// The conditions that a claim should have.
pub type Conditions = Vec<Wanted>;

/// What has been said of one that goes.
#[derive(Default)]
pub struct Told {
    /// Its instance.
    pub instance: Option<String>,
    pool: String,
    node: Option<String>,
    since: Option<Timestamp>,
    created: Option<Timestamp>,
    wanted: Conditions,
    sent: Option<Conditions>,
    written: Option<(Conditions, Timestamp)>,
    ending_since: Option<Timestamp>,
    drained: bool,
    gone: bool,
}

impl Told {
    /// Takes up how far it is, says what is to be said; when something more is to be said.
    pub fn note(
        &mut self,
        context: &Context,
        going: &Going,
        stage: &Stage,
        refusal: Option<&str>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.instance.clone_from(&going.instance);
        self.node = going.nodes.first().map(|(name, _)| name.clone()).or(self.node.take());
        let claim = going.claim.as_deref()?;
        self.pool = claim.labels().get(labels::NODE_POOL).cloned().unwrap_or_default();
        self.created = claim.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let view = going.leaving.claim.as_ref()?;
        self.since = view.deleted;
        self.since?;
        self.wanted = conditions(stage, view.end, refusal);
        self.figures(context, going, stage, now);
        self.events(context, going, claim, stage, now);
        let (written, at) = self.written.as_ref()?;
        (*written != self.wanted).then(|| at.checked_add(WORDS_MOVE).ok()).flatten()
    }

    /// The conditions that are to be written now.
    pub fn due(&self, now: Timestamp) -> Option<Conditions> {
        if self.wanted.is_empty() || self.gone {
            return None;
        }
        let due = match &self.written {
            None => true,
            Some((written, at)) => {
                let moved = |one: &Conditions| {
                    one.iter().map(|(kind, truth, reason, _)| (*kind, *truth, *reason)).collect::<Vec<_>>()
                };
                moved(written) != moved(&self.wanted)
                    || (*written != self.wanted && now.duration_since(*at) >= WORDS_MOVE)
            }
        };
        due.then(|| self.wanted.clone())
    }

    /// These are being written.
    pub fn sending(&mut self, conditions: Option<&Conditions>) {
        self.sent = conditions.cloned();
    }

    /// What was sent has been written, or not.
    pub fn written(&mut self, ok: bool, now: Timestamp) {
        let sent = self.sent.take().filter(|_| ok);
        self.written = sent.map(|sent| (sent, now)).or(self.written.take());
    }

    fn figures(&mut self, context: &Context, going: &Going, stage: &Stage, now: Timestamp) {
        let over = matches!(stage, Stage::Detaching(_) | Stage::Ending(_) | Stage::Gone);
        if over && !self.drained && !going.nodes.is_empty() {
            self.drained = true;
            context.metrics.nodes_drained.count([&self.pool]);
        }
        if matches!(stage, Stage::Ending(_)) {
            self.ending_since.get_or_insert(now);
        }
        if *stage == Stage::Gone && !self.gone {
            self.gone = true;
            if let Some(since) = self.ending_since.filter(|_| going.leaving.instance == Instance::Gone) {
                let took = now.duration_since(since).as_secs_f64();
                context.metrics.instance_termination.took([&self.pool], took);
            }
        }
    }

    fn events(&self, context: &Context, going: &Going, claim: &NodeClaim, stage: &Stage, now: Timestamp) {
        let end = going.leaving.claim.as_ref().and_then(|view| view.end);
        let say = |tone: Tone, reason: &'static str, message: &str| {
            context.events.publish(about(claim), tone, reason, message);
            if let Some((node, _)) = going.nodes.first() {
                context.events.publish(about_node(node), tone, reason, message);
            }
        };
        if let (Some(end), Stage::Draining { .. } | Stage::Detaching(_)) = (end, stage) {
            let message = format!("all pods are deleted by {}, whatever holds them", short(end));
            say(Tone::Warning, "TerminationGracePeriodExpiring", &message);
        }
        let long = self.since.is_some_and(|since| now.duration_since(since) >= PATIENT);
        match stage {
            Stage::Draining { why: Some(why), stuck, .. } if *stuck || long => {
                say(Tone::Warning, "FailedDraining", &format!("the node is not drained: {why}"));
            }
            Stage::Detaching(_) => say(Tone::Normal, "AwaitingVolumeDetachment", &stage.sentence(None)),
            _ => {}
        }
    }
}

/// What the conditions of the claim should be.
fn conditions(stage: &Stage, end: Option<Timestamp>, refusal: Option<&str>) -> Conditions {
    let drained = |truth, reason, message: String| ("Drained", truth, reason, message);
    let detached = |truth, reason, message: String| ("VolumesDetached", truth, reason, message);
    let empty = String::new;
    match stage {
        Stage::Draining { .. } => vec![drained(Truth::Unknown, "Draining", stage.sentence(end))],
        Stage::Settling => vec![drained(Truth::Unknown, "Draining", stage.sentence(None))],
        Stage::Detaching(_) => vec![
            drained(Truth::True, "Drained", empty()),
            detached(Truth::Unknown, "AwaitingVolumeDetachment", stage.sentence(end)),
        ],
        Stage::Ending(volumes) => {
            let detached = match volumes.is_empty() {
                true => detached(Truth::True, "VolumesDetached", empty()),
                false => detached(Truth::False, "TerminationGracePeriodElapsed", stage.sentence(None)),
            };
            let message = refusal.map(|why| format!("EC2 does not end the instance, it is asked again: {why}"));
            let ending = ("InstanceTerminating", Truth::True, "InstanceTerminating", message.unwrap_or_default());
            vec![drained(Truth::True, "Drained", empty()), detached, ending]
        }
        // The claim is about to go: nobody will read it.
        Stage::Gone => Vec::new(),
    }
}

/// Writes conditions on the claim, if they are not there already.
///
/// # Errors
/// The call's; a claim that is gone is none.
pub async fn write(context: &Context, going: &Going, wanted: &Conditions) -> kube::Result<()> {
    let Some(claim) = going.claim.as_deref() else { return Ok(()) };
    // What was just written beside it is known already.
    let known = context.live.lock().claim(&claim.name_any()).map(|claim| claim.object.clone());
    let Some(claim) = known.filter(|known| known.uid() == claim.uid()) else { return Ok(()) };
    let mut conditions = claim.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let generation = claim.meta().generation;
    let mut changed = false;
    for (kind, truth, reason, message) in wanted {
        changed |= set_condition(&mut conditions, kind, *truth, reason, message, generation, context.now());
    }
    if !changed {
        return Ok(());
    }
    match patch_status_of(&context.client, claim.as_ref(), json!({ "conditions": conditions })).await {
        Ok(claim) => context.live.apply(Observed::Claim(Box::new(claim))),
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// A pod was asked to go.
pub fn asked(context: &Context, pod: &DrainPod, grace: Option<i64>, asked: &Asked) {
    if grace.is_none() {
        context.metrics.evictions.count([asked.code()]);
    }
    if !matches!(asked, Asked::Going) {
        return;
    }
    context.metrics.pods_drained.count([if grace.is_some() { "deleted" } else { "evicted" }]);
    let message = match grace {
        Some(grace) => format!("the pod was deleted with {grace} s of grace, as the node's time is up"),
        None => "the pod was evicted, as its node goes".to_owned(),
    };
    context.events.publish(pod.reference(), Tone::Normal, "Evicted", &message);
}

/// Nothing is left of it.
pub fn gone(context: &Context, told: &Told, begun: Option<Timestamp>) {
    let Some(since) = told.since.or(begun) else { return };
    let now = context.now();
    let seconds = |since: Timestamp| Duration::try_from(now.duration_since(since)).unwrap_or_default().as_secs_f64();
    context.metrics.nodeclaims_terminated.count([&told.pool]);
    context.metrics.nodeclaims_termination.took([&told.pool], seconds(since));
    let Some(node) = &told.node else { return };
    context.metrics.nodes_terminated.count([&told.pool]);
    context.metrics.nodes_termination.took([&told.pool], seconds(since));
    if let Some(created) = told.created {
        context.metrics.nodes_lifetime.took([&told.pool], seconds(created));
    }
    tracing::info!(node, nodepool = told.pool, seconds = seconds(since), "a node is gone");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_tell_how_far_it_is_and_why_it_is_stuck() {
        let stage = Stage::Draining { left: 1, why: Some("pod `app/a` stays".into()), stuck: true };
        let told = conditions(&stage, None, None);
        assert_eq!(told, [("Drained", Truth::Unknown, "Draining", "waiting for 1 pod: pod `app/a` stays".to_owned())]);
        let told = conditions(&Stage::Ending(vec!["pv-1".into()]), None, Some("no right"));
        assert_eq!(
            told.iter().map(|(kind, truth, ..)| (*kind, *truth)).collect::<Vec<_>>(),
            [("Drained", Truth::True), ("VolumesDetached", Truth::False), ("InstanceTerminating", Truth::True),]
        );
        assert!(told[2].3.contains("no right"));
    }
}
