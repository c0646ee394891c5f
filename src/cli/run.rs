//! What `apply` and `destroy` share: the question, the run, and its view.

use super::arguments::ProgressFormat;
use super::session::{Ended, Watch, confirm, explain};
use super::signals::Interrupt;
use crate::aws::Cloud;
use crate::engine::{self, Events};
use crate::plan::{Plan, Purpose};
use crate::views::closing::Commands;
use crate::views::count;

/// Asks, makes sure that the plan still holds after the time that the answer took, and carries it out.
///
/// # Errors
/// The exit code, after everything has been said.
pub async fn carry_out(
    plan: &Plan,
    cloud: &Cloud,
    yes: bool,
    progress: ProgressFormat,
    commands: Commands,
) -> Ended<()> {
    confirm(&question(plan), yes)?;
    if !yes {
        engine::still_holds(plan, cloud, &Events::silent()).await.map_err(|failure| explain(&failure))?;
    }
    let watch = Watch::start(progress, commands);
    let interrupt = Interrupt::listen(watch.events.clone());
    let result = engine::apply(plan, cloud, &watch.events, &interrupt.token).await;
    drop(interrupt);
    watch.finish().await;
    result.map_err(|failure| explain(&failure))
}

fn question(plan: &Plan) -> String {
    let number = plan.changes().filter(|change| change.action.changes_something()).count();
    let marked = match plan.marks().count() {
        0 => String::new(),
        marks => format!(", {} of them marked with `!`", count(marks, "change")),
    };
    match plan.purpose {
        Purpose::Apply => format!("Make {} to `{}` in {}{marked}?", count(number, "change"), plan.stack, plan.region),
        Purpose::Destroy => {
            format!("Delete all of `{}` in {} ({})?", plan.stack, plan.region, count(number, "resource"))
        }
    }
}
