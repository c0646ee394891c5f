//! Before the planner compares: asks the services that can tell what a change would do.

use futures::StreamExt;
use futures::stream;

use crate::aws::{AnyKind, CloudError, Kinds, Reads};
use crate::plan::{Desired, Observed, Outputs, Prediction, Predictions, State, is_unknown, known_outputs, resolve};

/// How many questions are open at once.
const AT_ONCE: usize = 32;

/// What is known beforehand of the changes from `observed` to `desired`.
///
/// # Errors
/// A question failed in a way that says nothing about the change.
pub async fn predictions(desired: &[Desired], observed: &[Observed], reads: &Reads) -> Result<Predictions, CloudError> {
    let known = known_outputs(desired, observed, &Kinds);
    let questions = desired.iter().filter_map(|wanted| question(wanted, observed, &known));
    let answers = stream::iter(questions.map(|question| question.ask(reads))).buffer_unordered(AT_ONCE);
    let answers: Vec<Result<Option<(_, Prediction)>, CloudError>> = answers.collect().await;
    answers.into_iter().filter_map(Result::transpose).collect()
}

struct Question<'a> {
    wanted: &'a Desired,
    found: &'a Observed,
    kind: &'static dyn AnyKind,
    body: serde_json::Value,
}

/// The question about `wanted`, if it stands, its kind can be asked, and everything that it refers to is known.
fn question<'a>(wanted: &'a Desired, observed: &'a [Observed], known: &Outputs) -> Option<Question<'a>> {
    let kind = Kinds::get(&wanted.kind).filter(|kind| kind.facts().foretold.is_some())?;
    let found = observed
        .iter()
        .find(|found| found.address == wanted.address && found.kind == wanted.kind && found.state != State::Deleting)?;
    let body = resolve(&wanted.body, known);
    (!is_unknown(&body)).then_some(Question { wanted, found, kind, body })
}

impl Question<'_> {
    async fn ask(self, reads: &Reads) -> Result<Option<(crate::plan::Address, Prediction)>, CloudError> {
        let told = self.kind.predict(&self.body, self.found, reads).await?;
        Ok(told.map(|told| (self.wanted.address.clone(), told)))
    }
}
