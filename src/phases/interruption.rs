//! The queue and the rule that tell the autoscaler which instances will go away: as resources of
//! the stack, or inside a CloudFormation stack.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Draft, NodeRole, names};
use crate::aws::cloudformation_stack::CloudformationStack;
use crate::aws::event_rule::EventRule;
use crate::aws::ids::{QueueArn, Text};
use crate::aws::queue::Queue;
use crate::plan::Reference;
use crate::render::policies::{Values, policy};
use crate::spec::InterruptionEngine;

/// What the phase leaves for the others.
#[derive(Debug, Clone)]
pub struct Interruption {
    /// The name of the queue.
    pub queue_name: Reference<Text>,
    /// Its ARN.
    pub queue_arn: Reference<QueueArn>,
    /// The role for nodes that a CloudFormation stack has made beside the queue.
    pub node_role: Option<NodeRole>,
    /// The policies for the controller that it has made.
    pub controller_policies: Vec<Reference<Text>>,
}

/// Notices that nobody takes within five minutes are of no use any more.
const RETENTION_SECONDS: u32 = 300;

/// What the rule is for, in its name.
const PURPOSE: &str = "interruption";

/// The services that speak.
const SOURCES: &[&str] = &["aws.ec2", "aws.health"];

/// Of what they speak. Each kind of event has one source, so one rule says what five would.
const DETAIL_TYPES: &[&str] = &[
    "AWS Health Event",
    "EC2 Capacity Reservation Instance Interruption Warning",
    "EC2 Instance Rebalance Recommendation",
    "EC2 Instance State-change Notification",
    "EC2 Spot Instance Interruption Warning",
];

/// The template of the CloudFormation stack: `cluster`.
const TEMPLATE: &str = include_str!("../../templates/karpenter-stack.json");

/// Declares what the stack wants to hear interruptions with, if it wants to.
pub fn declare(draft: &mut Draft<'_>) -> Option<Interruption> {
    let wanted = draft.stack.interruption.as_ref()?;
    Some(match wanted.engine {
        InterruptionEngine::Native => declare_native(draft),
        InterruptionEngine::Cloudformation => declare_cloudformation(draft),
    })
}

fn declare_native(draft: &mut Draft<'_>) -> Interruption {
    let name = names::interruption_queue(draft.name());
    let surroundings = draft.surroundings;
    let (partition, account) = (&surroundings.partition, &surroundings.account);
    let arn = format!("arn:{partition}:sqs:{}:{account}:{name}", draft.region());
    let body = Queue { name, retention_seconds: RETENTION_SECONDS, encrypted: true, policy: queue_policy(&arn) };
    let queue = draft.resources.add("interruption/queue", body);
    let rule = EventRule {
        name: names::event_rule(draft.name(), PURPOSE),
        pattern: json!({ "source": SOURCES, "detail-type": DETAIL_TYPES }),
        enabled: true,
        queue: queue.arn(),
    };
    draft.resources.add("interruption/rule", rule);
    Interruption { queue_name: queue.name(), queue_arn: queue.arn(), node_role: None, controller_policies: Vec::new() }
}

/// EventBridge may send, and nobody may do anything without TLS.
fn queue_policy(arn: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Id": "EC2InterruptionPolicy",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": { "Service": ["events.amazonaws.com", "sqs.amazonaws.com"] },
                "Action": "sqs:SendMessage",
                "Resource": arn,
            },
            {
                "Sid": "DenyHTTP",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sqs:*",
                "Resource": arn,
                "Condition": { "Bool": { "aws:SecureTransport": "false" } },
            },
        ],
    })
}

fn declare_cloudformation(draft: &mut Draft<'_>) -> Interruption {
    let body = CloudformationStack {
        name: names::cloudformation_stack(draft.name()),
        template: policy(TEMPLATE, &Values::new().with("cluster", draft.name())),
        parameters: BTreeMap::new(),
    };
    let stack = draft.resources.add("interruption/stack", body);
    Interruption {
        queue_name: stack.queue_name(),
        queue_arn: stack.queue_arn(),
        node_role: Some(NodeRole { name: stack.node_role_name(), arn: stack.node_role_arn() }),
        controller_policies: stack.controller_policies(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::Describe;

    /// The longest name that a stack can have.
    fn longest() -> String {
        "c".repeat(46)
    }

    fn template() -> Value {
        policy(TEMPLATE, &Values::new().with("cluster", longest()))
    }

    #[test]
    fn the_name_of_the_rule_fits() {
        assert!(names::event_rule(&longest(), PURPOSE).len() <= 64);
    }

    #[test]
    fn the_template_is_whole_and_small_enough_to_be_sent() {
        let template = template();
        let text = template.to_string();
        assert!(template["Resources"].is_object() && !text.contains("{{"), "{text}");
        assert!(text.len() <= 51_200, "CloudFormation takes 51,200 bytes, it has {}", text.len());
    }

    #[test]
    fn the_template_hears_of_the_same_events_as_the_native_rule() {
        let template = template();
        let rules = template["Resources"].as_object().into_iter().flatten();
        let patterns: Vec<&Value> = rules
            .filter(|(_, resource)| resource["Type"] == "AWS::Events::Rule")
            .map(|(_, resource)| &resource["Properties"]["EventPattern"])
            .collect();
        let heard = |part: &str| -> BTreeSet<&str> {
            let words = patterns.iter().flat_map(|pattern| pattern[part].as_array().into_iter().flatten());
            words.filter_map(Value::as_str).collect()
        };
        assert_eq!(heard("source"), SOURCES.iter().copied().collect());
        assert_eq!(heard("detail-type"), DETAIL_TYPES.iter().copied().collect());
    }

    #[test]
    fn the_template_declares_every_output_that_others_may_refer_to() {
        let template = template();
        let declared = CloudformationStack::FACTS.outputs.iter().filter(|name| name.starts_with(char::is_uppercase));
        for name in declared {
            assert!(template["Outputs"].get(*name).is_some(), "no output `{name}`");
        }
    }

    #[test]
    fn the_templates_policies_fit_into_what_iam_takes() {
        let template = template();
        for (name, resource) in template["Resources"].as_object().into_iter().flatten() {
            if resource["Type"] == "AWS::IAM::ManagedPolicy" {
                let size = resource["Properties"]["PolicyDocument"].to_string().len();
                assert!(size <= 6_144, "{name} has {size} characters");
            }
        }
    }
}
