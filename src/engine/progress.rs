//! Where each operation of a run stands: one machine, from which a view or a test can tell what
//! happened by playing the events again.

use super::events::Event;

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// It has not started.
    #[default]
    Pending,
    /// It makes calls.
    Running,
    /// It waits for the cloud.
    Waiting,
    /// It is done.
    Done,
    /// It has failed for good.
    Failed,
    /// It will not be done.
    Skipped,
}

/// An event that does not fit where an operation stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("operation {number} cannot go from {from:?} to {to:?}")]
pub struct IllegalTransition {
    /// The operation.
    pub number: usize,
    /// Where it stood.
    pub from: Stage,
    /// Where the event would have put it.
    pub to: Stage,
}

/// Where every operation of a run stands.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    stages: Vec<Stage>,
}

impl Progress {
    /// Takes one event in.
    ///
    /// # Errors
    /// An event that cannot follow on what happened before.
    pub fn take(&mut self, event: &Event) -> Result<(), IllegalTransition> {
        let (number, to) = match event {
            Event::RunStarted { operations, .. } => {
                self.stages = vec![Stage::Pending; operations.len()];
                return Ok(());
            }
            Event::Started { number } | Event::Retrying { number, .. } => (*number, Stage::Running),
            Event::Waiting { number, .. } => (*number, Stage::Waiting),
            Event::Finished { number, .. } => (*number, Stage::Done),
            Event::Failed { number, .. } => (*number, Stage::Failed),
            Event::Skipped { number, .. } => (*number, Stage::Skipped),
            _ => return Ok(()),
        };
        let from = self.stage(number);
        if !follows(from, to) {
            return Err(IllegalTransition { number, from, to });
        }
        if let Some(stage) = self.stages.get_mut(number) {
            *stage = to;
        }
        Ok(())
    }

    /// Where operation `number` stands.
    pub fn stage(&self, number: usize) -> Stage {
        self.stages.get(number).copied().unwrap_or_default()
    }

    /// How many operations stand at `stage`.
    pub fn count(&self, stage: Stage) -> usize {
        self.stages.iter().filter(|candidate| **candidate == stage).count()
    }
}

fn follows(from: Stage, to: Stage) -> bool {
    match from {
        Stage::Pending => matches!(to, Stage::Running | Stage::Skipped),
        Stage::Running | Stage::Waiting => {
            matches!(to, Stage::Running | Stage::Waiting | Stage::Done | Stage::Failed | Stage::Skipped)
        }
        Stage::Done | Stage::Failed | Stage::Skipped => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_that_is_done_does_not_start_again() {
        let mut progress = Progress { stages: vec![Stage::Pending] };
        let finished = Event::Finished { number: 0, identity: None };
        assert!(progress.take(&finished).is_err());
        assert_eq!(progress.take(&Event::Started { number: 0 }), Ok(()));
        assert_eq!(progress.take(&finished), Ok(()));
        assert!(progress.take(&Event::Started { number: 0 }).is_err());
    }
}
