//! Why the engine could not do what it was asked to.

use crate::aws::CloudError;
use crate::plan::Problem;

use super::lock::{Holder, Refusal};

/// Why nothing, or not everything, was done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A call failed before anything was begun.
    #[error("{0}")]
    Cloud(CloudError),
    /// The plan holds what cannot be done, or something that is not ours is in the way.
    #[error("{}", listed(.0))]
    Problems(Vec<Problem>),
    /// Another run holds the stack.
    #[error("{0}")]
    Locked(Box<Holder>),
    /// The cloud is not as it was when the plan was made.
    #[error("the cloud has changed since this plan was made")]
    Moved,
    /// The plan is for another account, region or version.
    #[error("this plan cannot be used here: {0}")]
    WrongPlan(String),
    /// Operations failed; what they were has been said as events.
    #[error("{failed} of {total} operations failed")]
    Operations {
        /// How many failed.
        failed: usize,
        /// Of how many.
        total: usize,
    },
    /// The user stopped the run.
    #[error("stopped")]
    Stopped,
}

impl Failure {
    /// What the user can do about it, where that can be said.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.help(),
            Self::Moved => Some("make a new plan, read it, and apply that one".to_owned()),
            Self::Locked(holder) => Some(holder.way_out()),
            Self::Operations { .. } | Self::Stopped => {
                Some("run the same command again: it goes on from what stands".to_owned())
            }
            Self::Problems(_) | Self::WrongPlan(_) => None,
        }
    }
}

impl From<CloudError> for Failure {
    fn from(error: CloudError) -> Self {
        Self::Cloud(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Held(holder) => Self::Locked(holder),
            Refusal::Cloud(error) => Self::Cloud(error),
        }
    }
}

fn listed(problems: &[Problem]) -> String {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("`{}`: {}", problem.address, problem.message)).collect();
    lines.join("\n")
}
