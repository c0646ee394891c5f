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
use crate::plan::{Disposal, Kept, Observed, State, is_the_stacks, set_aside};

/// How often what comes back is taken away again: a control plane writes to its log group for a
/// while after it has gone.
const PASSES: usize = 3;

/// What a destroy has left behind.
#[derive(Debug, Clone, Default)]
pub struct Swept {
    /// What should have gone and is still there.
    pub left: Vec<Observed>,
    /// What stays on purpose.
    pub kept: Vec<Kept>,
}

/// Everything of the stack called `name` that is still there, after taking away what came back.
///
/// # Errors
/// A call failed, so that nothing can be said of what is left.
pub async fn sweep(
    name: &str,
    cloud: &Cloud,
    disposal: Disposal,
    events: &Events,
    stop: &CancellationToken,
) -> Result<Swept, Failure> {
    events.say(Event::Sweeping);
    for _ in 0..PASSES {
        let swept = search(name, cloud, disposal).await?;
        if swept.left.is_empty() {
            return Ok(swept);
        }
        let plan = plan_destroy(name, cloud, disposal, &Events::silent()).await?;
        match apply(&plan, cloud, &Events::silent(), stop).await {
            Ok(()) | Err(Failure::Operations { .. }) => {}
            Err(failure) => return Err(failure),
        }
    }
    search(name, cloud, disposal).await
}

/// Everything that any kind finds, beside what is on its way out by itself.
async fn search(name: &str, cloud: &Cloud, disposal: Disposal) -> Result<Swept, Failure> {
    let reads = Arc::new(Reads::new(cloud.clone(), name));
    let kinds: Vec<_> = KINDS.iter().chain(LEFTOVERS).copied().collect();
    let observed = observe(&reads, &kinds, &Events::silent()).await?;
    let (going, kept) = set_aside(observed, &Kinds, disposal);
    let left = going
        .into_iter()
        .filter(|resource| resource.state != State::Deleting && is_the_stacks(resource, &Kinds))
        .collect();
    Ok(Swept { left, kept })
}
