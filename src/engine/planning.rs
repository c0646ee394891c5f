//! From a stack file to a plan: look, compare, and make sure that nothing is in the way.

use std::sync::Arc;

use futures::future::try_join_all;

use super::events::Events;
use super::failure::Failure;
use super::foresight::predictions;
use super::observe::{knows_monitors, observe, surroundings, zones};
use super::rounds;
use crate::aws::{Cloud, CloudError, KINDS, Kinds, LEFTOVERS, Reads};
use crate::phases;
use crate::plan::{
    Action, Change, Disposal, Fingerprint, Kept, Observed, Plan, Problem, Purpose, Round, set_aside, tear_down,
};
use crate::spec::Stack;

/// The plan that makes the cloud as `stack` says.
///
/// # Errors
/// A call that failed; changes that cannot be made; what stands in the way and is not ours.
pub async fn plan(stack: &Stack, cloud: &Cloud, events: &Events) -> Result<Plan, Failure> {
    let reads = Arc::new(Reads::new(cloud.clone(), &stack.metadata.name));
    let (observed, zones, monitors) =
        tokio::try_join!(observe(&reads, KINDS, events), zones(stack, &reads), knows_monitors(stack, &reads))?;
    let surroundings = surroundings(cloud, zones, monitors, &observed);
    if let Some(message) = phases::impossible(stack, &surroundings) {
        return Err(Failure::Problems(vec![Problem { address: "network".into(), message }]));
    }
    let wish = rounds::first_wish(stack, &surroundings, &observed);
    let predictions = predictions(&wish, &observed, &reads).await?;
    let rounds = rounds::between(stack, &surroundings, &observed, &predictions)
        .map_err(|problems| Failure::Problems(placed(problems, stack)))?;
    let clashes = clashes(&rounds, &reads).await?;
    if !clashes.is_empty() {
        return Err(Failure::Problems(placed(clashes, stack)));
    }
    Ok(assemble(Purpose::Apply, &stack.metadata.name, cloud, Fingerprint::of(&observed), rounds))
}

/// The plan that takes everything of the stack called `name` away, what others hung on it included;
/// and what stays in place on purpose.
///
/// # Errors
/// A call that failed, or something that is protected from deletion.
pub async fn plan_destroy(
    name: &str,
    cloud: &Cloud,
    disposal: Disposal,
    events: &Events,
) -> Result<(Plan, Vec<Kept>), Failure> {
    let observed = observe_everything(name, cloud, events).await?;
    let fingerprint = fingerprint_of_destroy(&observed);
    let (going, kept) = set_aside(observed, &Kinds, disposal);
    let changes = tear_down(&going, &Kinds).map_err(Failure::Problems)?;
    let rounds = vec![Round { title: None, changes }];
    Ok((assemble(Purpose::Destroy, name, cloud, fingerprint, rounds), kept))
}

/// What the stack called `name` has, and what others hung on it.
pub(super) async fn observe_everything(
    name: &str,
    cloud: &Cloud,
    events: &Events,
) -> Result<Vec<Observed>, CloudError> {
    let reads = Arc::new(Reads::new(cloud.clone(), name).forgiving());
    let kinds: Vec<_> = KINDS.iter().chain(LEFTOVERS).copied().collect();
    observe(&reads, &kinds, events).await
}

/// Makes sure that the cloud is still what `plan` was made for.
///
/// # Errors
/// Another account or region, or a cloud that has moved.
pub async fn still_holds(plan: &Plan, cloud: &Cloud, events: &Events) -> Result<(), Failure> {
    if plan.account != cloud.account || plan.region != cloud.region {
        return Err(Failure::WrongPlan(format!(
            "it was made for account {} in {}, and the credentials are for account {} in {}",
            plan.account, plan.region, cloud.account, cloud.region
        )));
    }
    let observed = match plan.purpose {
        Purpose::Apply => observe(&Arc::new(Reads::new(cloud.clone(), &plan.stack)), KINDS, events).await?,
        Purpose::Destroy => observe_everything(&plan.stack, cloud, events).await?,
    };
    let now = match plan.purpose {
        Purpose::Apply => Fingerprint::of(&observed),
        Purpose::Destroy => fingerprint_of_destroy(&observed),
    };
    if now == plan.fingerprint { Ok(()) } else { Err(Failure::Moved) }
}

/// What the cloud looked like when a stack was to go. What its autoscaler makes comes and goes while the question stands
/// open: it is gone either way, with its NodePool or in the search at the end.
fn fingerprint_of_destroy(observed: &[Observed]) -> Fingerprint {
    let lasting = observed.iter().filter(|resource| !resource.kind.starts_with("autoscaled-")).cloned();
    Fingerprint::of(&lasting.collect::<Vec<_>>())
}

fn assemble(purpose: Purpose, stack: &str, cloud: &Cloud, fingerprint: Fingerprint, rounds: Vec<Round>) -> Plan {
    Plan::new(purpose, stack, &cloud.region, &cloud.account, &super::run_id(), fingerprint, rounds)
}

/// `problems`; those with the object of a manifest say in which file and line it stands.
fn placed(problems: Vec<Problem>, stack: &Stack) -> Vec<Problem> {
    let with_place = |problem: Problem| match phases::place_of(stack, &problem.address) {
        Some(place) => Problem { message: format!("{place}: {}", problem.message), ..problem },
        None => problem,
    };
    problems.into_iter().map(with_place).collect()
}

/// Asks every kind of which something will be made whether something else is in its place.
async fn clashes(rounds: &[Round], reads: &Reads) -> Result<Vec<Problem>, CloudError> {
    let creations: Vec<&Change> =
        rounds.iter().flat_map(|round| &round.changes).filter(|change| change.action == Action::Create).collect();
    let answers = try_join_all(creations.iter().map(|change| clash(change, reads))).await?;
    Ok(answers.into_iter().flatten().collect())
}

async fn clash(change: &Change, reads: &Reads) -> Result<Option<Problem>, CloudError> {
    let Some(kind) = Kinds::get(&change.kind) else { return Ok(None) };
    let message = kind.clash(change, reads).await?;
    Ok(message.map(|message| Problem { address: change.address.clone(), message }))
}
