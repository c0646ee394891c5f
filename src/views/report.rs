//! A failure, said once: what, why, what to do.

use super::style::{Paint, Style};
use super::wording::{count, harmless};
use crate::engine::Failure;
use crate::plan::Problem;

/// `failure` as text, with a line break at the end.
///
/// `None` where the closing sentence of the run has said everything: operations that failed, and a run
/// that the user stopped.
pub fn report(failure: &Failure, style: Style) -> Option<String> {
    let what = match failure {
        Failure::Operations { .. } | Failure::Stopped => return None,
        Failure::Problems(problems) => listed(problems),
        Failure::Cloud(_) | Failure::Locked(_) | Failure::Moved | Failure::WrongPlan(_) => failure.to_string(),
    };
    let mut text = format!("{} {}\n", style.paint(Paint::Bad, "error:"), harmless(&what));
    if let Some(help) = failure.help() {
        let help = harmless(&help).replace('\n', "\n        ");
        text.push_str(&format!("  {} {help}\n", style.paint(Paint::Change, "help:")));
    }
    Some(text)
}

fn listed(problems: &[Problem]) -> String {
    if let [problem] = problems {
        return format!("`{}`: {}", problem.address, problem.message);
    }
    let lines = problems.iter().map(|problem| format!("\n  - `{}`: {}", problem.address, problem.message));
    format!("{} in the way:{}", count(problems.len(), "thing"), lines.collect::<String>())
}
