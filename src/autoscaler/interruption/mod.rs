//! What the cloud announces about instances, and what is done about it.
//!
//! | file | holds |
//! |---|---|
//! | `message` | events of EventBridge as they come out of the queue |
//! | `queue` | the queue itself: batches taken and deleted |
//! | `decide` | the reaction to a notice, and when a warned node drains |
//! | `controller` | listens, and does what notices ask for |
//! | `warned` | from a warning over the replacement to the drain |
//! | `health` | whether the queue can be heard, said where somebody looks |
//! | `status`, `poller` | statuses of instances, asked of EC2 even where there is no queue |

pub mod controller;
pub mod decide;
mod health;
pub mod message;
pub mod poller;
pub mod queue;
pub mod status;
pub mod warned;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use super::runtime::Context;

/// The annotation of claims whose instance is taken away: when that is.
pub const INTERRUPTED: &str = "eksup.dev/interrupted";

/// Runs until `stop`.
///
/// # Errors
/// None: what fails is tried again.
pub async fn run(context: Context, stop: CancellationToken) -> Result<()> {
    tokio::join!(
        controller::listen(&context, &context.instances, &stop),
        warned::run(&context, &stop),
        poller::run(&context, &stop),
    );
    Ok(())
}
