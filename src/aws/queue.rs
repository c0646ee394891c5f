//! A queue of SQS.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_sqs::types::QueueAttributeName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cloud::Cloud;
use super::error::{CloudError, call, existing};
use super::ids::{QueueArn, Text};
use super::kind::{Found, Kind, Made, Work};
use super::reads::Reads;
use super::tagging::Tagged;
use crate::phases::names;
use crate::plan::{Describe, Effect, Facts, Handle, Reference, State, Tags};

/// A standard queue with a policy of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Its name, unique in the region.
    pub name: String,
    /// How long a message that nobody takes is kept, in seconds.
    pub retention_seconds: u32,
    /// Whether SQS encrypts messages with a key of its own.
    pub encrypted: bool,
    /// Who may do what with it.
    pub policy: Value,
}

/// What others may refer to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outputs {
    /// Its URL, by which every call names it.
    pub url: String,
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
}

impl Describe for Queue {
    const FACTS: Facts = Facts {
        fields: &[
            ("name", Effect::Replace),
            ("retentionSeconds", Effect::InPlace),
            ("encrypted", Effect::InPlace),
            ("policy", Effect::InPlace),
        ],
        outputs: &["url", "arn", "name"],
        ..Facts::new("queue")
    };
}

impl Handle<Queue> {
    /// The ARN.
    pub fn arn(&self) -> Reference<QueueArn> {
        self.output("arn")
    }

    /// The URL.
    pub fn url(&self) -> Reference<Text> {
        self.output("url")
    }

    /// The name.
    pub fn name(&self) -> Reference<Text> {
        self.output("name")
    }
}

impl Kind for Queue {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let shown = look(reads, &names::interruption_queue(&reads.stack)).await?;
        let Some(queue) = shown.as_ref() else { return Ok(Vec::new()) };
        let Some(address) = reads.address_in(&queue.tags) else { return Ok(Vec::new()) };
        let (body, outputs) = (queue.body(), queue.outputs());
        Ok(vec![Found { address, body, outputs, tags: queue.tags.clone(), state: State::Ready }])
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .sqs
            .create_queue()
            .queue_name(&self.name)
            .set_attributes(Some(self.attributes(|_| true)))
            .set_tags(Some(work.tags.clone().into_iter().collect()));
        let answer = call("sqs:CreateQueue", sending.send()).await?;
        let url = answer.queue_url().ok_or_else(|| CloudError::incomplete("sqs:CreateQueue", "URL"))?;
        let arn = arn(&work.cloud, &self.name);
        Ok(Made::ready(Outputs { url: url.to_owned(), arn, name: self.name.clone() }))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let attributes = self.attributes(|field| work.changes(field));
        let sending =
            work.cloud.write.sqs.set_queue_attributes().queue_url(&found.outputs.url).set_attributes(Some(attributes));
        call("sqs:SetQueueAttributes", sending.send()).await?;
        Ok(Made::ready(found.outputs.clone()))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.sqs.delete_queue().queue_url(&found.outputs.url);
        existing(call("sqs:DeleteQueue", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Queue(outputs.url.clone())
    }

    async fn remains(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        Ok(url(&work.cloud, &found.outputs.name).await?.map(|_| "SQS takes up to a minute for it".to_owned()))
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let shown = look(reads, &self.name).await?;
        let theirs = shown.as_ref().as_ref().filter(|queue| reads.address_in(&queue.tags).is_none());
        Ok(theirs.map(|queue| {
            let maker = match queue.tags.get("aws:cloudformation:stack-name") {
                Some(stack) => format!("belongs to the CloudFormation stack `{stack}`: delete that first"),
                None => "does not belong to this stack: delete it, or give the stack another name".to_owned(),
            };
            format!("a queue called `{}` exists already and {maker}", self.name)
        }))
    }
}

impl Queue {
    /// The attributes whose fields `chosen` picks, as SQS takes them.
    fn attributes(&self, chosen: impl Fn(&str) -> bool) -> HashMap<QueueAttributeName, String> {
        [
            ("retentionSeconds", QueueAttributeName::MessageRetentionPeriod, self.retention_seconds.to_string()),
            ("encrypted", QueueAttributeName::SqsManagedSseEnabled, self.encrypted.to_string()),
            ("policy", QueueAttributeName::Policy, self.policy.to_string()),
        ]
        .into_iter()
        .filter(|(field, ..)| chosen(field))
        .map(|(_, name, value)| (name, value))
        .collect()
    }
}

/// The ARN of the queue called `name`.
pub fn arn(cloud: &Cloud, name: &str) -> String {
    format!("arn:{}:sqs:{}:{}:{name}", cloud.partition, cloud.region, cloud.account)
}

/// What SQS shows of a queue.
struct Shown {
    name: String,
    url: String,
    attributes: HashMap<QueueAttributeName, String>,
    tags: Tags,
}

impl Shown {
    fn attribute(&self, name: &QueueAttributeName) -> &str {
        self.attributes.get(name).map(String::as_str).unwrap_or_default()
    }

    fn body(&self) -> Queue {
        Queue {
            name: self.name.clone(),
            retention_seconds: self.attribute(&QueueAttributeName::MessageRetentionPeriod).parse().unwrap_or_default(),
            encrypted: self.attribute(&QueueAttributeName::SqsManagedSseEnabled) == "true",
            policy: serde_json::from_str(self.attribute(&QueueAttributeName::Policy)).unwrap_or_default(),
        }
    }

    fn outputs(&self) -> Outputs {
        let arn = self.attribute(&QueueAttributeName::QueueArn).to_owned();
        Outputs { url: self.url.clone(), arn, name: self.name.clone() }
    }
}

/// The queue called `name`, whoever it belongs to.
async fn look(reads: &Reads, name: &str) -> Result<Arc<Option<Shown>>, CloudError> {
    reads
        .once(format!("sqs:GetQueue/{name}"), || async {
            let Some(url) = url(&reads.cloud, name).await? else { return Ok(None) };
            let client = &reads.cloud.read.sqs;
            let attributes = client.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All);
            let tags = client.list_queue_tags().queue_url(&url);
            let (attributes, tags) =
                tokio::try_join!(async { existing(call("sqs:GetQueueAttributes", attributes.send()).await) }, async {
                    existing(call("sqs:ListQueueTags", tags.send()).await)
                },)?;
            let (Some(attributes), Some(tags)) = (attributes, tags) else { return Ok(None) };
            let tags = tags.tags.unwrap_or_default().into_iter().collect();
            Ok(Some(Shown { name: name.to_owned(), url, attributes: attributes.attributes.unwrap_or_default(), tags }))
        })
        .await
}

async fn url(cloud: &Cloud, name: &str) -> Result<Option<String>, CloudError> {
    let answer = existing(call("sqs:GetQueueUrl", cloud.read.sqs.get_queue_url().queue_name(name).send()).await)?;
    Ok(answer.and_then(|answer| answer.queue_url))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_queue_is_read_as_it_was_written() {
        let queue = Queue {
            name: "shop".into(),
            retention_seconds: 300,
            encrypted: true,
            policy: json!({ "Statement": [{ "Effect": "Deny" }] }),
        };
        let attributes = queue.attributes(|_| true);
        let shown = Shown { name: "shop".into(), url: String::new(), attributes, tags: Tags::new() };
        assert_eq!(shown.body(), queue);
    }

    #[test]
    fn only_what_differs_is_written() {
        let queue = Queue { name: "shop".into(), retention_seconds: 300, encrypted: true, policy: json!({}) };
        let written: Vec<_> = queue.attributes(|field| field == "policy").into_keys().collect();
        assert_eq!(written, [QueueAttributeName::Policy]);
    }
}
