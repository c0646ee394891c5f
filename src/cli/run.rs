//! What `apply` and `destroy` share: the question, the run, and its view.

use super::arguments::ProgressFormat;
use super::session::{Ended, Watch, confirm, explain};
use super::signals::stop_on_request;
use crate::aws::Cloud;
use crate::engine::{self, Events};
use crate::plan::Plan;

/// What is asked before anything is changed.
pub struct Question {
    /// The question.
    pub text: String,
    /// Whether it has been answered with yes already.
    pub answered: bool,
}

/// Asks, makes sure that the plan still holds after the time that the answer took, and carries it out.
///
/// # Errors
/// The exit code, after everything has been said.
pub async fn carry_out(plan: &Plan, cloud: &Cloud, question: Question, progress: ProgressFormat) -> Ended<()> {
    confirm(&question.text, question.answered)?;
    if !question.answered {
        engine::still_holds(plan, cloud, &Events::silent()).await.map_err(|failure| explain(&failure))?;
    }
    let watch = Watch::start(progress);
    let stop = stop_on_request(watch.events.clone());
    let result = engine::apply(plan, cloud, &watch.events, &stop).await;
    watch.finish().await;
    result.map_err(|failure| explain(&failure))
}
