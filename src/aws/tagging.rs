//! Writes tags, for every service in its own way.

use super::error::{CloudError, call};
use super::kind::Work;
use crate::plan::{TagChange, Tags};

/// What tags hang on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tagged {
    /// Nothing: the kind has no tags.
    Nothing,
    /// Something whose tags are changed together with the rest: [`Kind::update`](super::Kind::update)
    /// writes them, and is called for them alone too.
    WithTheRest,
    /// Anything in EC2, by its id.
    Ec2(String),
    /// Anything in EKS, by its ARN.
    Eks(String),
    /// Anything in RDS, by its ARN.
    Rds(String),
    /// A rule of EventBridge, by its ARN.
    Events(String),
    /// A queue, by its URL.
    Queue(String),
    /// A log group, by its ARN.
    LogGroup(String),
    /// A role, by its name.
    Role(String),
    /// An instance profile, by its name.
    InstanceProfile(String),
    /// An OIDC provider, by its ARN.
    OidcProvider(String),
}

/// Writes and removes tags as `change` says.
///
/// # Errors
/// The service's refusal.
pub async fn change(tagged: &Tagged, change: &TagChange, work: &Work) -> Result<(), CloudError> {
    if !change.set.is_empty() {
        set(tagged, &change.set, work).await?;
    }
    if !change.unset.is_empty() {
        unset(tagged, &change.unset, work).await?;
    }
    Ok(())
}

async fn set(tagged: &Tagged, tags: &Tags, work: &Work) -> Result<(), CloudError> {
    let clients = &work.cloud.write;
    match tagged {
        Tagged::Nothing | Tagged::WithTheRest => {}
        Tagged::Ec2(id) => {
            let sending = clients.ec2.create_tags().resources(id).set_tags(Some(ec2(tags)));
            call("ec2:CreateTags", sending.send()).await?;
        }
        Tagged::Eks(arn) => {
            let sending =
                clients.eks.tag_resource().resource_arn(arn).set_tags(Some(tags.clone().into_iter().collect()));
            call("eks:TagResource", sending.send()).await?;
        }
        Tagged::Rds(arn) => {
            let sending = clients.rds.add_tags_to_resource().resource_name(arn).set_tags(Some(rds(tags)));
            call("rds:AddTagsToResource", sending.send()).await?;
        }
        Tagged::Events(arn) => {
            let sending = clients.events.tag_resource().resource_arn(arn).set_tags(Some(events(tags)?));
            call("events:TagResource", sending.send()).await?;
        }
        Tagged::Queue(url) => {
            let sending = clients.sqs.tag_queue().queue_url(url).set_tags(Some(tags.clone().into_iter().collect()));
            call("sqs:TagQueue", sending.send()).await?;
        }
        Tagged::LogGroup(arn) => {
            let sending =
                clients.logs.tag_resource().resource_arn(arn).set_tags(Some(tags.clone().into_iter().collect()));
            call("logs:TagResource", sending.send()).await?;
        }
        Tagged::Role(name) => {
            let sending = clients.iam.tag_role().role_name(name).set_tags(Some(iam(tags)?));
            call("iam:TagRole", sending.send()).await?;
        }
        Tagged::InstanceProfile(name) => {
            let sending = clients.iam.tag_instance_profile().instance_profile_name(name).set_tags(Some(iam(tags)?));
            call("iam:TagInstanceProfile", sending.send()).await?;
        }
        Tagged::OidcProvider(arn) => {
            let sending =
                clients.iam.tag_open_id_connect_provider().open_id_connect_provider_arn(arn).set_tags(Some(iam(tags)?));
            call("iam:TagOpenIDConnectProvider", sending.send()).await?;
        }
    }
    Ok(())
}

async fn unset(tagged: &Tagged, keys: &[String], work: &Work) -> Result<(), CloudError> {
    let clients = &work.cloud.write;
    let keys = Some(keys.to_vec());
    match tagged {
        Tagged::Nothing | Tagged::WithTheRest => {}
        Tagged::Ec2(id) => {
            let tags = keys.iter().flatten().map(|key| aws_sdk_ec2::types::Tag::builder().key(key).build()).collect();
            call("ec2:DeleteTags", clients.ec2.delete_tags().resources(id).set_tags(Some(tags)).send()).await?;
        }
        Tagged::Eks(arn) => {
            call("eks:UntagResource", clients.eks.untag_resource().resource_arn(arn).set_tag_keys(keys).send()).await?;
        }
        Tagged::Rds(arn) => {
            let sending = clients.rds.remove_tags_from_resource().resource_name(arn).set_tag_keys(keys);
            call("rds:RemoveTagsFromResource", sending.send()).await?;
        }
        Tagged::Events(arn) => {
            let sending = clients.events.untag_resource().resource_arn(arn).set_tag_keys(keys);
            call("events:UntagResource", sending.send()).await?;
        }
        Tagged::Queue(url) => {
            call("sqs:UntagQueue", clients.sqs.untag_queue().queue_url(url).set_tag_keys(keys).send()).await?;
        }
        Tagged::LogGroup(arn) => {
            call("logs:UntagResource", clients.logs.untag_resource().resource_arn(arn).set_tag_keys(keys).send())
                .await?;
        }
        Tagged::Role(name) => {
            call("iam:UntagRole", clients.iam.untag_role().role_name(name).set_tag_keys(keys).send()).await?;
        }
        Tagged::InstanceProfile(name) => {
            let sending = clients.iam.untag_instance_profile().instance_profile_name(name).set_tag_keys(keys);
            call("iam:UntagInstanceProfile", sending.send()).await?;
        }
        Tagged::OidcProvider(arn) => {
            let sending =
                clients.iam.untag_open_id_connect_provider().open_id_connect_provider_arn(arn).set_tag_keys(keys);
            call("iam:UntagOpenIDConnectProvider", sending.send()).await?;
        }
    }
    Ok(())
}

/// Tags as EC2 takes them.
pub fn ec2(tags: &Tags) -> Vec<aws_sdk_ec2::types::Tag> {
    tags.iter().map(|(key, value)| aws_sdk_ec2::types::Tag::builder().key(key).value(value).build()).collect()
}

/// Tags as EC2 takes them when something is created.
pub fn ec2_at_birth(kind: aws_sdk_ec2::types::ResourceType, tags: &Tags) -> aws_sdk_ec2::types::TagSpecification {
    aws_sdk_ec2::types::TagSpecification::builder().resource_type(kind).set_tags(Some(ec2(tags))).build()
}

/// The tags that EC2 shows.
pub fn from_ec2(tags: &[aws_sdk_ec2::types::Tag]) -> Tags {
    tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}

/// Tags as RDS takes them.
pub fn rds(tags: &Tags) -> Vec<aws_sdk_rds::types::Tag> {
    tags.iter().map(|(key, value)| aws_sdk_rds::types::Tag::builder().key(key).value(value).build()).collect()
}

/// The tags that RDS shows.
pub fn from_rds(tags: &[aws_sdk_rds::types::Tag]) -> Tags {
    tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}

/// Tags as CloudFormation takes them.
pub fn cloudformation(tags: &Tags) -> Vec<aws_sdk_cloudformation::types::Tag> {
    tags.iter()
        .map(|(key, value)| aws_sdk_cloudformation::types::Tag::builder().key(key).value(value).build())
        .collect()
}

/// The tags that CloudFormation shows.
pub fn from_cloudformation(tags: &[aws_sdk_cloudformation::types::Tag]) -> Tags {
    tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}

/// The tags that application and network load balancers show.
pub fn from_elbv2(tags: &[aws_sdk_elasticloadbalancingv2::types::Tag]) -> Tags {
    tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}

/// The tags that classic load balancers show.
pub fn from_elb(tags: &[aws_sdk_elasticloadbalancing::types::Tag]) -> Tags {
    tags.iter().map(|tag| (tag.key().to_owned(), tag.value().unwrap_or_default().to_owned())).collect()
}

/// Tags as IAM takes them.
///
/// # Errors
/// None in practice: both halves of every tag are given.
pub fn iam(tags: &Tags) -> Result<Vec<aws_sdk_iam::types::Tag>, CloudError> {
    tags.iter()
        .map(|(key, value)| aws_sdk_iam::types::Tag::builder().key(key).value(value).build())
        .collect::<Result<_, _>>()
        .map_err(|error| CloudError::refused("iam:Tag", error.to_string()))
}

/// The tags that IAM shows.
pub fn from_iam(tags: &[aws_sdk_iam::types::Tag]) -> Tags {
    tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect()
}

/// Tags as EventBridge takes them.
///
/// # Errors
/// None in practice: both halves of every tag are given.
pub fn events(tags: &Tags) -> Result<Vec<aws_sdk_eventbridge::types::Tag>, CloudError> {
    tags.iter()
        .map(|(key, value)| aws_sdk_eventbridge::types::Tag::builder().key(key).value(value).build())
        .collect::<Result<_, _>>()
        .map_err(|error| CloudError::refused("events:TagResource", error.to_string()))
}

/// The tags that EventBridge shows.
pub fn from_events(tags: &[aws_sdk_eventbridge::types::Tag]) -> Tags {
    tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect()
}
