//! One command from its marks to the deletion of the old claims, or back.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Node, Taint};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::claims::create_claims;
use super::disrupting::metric_reason;
use super::plan_claims::PlannedClaim;
use super::status;
use super::survey::{DISRUPTION_REASON, Survey, moves};
use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::disruption::{Command, Destination, Reason};
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::events::{Tone, about};
use crate::autoscaler::runtime::writes::{self, Truth, clear_condition, is_conflict, is_missing, set_condition};
use crate::autoscaler::state::live::{Kind, Live, Observed, Uid};
use crate::autoscaler::steering::Target;

/// Keeps new pods off a node that is about to go.
const DISRUPTED: &str = "karpenter.sh/disrupted";
/// How long replacements are waited for. A claim that does not come up is given up long before.
const MOST_PATIENCE: Duration = Duration::from_secs(20 * 60);
/// How long the nodes of a decision may take to be marked: nothing else is decided meanwhile.
const MARKED_WITHIN: Duration = Duration::from_secs(30);
const ATTEMPTS: u32 = 5;

/// A node that goes.
#[derive(Clone, Debug)]
pub(super) struct Leaver {
    /// Its name.
    pub(super) name: Arc<str>,
    claim: Arc<str>,
    /// The pods that it had when this was decided.
    pods: Vec<Uid>,
}

/// A command in the words of the API server.
#[derive(Clone, Debug)]
pub(super) struct Order {
    reason: Reason,
    pub(super) nodes: Vec<Leaver>,
    claims: Vec<PlannedClaim>,
    /// Pods that go to nodes that are there.
    moves: Vec<(Uid, Arc<str>)>,
    explanation: String,
}

impl Order {
    /// A command of a decision about `survey`, with the claims that it asks for.
    pub(super) fn new(survey: &Survey, command: &Command, claims: Vec<PlannedClaim>) -> Self {
        let snapshot = &survey.snapshot;
        let uid = |pod: u32| snapshot.pods[pod as usize];
        let nodes = command.remove.iter().map(|at| {
            let node = &survey.nodes[*at as usize];
            let pods = node.pods.iter().map(|pod| uid(pod.pod)).collect();
            Leaver { name: survey.node_name(*at), claim: (&*node.claim).into(), pods }
        });
        let moves = command.moves.iter().filter_map(|(pod, to)| match to {
            Destination::Running(node) => Some((uid(*pod), Arc::clone(&snapshot.cluster.nodes[*node as usize].name))),
            Destination::Replacement(_) => None,
        });
        Self {
            reason: command.reason,
            nodes: nodes.collect(),
            claims,
            moves: moves.collect(),
            explanation: command.explanation.clone(),
        }
    }
}

/// The commands of one decision: none lets pods go before the nodes of all are marked, or its pods would come to a node
/// that another is about to take away.
#[derive(Clone, Debug)]
pub(super) struct Together {
    marking: watch::Receiver<()>,
    all_marked: Arc<watch::Sender<()>>,
}

impl Together {
    /// Commands that wait for each other: those that get a copy each, as soon as this one is dropped.
    pub(super) fn new() -> Self {
        let (all_marked, marking) = watch::channel(());
        Self { marking, all_marked: Arc::new(all_marked) }
    }

    /// This command has marked its nodes: waits for the others, as long as they are not given up.
    async fn marked(self) {
        drop(self.marking);
        self.all_marked.closed().await;
    }
}

/// Why a command was given up.
#[derive(Debug, thiserror::Error)]
enum GivenUp {
    #[error("the node `{0}` is not as it was when this was decided")]
    Changed(Arc<str>),
    #[error("a replacement could not be asked for")]
    NotMade(#[source] super::claims::NotMade),
    #[error("the replacement `{0}` could not be had")]
    Lost(String),
    #[error("replacements did not start in time")]
    Late,
    #[error("not all nodes could be marked within {} s", MARKED_WITHIN.as_secs())]
    Unmarked,
    #[error("the API server did not take it")]
    Refused(#[source] kube::Error),
    #[error("this process ends")]
    Ending,
}

/// Carries a command out, or takes it back. `unsettled` is dropped as soon as all that it brings is in the plan: its claims
/// with their pods, for where the others go is known from the start.
pub(super) async fn carry_out(
    context: &Context,
    order: Order,
    together: Together,
    unsettled: Arc<()>,
    stop: &CancellationToken,
) {
    let mut made = Vec::new();
    let done = tokio::select! {
        done = act(context, &order, together, unsettled, &mut made) => done,
        () = stop.cancelled() => Err(GivenUp::Ending),
    };
    let Err(error) = done else { return };
    if matches!(error, GivenUp::Ending) {
        return;
    }
    let kind = if order.claims.is_empty() { "delete" } else { "replace" };
    let reason = metric_reason(order.reason);
    match &error {
        GivenUp::Changed(_) => context.metrics.failed_validations.count([reason, ""]),
        _ => context.metrics.queue_failures.count([kind, reason, ""]),
    }
    tracing::warn!(error = &error as &dyn std::error::Error, nodes = ?order.nodes.iter().map(|n| &*n.name).collect::<Vec<_>>(), "a disruption is taken back");
    for node in &order.nodes {
        take_back(context, &node.claim).await;
    }
    give_back(context, &order, &made).await;
}

async fn act(
    context: &Context,
    order: &Order,
    together: Together,
    unsettled: Arc<()>,
    made: &mut Vec<String>,
) -> Result<(), GivenUp> {
    check(context, order)?;
    let marking = async {
        let marks = order.nodes.iter().map(|node| mark(context, node, order));
        try_join_all(marks).await.map_err(GivenUp::Refused)?;
        together.marked().await;
        Ok(())
    };
    tokio::time::timeout(MARKED_WITHIN, marking).await.map_err(|_| GivenUp::Unmarked)??;
    // Somebody may have come between the look and the mark.
    check(context, order)?;
    if !order.claims.is_empty() {
        say(context, order, "DisruptionLaunching", &order.explanation);
        let mut failed = None;
        for claim in create_claims(context, order.claims.clone()).await {
            match claim {
                Ok(name) => made.push(name),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(GivenUp::NotMade(error));
        }
        drop(unsettled);
        say(context, order, "DisruptionWaitingReadiness", "waiting until the replacements have started");
        tokio::time::timeout(MOST_PATIENCE, started(context, made)).await.map_err(|_| GivenUp::Late)??;
    }
    say(context, order, "DisruptionTerminating", &order.explanation);
    for node in &order.nodes {
        let claim = context.live.lock().claim(&node.claim).map(|claim| Arc::clone(&claim.object));
        if let Some(claim) = claim {
            delete(context, &claim, order.reason).await.map_err(GivenUp::Refused)?;
        }
    }
    Ok(())
}

/// Whether the nodes are as they were: no pod has come, and nobody protects them.
fn check(context: &Context, order: &Order) -> Result<(), GivenUp> {
    let live = context.live.lock();
    match order.nodes.iter().find(|node| !is_as_planned(&live, node)) {
        Some(node) => Err(GivenUp::Changed(Arc::clone(&node.name))),
        None => Ok(()),
    }
}

fn is_as_planned(live: &Live, leaver: &Leaver) -> bool {
    let (Some(node), Some(claim)) = (live.node(&leaver.name), live.claim(&leaver.claim)) else { return false };
    let protected = |value: Option<&str>| value == Some("true");
    let strangers = live.pods_on(&leaver.name).any(|pod| moves(pod) && !leaver.pods.contains(&pod.uid));
    node.deletion.is_none()
        && claim.deletion().is_none()
        && !strangers
        && !protected(node.annotation("karpenter.sh/do-not-disrupt"))
        && !protected(claim.annotation("karpenter.sh/do-not-disrupt"))
}

/// Waits until all claims have started; one that is gone ends the wait.
async fn started(context: &Context, claims: &[String]) -> Result<(), GivenUp> {
    let mut changes = context.live.changes(&[Kind::Claim]);
    loop {
        changes.next().await;
        let live = context.live.lock();
        let mut all = true;
        for name in claims {
            match live.claim(name).filter(|claim| claim.deletion().is_none()) {
                None => return Err(GivenUp::Lost(name.clone())),
                Some(claim) => all &= claim.is(super::conditions::INITIALIZED),
            }
        }
        if all {
            return Ok(());
        }
    }
}

/// Gives the pods that go to running nodes their place there, so that nobody plans with that room any more.
pub(super) fn seat(context: &Context, order: &Order) {
    let now = context.now();
    let live = context.live.lock();
    let mut plan = context.plan.lock();
    for (pod, node) in &order.moves {
        plan.place(&live, *pod, Target::Node(Arc::clone(node)), now);
    }
    drop(plan);
    drop(live);
    context.plan.notify();
}

/// Takes the places of the pods back, and the replacements that nobody needs now.
async fn give_back(context: &Context, order: &Order, made: &[String]) {
    {
        let mut plan = context.plan.lock();
        for pod in order.nodes.iter().flat_map(|node| &node.pods) {
            plan.forget(*pod);
        }
    }
    for name in made {
        let claim = context.live.lock().claim(name).map(|claim| Arc::clone(&claim.object));
        if let Some(claim) = claim {
            status::remove(context, &claim, metric_reason(order.reason)).await;
        }
    }
    context.plan.notify();
}

/// Marks a node as going: the taint first, so that nothing comes any more.
async fn mark(context: &Context, node: &Leaver, order: &Order) -> kube::Result<()> {
    taint(context, &node.name, true).await?;
    let (now, reason) = (context.now(), order.reason.text());
    status::write(context, &node.claim, Value::Null, |list| {
        set_condition(list, DISRUPTION_REASON, Truth::True, reason, &order.explanation, Some(1), now)
    })
    .await
}

/// Takes the marks of a claim and its node back, so that the node serves on; whether that went well.
pub(super) async fn take_back(context: &Context, claim: &str) -> bool {
    let node = {
        let live = context.live.lock();
        let claim = live.claim(claim).filter(|claim| claim.deletion().is_none());
        claim.map(|claim| {
            live.node_of_claim(claim).filter(|node| node.deletion.is_none()).map(|node| Arc::clone(&node.name))
        })
    };
    let Some(node) = node else { return true };
    let cleared = status::write(context, claim, Value::Null, |list| clear_condition(list, DISRUPTION_REASON)).await;
    let opened = match &node {
        Some(node) => taint(context, node, false).await,
        None => Ok(()),
    };
    let mut well = true;
    for error in [cleared.err(), opened.err()].into_iter().flatten().filter(|error| !is_missing(error)) {
        well = false;
        tracing::warn!(claim, %error, "the marks of a disruption could not be taken back");
    }
    well
}

/// Adds the taint of nodes that are going, or takes it away.
async fn taint(context: &Context, name: &str, on: bool) -> kube::Result<()> {
    let api: Api<Node> = Api::all(context.client.clone());
    let mut attempt = 0;
    loop {
        attempt += 1;
        let node = api.get(name).await?;
        let mut taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        if taints.iter().any(|taint| taint.key == DISRUPTED) == on {
            return Ok(());
        }
        match on {
            true => {
                taints.push(Taint { key: DISRUPTED.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() })
            }
            false => taints.retain(|taint| taint.key != DISRUPTED),
        }
        let change =
            json!({ "metadata": { "resourceVersion": node.resource_version() }, "spec": { "taints": taints } });
        match writes::patch::<Node>(&context.client, name, &change).await {
            Ok(node) => {
                context.live.apply(Observed::Node(Box::new(node)));
                return Ok(());
            }
            Err(error) if attempt < ATTEMPTS && is_conflict(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

async fn delete(context: &Context, claim: &NodeClaim, reason: Reason) -> kube::Result<()> {
    writes::delete::<NodeClaim>(&context.client, &claim.name_any(), claim.metadata.uid.clone()).await?;
    let label = |key: &str| claim.labels().get(key).map_or("", String::as_str);
    let labels = [label("karpenter.sh/nodepool"), label("karpenter.sh/capacity-type")];
    context.metrics.nodeclaims_disrupted.count([metric_reason(reason), labels[0], labels[1]]);
    Ok(())
}

fn say(context: &Context, order: &Order, reason: &'static str, message: &str) {
    let live = context.live.lock();
    for claim in order.nodes.iter().filter_map(|node| live.claim(&node.claim)) {
        context.events.publish(about(&*claim.object), Tone::Normal, reason, message);
    }
}
