//! How instances are read back: state, volume and user data.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{self, HttpTokensState, InstanceAttributeName, InstanceStateName};
use aws_sdk_ssm::types::{InstanceInformationStringFilter, PingStatus};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::try_join_all;

use super::error::{CloudError, call, existing};
use super::instance::{self, Instance, Outputs};
use super::kind::{Found, Work};
use super::reads::Reads;
use super::tagging;
use crate::plan::{Reference, State};

/// How far along an instance is.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    /// It runs.
    Running,
    /// It is in the state with this name, and can run again.
    Elsewhere(String),
    /// It is being terminated.
    Going,
    /// It is terminated; EC2 shows it for an hour.
    Gone,
}

/// Everything of the stack that is not gone.
pub async fn find(reads: &Reads) -> Result<Vec<Found<Instance>>, CloudError> {
    let (instances, volumes) = tokio::try_join!(instances(reads), volumes(reads))?;
    let standing = instances.iter().filter(|instance| stage(instance) != Shown::Gone);
    let found = try_join_all(standing.map(|instance| found(instance, &volumes, reads))).await?;
    Ok(found.into_iter().flatten().collect())
}

async fn instances(reads: &Reads) -> Result<Vec<types::Instance>, CloudError> {
    let pages = reads.cloud.read.ec2.describe_instances().filters(reads.ours()).into_paginator().items();
    let reservations = call("ec2:DescribeInstances", pages.send().collect::<Result<Vec<_>, _>>()).await?;
    Ok(reservations.into_iter().flat_map(|each| each.instances.unwrap_or_default()).collect())
}

async fn volumes(reads: &Reads) -> Result<BTreeMap<String, types::Volume>, CloudError> {
    let pages = reads.cloud.read.ec2.describe_volumes().filters(reads.ours()).into_paginator().items();
    let volumes = call("ec2:DescribeVolumes", pages.send().collect::<Result<Vec<_>, _>>()).await?;
    Ok(volumes.into_iter().filter_map(|volume| Some((volume.volume_id.clone()?, volume))).collect())
}

async fn found(
    instance: &types::Instance,
    volumes: &BTreeMap<String, types::Volume>,
    reads: &Reads,
) -> Result<Option<Found<Instance>>, CloudError> {
    let tags = tagging::from_ec2(instance.tags());
    let (Some(address), Some(outputs)) = (reads.address_in(&tags), outputs_of(instance)) else { return Ok(None) };
    let stage = stage(instance);
    let user_data = match tags.get(instance::USER_DATA) {
        Some(fingerprint) => fingerprint.clone(),
        None => user_data(&outputs.id, reads).await?,
    };
    let body = body_of(instance, root_volume(instance, volumes), user_data, &stage);
    let state = match stage {
        Shown::Going | Shown::Gone => State::Deleting,
        Shown::Elsewhere(state) if state == "pending" => State::Changing(state),
        Shown::Running | Shown::Elsewhere(_) => State::Ready,
    };
    Ok(Some(Found { address, body, outputs, tags, state }))
}

fn body_of(instance: &types::Instance, root: Option<&types::Volume>, user_data: String, stage: &Shown) -> Instance {
    let metadata = instance.metadata_options();
    let profile = instance.iam_instance_profile().and_then(|profile| profile.arn());
    Instance {
        image: String::new(),
        instance_type: instance.instance_type().map(|name| name.as_str().to_owned()).unwrap_or_default(),
        subnet: Reference::known(instance.subnet_id().unwrap_or_default()),
        security_groups: instance
            .security_groups()
            .iter()
            .filter_map(|group| group.group_id())
            .map(Reference::known)
            .collect(),
        profile: Reference::known(profile.and_then(|arn| arn.rsplit('/').next()).unwrap_or_default()),
        key_name: instance.key_name().unwrap_or_default().to_owned(),
        public_address: instance.public_ip_address().is_some(),
        disk_size: root.and_then(types::Volume::size).unwrap_or_default(),
        encrypted: root.and_then(types::Volume::encrypted).unwrap_or_default(),
        tokens_required: metadata.and_then(|options| options.http_tokens()) == Some(&HttpTokensState::Required),
        hop_limit: metadata.and_then(|options| options.http_put_response_hop_limit()).unwrap_or_default(),
        user_data,
        running: match stage {
            Shown::Running => true,
            Shown::Elsewhere(state) => state == "pending",
            Shown::Going | Shown::Gone => false,
        },
    }
}

fn root_volume<'a>(
    instance: &types::Instance,
    volumes: &'a BTreeMap<String, types::Volume>,
) -> Option<&'a types::Volume> {
    let mappings = instance.block_device_mappings();
    let root = mappings.iter().find(|mapping| mapping.device_name() == instance.root_device_name());
    volumes.get(root.or(mappings.first())?.ebs()?.volume_id()?)
}

/// The user data itself, in a call of its own: only where no tag remembers it.
async fn user_data(id: &str, reads: &Reads) -> Result<String, CloudError> {
    let client = &reads.cloud.read.ec2;
    let sending = client.describe_instance_attribute().instance_id(id).attribute(InstanceAttributeName::UserData);
    let answer = existing(call("ec2:DescribeInstanceAttribute", sending.send()).await)?;
    let encoded = answer.and_then(|answer| answer.user_data?.value).unwrap_or_default();
    let decoded = BASE64.decode(encoded.trim()).unwrap_or_default();
    Ok(String::from_utf8_lossy(&decoded).into_owned())
}

/// The instance as EC2 shows it, if it does.
pub async fn shown(id: &str, work: &Work) -> Result<Option<types::Instance>, CloudError> {
    let sending = work.cloud.read.ec2.describe_instances().instance_ids(id);
    let answer = existing(call("ec2:DescribeInstances", sending.send()).await)?;
    let reservations = answer.and_then(|answer| answer.reservations).unwrap_or_default();
    Ok(reservations.into_iter().flat_map(|each| each.instances.unwrap_or_default()).next())
}

/// Whether Session Manager can open a session on the instance.
pub async fn reached_by_session_manager(id: &str, work: &Work) -> Result<bool, CloudError> {
    let by_id = InstanceInformationStringFilter::builder()
        .key("InstanceIds")
        .values(id)
        .build()
        .map_err(|error| CloudError::refused("ssm:DescribeInstanceInformation", error.to_string()))?;
    let sending = work.cloud.read.ssm.describe_instance_information().filters(by_id);
    let answer = call("ssm:DescribeInstanceInformation", sending.send()).await?;
    Ok(answer.instance_information_list().iter().any(|each| each.ping_status() == Some(&PingStatus::Online)))
}

/// How far along an instance is.
pub fn stage(instance: &types::Instance) -> Shown {
    match instance.state().and_then(|state| state.name()) {
        Some(InstanceStateName::Running) => Shown::Running,
        Some(InstanceStateName::ShuttingDown) => Shown::Going,
        Some(InstanceStateName::Terminated) => Shown::Gone,
        _ => Shown::Elsewhere(state_text(instance).to_owned()),
    }
}

/// EC2's word for the state.
pub fn state_text(instance: &types::Instance) -> &str {
    instance.state().and_then(|state| state.name()).map_or("unknown", InstanceStateName::as_str)
}

/// What others may refer to, where the answer has an id.
pub fn outputs_of(instance: &types::Instance) -> Option<Outputs> {
    Some(Outputs {
        id: instance.instance_id()?.to_owned(),
        private_address: instance.private_ip_address().map(str::to_owned),
        public_address: instance.public_ip_address().filter(|address| !address.is_empty()).map(str::to_owned),
    })
}
