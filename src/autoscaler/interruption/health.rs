//! Whether the queue can be heard, said where somebody looks: in the log, in figures, and on every NodePool.

use std::sync::Arc;

use kube::ResourceExt;
use serde_json::json;

use crate::autoscaler::api::NodePool;
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::events::{Tone, about};
use crate::autoscaler::runtime::writes::{Truth, patch_status_of, set_condition, truth_of};
use crate::autoscaler::state::live::Observed;
use crate::aws::{Class, CloudError};

/// The condition of NodePools that says whether notices are heard.
const CONDITION: &str = "InterruptionsHeard";

/// How hearing has gone so far.
#[derive(Debug, Default)]
pub struct Health {
    /// Failures since the last answer.
    failures: u32,
    /// Whether the pools say that the queue is not heard, or might, from a process before this one.
    said: Option<bool>,
}

impl Health {
    /// The queue has answered.
    pub async fn well(&mut self, context: &Context, name: &str) {
        context.metrics.queue_heard.set([], 1.0);
        if self.failures > 0 {
            tracing::info!(queue = name, "the interruption queue answers again");
        }
        self.failures = 0;
        if self.said != Some(false) && write(context, Truth::True, "Heard", "").await {
            self.said = Some(false);
        }
    }

    /// The queue has not answered. One failure is none: the second is told.
    pub async fn ill(&mut self, context: &Context, name: &str, error: &CloudError) {
        self.failures += 1;
        let message = explain(name, error);
        if self.failures.is_power_of_two() {
            tracing::warn!(queue = name, "{message}");
        }
        if self.failures < 2 {
            return;
        }
        context.metrics.queue_heard.set([], 0.0);
        let reason = if error.class == Class::Missing { "QueueNotFound" } else { "QueueUnreachable" };
        if self.said != Some(true) && write(context, Truth::False, reason, &message).await {
            self.said = Some(true);
        }
    }
}

fn explain(name: &str, error: &CloudError) -> String {
    match error.class {
        Class::Missing => format!(
            "the interruption queue `{name}` does not exist, so spot instances go without notice: make it again (`eksup \
             apply`), or set INTERRUPTION_QUEUE to one that exists; it is looked for until it is there"
        ),
        _ => format!("the interruption queue `{name}` cannot be read, so spot instances go without notice: {error}"),
    }
}

/// Writes the condition on the pools that say something else; whether all say it now.
async fn write(context: &Context, truth: Truth, reason: &'static str, message: &str) -> bool {
    let pools: Vec<Arc<NodePool>> = context.live.lock().pools().map(|pool| Arc::clone(&pool.object)).collect();
    let mut all = true;
    for pool in pools {
        let mut conditions = pool.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        // A queue that was always heard is worth no word.
        if truth == Truth::True && truth_of(&conditions, CONDITION).is_none() {
            continue;
        }
        let generation = pool.metadata.generation;
        if !set_condition(&mut conditions, CONDITION, truth, reason, message, generation, context.now()) {
            continue;
        }
        if truth == Truth::False {
            context.events.publish(about(pool.as_ref()), Tone::Warning, "InterruptionQueueUnreachable", message);
        }
        match patch_status_of(&context.client, pool.as_ref(), json!({ "conditions": conditions })).await {
            Ok(pool) => context.live.apply(Observed::Pool(Box::new(pool))),
            Err(error) => {
                all = false;
                tracing::debug!(
                    nodepool = pool.name_any(),
                    "a condition was not written, it is written again: {error}"
                );
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_was_deleted_is_named_with_what_to_do() {
        let mut error = CloudError::refused("sqs:GetQueueUrl", "no such queue");
        error.class = Class::Missing;
        let message = explain("shop", &error);
        assert!(message.contains("`shop` does not exist") && message.contains("`eksup apply`"), "{message}");
    }
}
