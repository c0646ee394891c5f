//! Takes what goes through its steps: looks at everything that goes whenever something changes, decides, and has the
//! writes done beside each other, one at a time for each object. What fails is tried again later and stops nothing else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::attempts::Attempts;
use super::drain::DrainPod;
use super::instances::Instances;
use super::report::{self, Told};
use super::steps::{self, Do, Memory};
use super::turns::Turns;
use super::view::{Going, going};
use super::writes::{self, Asked};
use crate::autoscaler::runtime::Context;
use crate::autoscaler::state::live::{Kind, Uid};

/// What wakes the controller.
const KINDS: &[Kind] = &[Kind::Pod, Kind::Node, Kind::Claim, Kind::Budget, Kind::Attachment, Kind::VolumeClaim];
/// Many changes at once are looked at together.
const GATHER: Duration = Duration::from_millis(20);
/// The watch has so long to tell what was written, before it is written again.
const HEARD_WITHIN: SignedDuration = SignedDuration::from_secs(1);
/// After a failed write.
const AFTER_FAILURE: SignedDuration = SignedDuration::from_secs(2);
/// So many pods are sent away at once, the largest first: their successors have the least choice.
const EVICTIONS_AT_ONCE: usize = 16;
/// A write that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a task has done.
enum Done {
    /// Writes for the one with this key.
    Steps { key: String, ok: bool, marked: bool },
    /// An attempt to send a pod away.
    Pod { uid: String, asked: Asked },
}

/// What is remembered of one that goes.
#[derive(Default)]
struct Remembered {
    memory: Memory,
    told: Told,
    busy: bool,
    /// What was written last, and before when the same is not written again.
    last: Vec<Do>,
    rests: Option<Timestamp>,
    /// Whether the last write failed: then nothing is written before that.
    failed: bool,
    begun: Option<Timestamp>,
}

/// A pod that is to leave: evicted, or with a grace period deleted.
struct Parting<'a> {
    pod: &'a DrainPod,
    doubtful: bool,
    grace: Option<i64>,
}

struct Controller<'a> {
    context: &'a Context,
    instances: &'a Instances,
    all: BTreeMap<String, Remembered>,
    attempts: Attempts,
    turns: Turns,
    pods_in_work: usize,
    tasks: JoinSet<Done>,
}

/// Runs until `stop`.
///
/// # Errors
/// None: what fails is tried again.
pub async fn run(context: Context, stop: CancellationToken) -> Result<()> {
    let instances = context.instances.clone();
    let ending = {
        let (instances, cloud, stop) = (instances.clone(), context.cloud.clone(), stop.clone());
        tokio::spawn(async move { instances.run(&cloud, stop).await })
    };
    let mut changes = context.live.changes(KINDS);
    let mut learnt = instances.changes();
    let mut controller = Controller {
        context: &context,
        instances: &instances,
        all: BTreeMap::new(),
        attempts: Attempts::default(),
        turns: Turns::default(),
        pods_in_work: 0,
        tasks: JoinSet::new(),
    };
    loop {
        let again = controller.pass();
        tokio::select! {
            () = stop.cancelled() => break,
            () = changes.next() => sleep(GATHER).await,
            _ = learnt.changed() => {}
            Some(done) = controller.tasks.join_next(), if !controller.tasks.is_empty() => {
                if let Ok(done) = done { controller.note(done) }
            }
            () = until(again, context.now()), if again.is_some() => {}
        }
        while let Some(Ok(done)) = controller.tasks.try_join_next() {
            controller.note(done);
        }
    }
    controller.tasks.shutdown().await;
    ending.abort();
    Ok(())
}

async fn until(time: Option<Timestamp>, now: Timestamp) {
    let Some(time) = time else { return std::future::pending().await };
    // A little later than that, so that it is past.
    sleep(time.duration_since(now).unsigned_abs().saturating_add(Duration::from_millis(1))).await;
}

impl Controller<'_> {
    /// Looks at everything that goes; when time alone changes something next.
    fn pass(&mut self) -> Option<Timestamp> {
        let now = self.context.now();
        let all = going(&self.context.live.lock(), |id| self.instances.state(id), now);
        self.forget(&all);
        let mut again = None;
        let mut partings = Vec::new();
        for one in &all {
            again = earlier(again, self.one(one, &mut partings, now));
        }
        earlier(again, self.part(partings, now))
    }

    /// Forgets what is gone.
    fn forget(&mut self, all: &[Going]) {
        let keys: BTreeSet<&str> = all.iter().map(|one| one.key.as_str()).collect();
        self.all.retain(|key, remembered| {
            let stays = remembered.busy || keys.contains(key.as_str());
            if !stays {
                report::gone(self.context, &remembered.told, remembered.begun);
                remembered.told.instance.iter().for_each(|id| self.instances.forget(id));
            }
            stays
        });
        let pods: BTreeSet<&str> = all.iter().flat_map(|one| &one.leaving.pods).map(|pod| pod.uid.as_str()).collect();
        self.attempts.keep(&pods);
    }

    /// Decides about one that goes; pods that are to leave are added to `partings`.
    fn one<'g>(&mut self, going: &'g Going, partings: &mut Vec<Parting<'g>>, now: Timestamp) -> Option<Timestamp> {
        let remembered = self.all.entry(going.key.clone()).or_default();
        remembered.begun.get_or_insert(now);
        let mut next = steps::next(&going.leaving, &mut remembered.memory, now);
        let refusal = going.instance.as_deref().and_then(|id| self.instances.refusal(id));
        let mut again =
            earlier(next.again, remembered.told.note(self.context, going, &next.stage, refusal.as_deref(), now));
        for todo in &next.todo {
            match (todo, &going.instance) {
                (Do::Look, Some(id)) => self.instances.look(id),
                (Do::EndInstance, Some(id)) => self.instances.end(id),
                _ => {}
            }
        }
        let drain = next.todo.iter().position(|todo| matches!(todo, Do::Drain(_))).map(|at| next.todo.swap_remove(at));
        next.todo.retain(|todo| !matches!(todo, Do::Look | Do::EndInstance));
        let writes = remembered.told.due(now);
        if !remembered.busy && (!next.todo.is_empty() || writes.is_some()) {
            let repeats = writes.is_none() && next.todo == remembered.last || remembered.failed;
            match remembered.rests.filter(|rests| repeats && now < *rests) {
                Some(rests) => again = earlier(again, Some(rests)),
                None => {
                    remembered.busy = true;
                    remembered.last.clone_from(&next.todo);
                    remembered.told.sending(writes.as_ref());
                    let task = carry_out(self.context.clone(), going.clone(), next.todo, writes);
                    self.spawn(going.key.clone(), task);
                }
            }
        }
        if let Some(Do::Drain(drain)) = drain {
            let pods = &going.leaving.pods;
            let evictions = drain.evict.iter().map(|eviction| (eviction.pod, eviction.doubtful, None));
            let deletions = drain.delete.iter().map(|(pod, grace)| (*pod, false, Some(*grace)));
            let all = deletions.chain(evictions);
            partings
                .extend(all.filter_map(|(at, doubtful, grace)| Some(Parting { pod: pods.get(at)?, doubtful, grace })));
        }
        again
    }

    fn spawn(&mut self, key: String, task: impl Future<Output = (bool, bool)> + Send + 'static) {
        self.tasks.spawn(async move {
            let (ok, marked) = tokio::time::timeout(PATIENCE, task).await.unwrap_or((false, false));
            Done::Steps { key, ok, marked }
        });
    }

    /// Sends pods away, as many as may be in work.
    fn part(&mut self, mut partings: Vec<Parting<'_>>, now: Timestamp) -> Option<Timestamp> {
        partings.sort_by_key(|one| (one.grace.is_none(), Reverse(one.pod.size)));
        let mut again = {
            let live = self.context.live.lock();
            let plan = self.context.plan.lock();
            // Who may not go holds up nobody.
            let in_turn = |one: &Parting<'_>| (one.grace.is_none() && !one.doubtful).then(|| Uid::read(&one.pod.uid));
            self.turns.sort_out((&live, &plan), &mut partings, in_turn, now)
        };
        for Parting { pod, doubtful, grace } in partings {
            if self.pods_in_work >= EVICTIONS_AT_ONCE {
                break;
            }
            match self.attempts.begin(&pod.uid, doubtful, now) {
                Err(next) => again = earlier(again, next),
                Ok(()) => {
                    self.pods_in_work += 1;
                    let (context, pod) = (self.context.clone(), pod.clone());
                    self.tasks.spawn(async move {
                        let uid = pod.uid.clone();
                        let sent = tokio::time::timeout(PATIENCE, send_away(&context, &pod, grace)).await;
                        let asked = sent.unwrap_or_else(|_| Asked::Refused("there was no answer".to_owned()));
                        Done::Pod { uid, asked }
                    });
                }
            }
        }
        again
    }

    fn note(&mut self, done: Done) {
        let now = self.context.now();
        match done {
            Done::Pod { uid, asked } => {
                self.pods_in_work -= 1;
                match asked {
                    Asked::Refused(_) => self.attempts.refused(&uid, now),
                    Asked::Going | Asked::Absent => self.attempts.accepted(&uid, now),
                }
            }
            Done::Steps { key, ok, marked } => {
                if let Some(remembered) = self.all.get_mut(&key) {
                    remembered.busy = false;
                    remembered.failed = !ok;
                    remembered.rests = now.checked_add(if ok { HEARD_WITHIN } else { AFTER_FAILURE }).ok();
                    remembered.told.written(ok, now);
                    if marked {
                        remembered.memory.marked_at = Some(now);
                    }
                }
            }
        }
    }
}

/// Writes, one after the other; whether all went well, and whether a node was marked. The first failure ends it:
/// the next pass begins anew.
async fn carry_out(context: Context, going: Going, todo: Vec<Do>, writes: Option<report::Conditions>) -> (bool, bool) {
    let mut marked = false;
    for step in todo {
        match carry_out_one(&context, &going, &step).await {
            Ok(()) => marked |= matches!(step, Do::PrepareNode(_)),
            Err(error) => {
                tracing::warn!(object = going.key, step = ?step, "a step of a termination failed, it is tried again: {error}");
                return (false, marked);
            }
        }
    }
    let Some(conditions) = writes else { return (true, marked) };
    match report::write(&context, &going, &conditions).await {
        Ok(()) => (true, marked),
        Err(error) => {
            tracing::debug!(object = going.key, "conditions were not written, they are written again: {error}");
            (false, marked)
        }
    }
}

async fn carry_out_one(context: &Context, going: &Going, step: &Do) -> kube::Result<()> {
    let claim = going.claim.as_deref();
    match (step, claim) {
        (Do::DeleteClaim, Some(claim)) => writes::delete_claim(&context.client, claim).await,
        (Do::SetEnd(end), Some(claim)) => writes::set_end(context, claim, *end).await,
        (Do::PrepareNode(name), _) => {
            writes::mark(context, name).await?;
            writes::delete_node(&context.client, name, going.node_uid(name)).await
        }
        (Do::ReleaseNode(name), _) => writes::release_node(&context.client, name, going.node_uid(name)).await,
        (Do::ReleaseClaim, Some(claim)) => writes::release_claim(&context.client, claim).await,
        _ => Ok(()),
    }
}

async fn send_away(context: &Context, pod: &DrainPod, grace: Option<i64>) -> Asked {
    let sent = match grace {
        Some(grace) => writes::delete_pod(&context.client, pod, grace).await.map(|()| Asked::Going),
        None => writes::evict(&context.client, &pod.namespace, &pod.name, &pod.uid).await,
    };
    let asked = sent.unwrap_or_else(|error| {
        tracing::debug!(pod = pod.full_name(), "a pod could not be sent away, it is tried again: {error}");
        Asked::Refused(error.to_string())
    });
    report::asked(context, pod, grace, &asked);
    asked
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
