//! After a destroy: looks through the account for anything of the stack, takes away what has come
//! back, and says what is left.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::apply::apply;
use super::events::{Event, Events};
use super::failure::Failure;
use super::observe::observe;
use super::planning::plan_destroy;
use crate::aws::{Cloud, KINDS, Kinds, LEFTOVERS, Reads};
use crate::plan::{Observed, State, is_the_stacks};

/// How often what comes back is taken away again: a control plane writes to its log group for a
/// while after it has gone.
const PASSES: usize = 3;

/// Everything of the stack called `name` that is still there, after taking away what came back.
///
/// # Errors
/// A call failed, so that nothing can be said of what is left.
pub async fn sweep(
    name: &str,
    cloud: &Cloud,
    events: &Events,
    stop: &CancellationToken,
) -> Result<Vec<Observed>, Failure> {
    events.say(Event::Sweeping);
    for _ in 0..PASSES {
        if search(name, cloud).await?.is_empty() {
            return Ok(Vec::new());
        }
        let plan = plan_destroy(name, cloud, &Events::silent()).await?;
        match apply(&plan, cloud, &Events::silent(), stop).await {
            Ok(()) | Err(Failure::Operations { .. }) => {}
            Err(failure) => return Err(failure),
        }
    }
    search(name, cloud).await
}

/// Everything that any kind finds, beside what is on its way out by itself.
async fn search(name: &str, cloud: &Cloud) -> Result<Vec<Observed>, Failure> {
    let reads = Arc::new(Reads::new(cloud.clone(), name));
    let kinds: Vec<_> = KINDS.iter().chain(LEFTOVERS).copied().collect();
    let observed = observe(&reads, &kinds, &Events::silent()).await?;
    Ok(observed
        .into_iter()
        .filter(|resource| resource.state != State::Deleting && is_the_stacks(resource, &Kinds))
        .collect())
}
