//! After a destroy: looks through the account for anything of the stack, takes away what has come
//! back, and says what is left.

use tokio_util::sync::CancellationToken;

use super::apply::apply;
use super::events::{Event, Events};
use super::failure::Failure;
use super::lock;
use super::planning::{observe_everything, plan_destroy};
use crate::aws::leftovers::volume::Volume;
use crate::aws::{Cloud, Kinds};
use crate::plan::{Describe, Disposal, Kept, Observed, State, is_the_stacks, set_aside};

/// How often what comes back is taken away again: a control plane writes to its log group for a
/// while after it has gone.
const PASSES: usize = 3;

/// Everything of the stack called `name` that is still there, after taking away what came back. `kept` is what the
/// destroy has left in place: of some of it only the cluster knew.
///
/// # Errors
/// A call failed, so that nothing can be said of what is left.
pub async fn sweep(
    name: &str,
    cloud: &Cloud,
    disposal: Disposal,
    kept: &[Kept],
    events: &Events,
    stop: &CancellationToken,
) -> Result<Swept, Failure> {
    events.say(Event::Sweeping);
    let mut swept = search(name, cloud, disposal).await?;
    for _ in 0..PASSES {
        if swept.left.is_empty() {
            break;
        }
        let (plan, _) = plan_destroy(name, cloud, disposal, &Events::silent()).await?;
        match apply(&plan, cloud, &Events::silent(), stop).await {
            Ok(()) | Err(Failure::Operations { .. }) => {}
            Err(failure) => return Err(failure),
        }
        swept = search(name, cloud, disposal).await?;
    }
    lock::clear(cloud, name).await?;
    let unseen = kept.iter().filter(|one| one.kind == Volume::FACTS.name && !swept.kept.contains(one));
    let unseen: Vec<Kept> = unseen.cloned().collect();
    swept.kept.extend(unseen);
    let left = swept.left.iter().map(|resource| resource.address.clone()).collect();
    events.say(Event::Swept { left, kept: swept.kept.clone() });
    Ok(swept)
}

/// What a sweep found.
#[derive(Debug)]
pub struct Swept {
    /// What should not be there any more.
    pub left: Vec<Observed>,
    /// What stays in place on purpose.
    pub kept: Vec<Kept>,
}

/// Everything that any kind finds, beside what is on its way out by itself.
async fn search(name: &str, cloud: &Cloud, disposal: Disposal) -> Result<Swept, Failure> {
    let observed = observe_everything(name, cloud, &Events::silent()).await?;
    let (left, kept) = set_aside(observed, &Kinds, disposal);
    let stays = |resource: &Observed| resource.state != State::Deleting && is_the_stacks(resource, &Kinds);
    Ok(Swept { left: left.into_iter().filter(stays).collect(), kept })
}
