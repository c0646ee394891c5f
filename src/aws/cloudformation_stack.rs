//! A stack of CloudFormation.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_cloudformation::types::{Capability, Parameter, Stack, Tag, TemplateStage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{CloudError, call, existing};
use super::ids::{QueueArn, RoleArn, RoleName, Text};
use super::kind::{Found, Kind, Made, Progress, Work};
use super::reads::Reads;
use super::tagging::{self, Tagged};
use crate::phases::names;
use crate::plan::{Describe, Effect, Facts, Handle, Reference, State, Tags, tag_change};

mod events;

/// A template with its parameters, made and kept by CloudFormation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudformationStack {
    /// Its name, unique in the region.
    pub name: String,
    /// The template.
    pub template: Value,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
}

/// What others may refer to: the stack's own outputs beside its id and name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outputs {
    /// Its ARN, another one for each stack of the same name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The outputs that the template declares.
    #[serde(flatten)]
    pub declared: BTreeMap<String, String>,
}

impl Describe for CloudformationStack {
    const FACTS: Facts = Facts {
        fields: &[("name", Effect::Replace), ("template", Effect::InPlace), ("parameters", Effect::InPlace)],
        outputs: &[
            "id",
            "name",
            "NodeRoleName",
            "NodeRoleArn",
            "QueueName",
            "QueueUrl",
            "QueueArn",
            "NodeLifecyclePolicyArn",
            "IamIntegrationPolicyArn",
            "EksIntegrationPolicyArn",
            "InterruptionPolicyArn",
            "ZonalShiftPolicyArn",
            "ResourceDiscoveryPolicyArn",
        ],
        volatile: &[],
        // Its role cannot go while an instance profile holds it, or an instance runs with it.
        outlives: &["autoscaled-instance-profile", "autoscaled-instance"],
        ..Facts::new("cloudformation-stack")
    };
}

impl Handle<CloudformationStack> {
    /// The name of the role for nodes.
    pub fn node_role_name(&self) -> Reference<RoleName> {
        self.output("NodeRoleName")
    }

    /// The ARN of the role for nodes.
    pub fn node_role_arn(&self) -> Reference<RoleArn> {
        self.output("NodeRoleArn")
    }

    /// The name of the queue.
    pub fn queue_name(&self) -> Reference<Text> {
        self.output("QueueName")
    }

    /// The ARN of the queue.
    pub fn queue_arn(&self) -> Reference<QueueArn> {
        self.output("QueueArn")
    }

    /// The ARNs of the policies for the controller that adds nodes.
    pub fn controller_policies(&self) -> Vec<Reference<Text>> {
        let declared = Self::facts_outputs().filter(|name| name.ends_with("PolicyArn"));
        declared.map(|name| self.output(name)).collect()
    }

    fn facts_outputs() -> impl Iterator<Item = &'static str> {
        CloudformationStack::FACTS.outputs.iter().copied()
    }
}

impl Kind for CloudformationStack {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let name = names::cloudformation_stack(&reads.stack);
        let shown = look(reads, &name).await?;
        let Some(stack) = shown.as_ref() else { return Ok(Vec::new()) };
        let tags = tagging::from_cloudformation(stack.tags());
        let Some(address) = reads.address_in(&tags) else { return Ok(Vec::new()) };
        let body = Self { name, template: template(reads, stack).await?, parameters: parameters(stack) };
        let state = state(status(stack), stack.stack_status_reason());
        Ok(vec![Found { address, body, outputs: outputs(stack), tags, state }])
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .cloudformation
            .create_stack()
            .stack_name(&self.name)
            .template_body(self.template.to_string())
            .set_parameters(Some(self.parameters()))
            .capabilities(Capability::CapabilityNamedIam)
            .set_tags(Some(tagging::cloudformation(&work.tags)))
            .client_request_token(&work.token);
        let answer = call("cloudformation:CreateStack", sending.send()).await?;
        let id = answer.stack_id().ok_or_else(|| CloudError::incomplete("cloudformation:CreateStack", "id"))?;
        Ok(Made::settling(Outputs { id: id.to_owned(), name: self.name.clone(), declared: BTreeMap::new() }))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .cloudformation
            .update_stack()
            .stack_name(&found.outputs.id)
            .template_body(self.template.to_string())
            .set_parameters(Some(self.parameters()))
            .capabilities(Capability::CapabilityNamedIam)
            .set_tags(Some(merged_tags(&work.tags, &found.tags)))
            .client_request_token(format!("{}-update", work.token));
        match call("cloudformation:UpdateStack", sending.send()).await {
            Err(error) if error.message.contains("No updates are to be performed") => {
                Ok(Made::ready(found.outputs.clone()))
            }
            other => other.map(|_| Made::settling(found.outputs.clone())),
        }
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work
            .cloud
            .write
            .cloudformation
            .delete_stack()
            .stack_name(&found.outputs.id)
            .client_request_token(format!("{}-delete", work.token));
        existing(call("cloudformation:DeleteStack", sending.send()).await).map(drop)
    }

    fn tagged(_: &Outputs) -> Tagged {
        Tagged::WithTheRest
    }

    async fn progress(outputs: Outputs, work: &Work) -> Result<Progress<Outputs>, CloudError> {
        let answer = describe(&outputs.id, work).await?;
        let stack = answer.ok_or_else(|| CloudError::incomplete("cloudformation:DescribeStacks", "stack"))?;
        let status = status(&stack);
        if status.contains("ROLLBACK_COMPLETE") {
            let what = if status.starts_with("UPDATE") { "changing it failed" } else { "making it failed" };
            let why = events::first_failure(&outputs.id, work).await?;
            return Ok(Progress::Failed(format!("{what} and CloudFormation took it back: {why}")));
        }
        Ok(match state(status, None) {
            State::Ready => Progress::Ready(self::outputs(&stack)),
            State::Changing(status) => Progress::Waiting(format!("status is `{status}`")),
            State::Deleting => Progress::Failed("somebody deletes it".to_owned()),
            State::Failed(status) => {
                Progress::Failed(format!("{status}: {}", events::first_failure(&outputs.id, work).await?))
            }
        })
    }

    async fn remains(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let Some(stack) = describe(&found.outputs.id, work).await? else { return Ok(None) };
        match status(&stack) {
            "DELETE_COMPLETE" => Ok(None),
            "DELETE_FAILED" => {
                let why = events::first_failure(&found.outputs.id, work).await?;
                Err(CloudError::refused("cloudformation:DeleteStack", format!("CloudFormation gave up: {why}")))
            }
            status => Ok(Some(format!("status is `{status}`"))),
        }
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let shown = look(reads, &self.name).await?;
        let tags = shown.as_ref().as_ref().map(|stack| tagging::from_cloudformation(stack.tags()));
        Ok(tags.filter(|tags| reads.address_in(tags).is_none()).map(|_| {
            format!(
                "a CloudFormation stack called `{}` exists already and does not belong to this stack: delete it, or \
                 use `interruption.engine: native`",
                self.name
            )
        }))
    }
}

impl CloudformationStack {
    fn parameters(&self) -> Vec<Parameter> {
        let parameter = |(key, value)| Parameter::builder().parameter_key(key).parameter_value(value).build();
        self.parameters.iter().map(parameter).collect()
    }
}

/// The stack's tags after an update, which replaces them all: those of others stay.
fn merged_tags(wanted: &Tags, found: &Tags) -> Vec<Tag> {
    let change = tag_change(wanted, found);
    let mut tags: Tags = found.clone();
    tags.retain(|key, _| !change.unset.contains(key));
    tags.extend(change.set);
    tagging::cloudformation(&tags)
}

fn status(stack: &Stack) -> &str {
    stack.stack_status().map(|status| status.as_str()).unwrap_or_default()
}

/// How far along a stack with this status is. A stack whose change was taken back can be used, and
/// shows the template that it had before; one whose making was taken back can only be made anew.
fn state(status: &str, reason: Option<&str>) -> State {
    match status {
        "DELETE_IN_PROGRESS" | "DELETE_COMPLETE" => State::Deleting,
        "CREATE_FAILED"
        | "ROLLBACK_COMPLETE"
        | "ROLLBACK_FAILED"
        | "DELETE_FAILED"
        | "REVIEW_IN_PROGRESS"
        | "UPDATE_ROLLBACK_FAILED"
        | "IMPORT_ROLLBACK_FAILED" => State::Failed(match reason {
            Some(reason) => format!("status is `{status}`: {reason}"),
            None => format!("status is `{status}`"),
        }),
        _ if status.ends_with("_CLEANUP_IN_PROGRESS") => State::Ready,
        _ if status.ends_with("_IN_PROGRESS") => State::Changing(status.to_owned()),
        _ => State::Ready,
    }
}

fn parameters(stack: &Stack) -> BTreeMap<String, String> {
    let pair = |parameter: &Parameter| {
        Some((parameter.parameter_key()?.to_owned(), parameter.parameter_value().unwrap_or_default().to_owned()))
    };
    stack.parameters().iter().filter_map(pair).collect()
}

fn outputs(stack: &Stack) -> Outputs {
    let pair = |output: &aws_sdk_cloudformation::types::Output| {
        Some((output.output_key()?.to_owned(), output.output_value()?.to_owned()))
    };
    Outputs {
        id: stack.stack_id().unwrap_or_default().to_owned(),
        name: stack.stack_name().unwrap_or_default().to_owned(),
        declared: stack.outputs().iter().filter_map(pair).collect(),
    }
}

/// The stack called `name`, whoever it belongs to.
async fn look(reads: &Reads, name: &str) -> Result<Arc<Option<Stack>>, CloudError> {
    reads
        .once(format!("cloudformation:DescribeStacks/{name}"), || async {
            let sending = reads.cloud.read.cloudformation.describe_stacks().stack_name(name);
            let answer = existing(call("cloudformation:DescribeStacks", sending.send()).await)?;
            let stack = answer.and_then(|answer| answer.stacks().first().cloned());
            Ok(stack.filter(|stack| status(stack) != "DELETE_COMPLETE"))
        })
        .await
}

async fn describe(id: &str, work: &Work) -> Result<Option<Stack>, CloudError> {
    let sending = work.cloud.read.cloudformation.describe_stacks().stack_name(id);
    let answer = existing(call("cloudformation:DescribeStacks", sending.send()).await)?;
    Ok(answer.and_then(|answer| answer.stacks().first().cloned()))
}

/// The template as it was given. One that is not JSON was not written by eksup: it is shown as text.
async fn template(reads: &Reads, stack: &Stack) -> Result<Value, CloudError> {
    let sending = reads
        .cloud
        .read
        .cloudformation
        .get_template()
        .set_stack_name(stack.stack_id().map(str::to_owned))
        .template_stage(TemplateStage::Original);
    let answer = existing(call("cloudformation:GetTemplate", sending.send()).await)?;
    let text = answer.and_then(|answer| answer.template_body).unwrap_or_default();
    Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_whose_making_was_taken_back_is_made_anew_and_a_taken_back_change_is_tried_again() {
        assert!(matches!(state("ROLLBACK_COMPLETE", None), State::Failed(_)));
        assert_eq!(state("UPDATE_ROLLBACK_COMPLETE", None), State::Ready);
        assert_eq!(state("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", None), State::Ready);
        assert_eq!(state("CREATE_IN_PROGRESS", None), State::Changing("CREATE_IN_PROGRESS".into()));
        assert_eq!(state("DELETE_IN_PROGRESS", None), State::Deleting);
    }

    #[test]
    fn an_update_keeps_the_tags_of_others() {
        let tags = |pairs: &[(&str, &str)]| -> Tags {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let found = tags(&[("scanner", "seen"), ("team", "web"), ("eksup.dev/tag-keys", "team")]);
        let merged = tagging::from_cloudformation(&merged_tags(&tags(&[("cost", "7")]), &found));
        assert_eq!(merged, tags(&[("scanner", "seen"), ("cost", "7")]));
    }
}
