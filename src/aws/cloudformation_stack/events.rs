//! Why CloudFormation gave up: the first failure among a stack's events.

use aws_sdk_cloudformation::types::StackEvent;

use crate::aws::error::{CloudError, call};
use crate::aws::kind::Work;

/// The reason of the first failure of the stack's last operation.
///
/// # Errors
/// The failure of the call.
pub async fn first_failure(id: &str, work: &Work) -> Result<String, CloudError> {
    let sending = work.cloud.read.cloudformation.describe_stack_events().stack_name(id);
    let answer = call("cloudformation:DescribeStackEvents", sending.send()).await?;
    Ok(first_reason(answer.stack_events()).unwrap_or_else(|| "AWS gave no reason".to_owned()))
}

/// The first failure in `events`, which come newest first. What was only cancelled because of
/// another failure is no cause, and the events of earlier operations are left out.
fn first_reason(events: &[StackEvent]) -> Option<String> {
    let beginning = events.iter().position(begins_an_operation).map_or(events.len(), |at| at + 1);
    let causes = events[..beginning].iter().rev().filter(|event| is_cause(event));
    causes.filter_map(sentence).next()
}

fn status(event: &StackEvent) -> &str {
    event.resource_status().map(|status| status.as_str()).unwrap_or_default()
}

fn begins_an_operation(event: &StackEvent) -> bool {
    let about_the_stack = event.physical_resource_id() == event.stack_id();
    about_the_stack && matches!(status(event), "CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS" | "DELETE_IN_PROGRESS")
}

fn is_cause(event: &StackEvent) -> bool {
    let cancelled = event.resource_status_reason().is_some_and(|reason| reason.contains("cancelled"));
    status(event).ends_with("_FAILED") && !cancelled
}

fn sentence(event: &StackEvent) -> Option<String> {
    let reason = event.resource_status_reason()?;
    let resource = event.logical_resource_id().unwrap_or("a resource");
    Some(format!("`{resource}` ({}): {reason}", event.resource_type().unwrap_or("of unknown type")))
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::ResourceStatus;

    use super::*;

    fn event(resource: &str, status: ResourceStatus, reason: Option<&str>) -> StackEvent {
        let physical = if resource == "Karpenter-shop" { "arn:stack" } else { "something" };
        StackEvent::builder()
            .stack_id("arn:stack")
            .physical_resource_id(physical)
            .logical_resource_id(resource)
            .resource_type("AWS::SQS::Queue")
            .resource_status(status)
            .set_resource_status_reason(reason.map(str::to_owned))
            .build()
    }

    #[test]
    fn the_first_failure_of_the_last_operation_is_the_cause() {
        let events = [
            event("Karpenter-shop", ResourceStatus::RollbackInProgress, Some("The following resource(s) failed")),
            event("Rule", ResourceStatus::CreateFailed, Some("Resource creation cancelled")),
            event("Queue", ResourceStatus::CreateFailed, Some("it exists")),
            event("Queue", ResourceStatus::CreateInProgress, None),
            event("Karpenter-shop", ResourceStatus::CreateInProgress, Some("User Initiated")),
            event("Old", ResourceStatus::DeleteFailed, Some("of an earlier operation")),
        ];
        assert_eq!(first_reason(&events).as_deref(), Some("`Queue` (AWS::SQS::Queue): it exists"));
    }

    #[test]
    fn without_a_failure_there_is_no_reason() {
        assert_eq!(first_reason(&[]), None);
    }
}
