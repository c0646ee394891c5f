//! A launch template for the nodes of a managed node group.

use aws_sdk_ec2::types::{
    self, LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest, LaunchTemplateHttpTokensState,
    LaunchTemplateInstanceMetadataOptionsRequest, LaunchTemplateTagSpecificationRequest, RequestLaunchTemplateData,
    ResourceType, ResponseLaunchTemplateData, VolumeType,
};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::error::{CloudError, call, existing};
use super::ids::{LaunchTemplateId, LaunchTemplateVersion};
use super::kind::{Found, Kind, Made, Work};
use super::reads::Reads;
use super::tagging::{self, Tagged};
use crate::plan::{Describe, Effect, Facts, Handle, Reference, State, Tags};

/// What EKS starts a node group's instances from, beside what the group itself says. It names no security
/// group, subnet or profile: EKS attaches its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchTemplate {
    /// Its name, unique in the region.
    pub name: String,
    /// The device of the root volume, such as `/dev/xvda`.
    pub device: String,
    /// The size of the encrypted gp3 volume in GiB.
    pub disk_size: i32,
    /// Over how many hops instance metadata can be reached; session tokens are required in any case.
    pub hop_limit: i32,
    /// The tags of instances, their volumes and their network interfaces.
    pub instance_tags: Tags,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// `lt-…`
    pub id: String,
    /// The number of the default version.
    pub version: String,
}

impl Describe for LaunchTemplate {
    const FACTS: Facts = Facts {
        fields: &[
            ("name", Effect::Replace),
            ("device", Effect::InPlace),
            ("diskSize", Effect::InPlace),
            ("hopLimit", Effect::InPlace),
            ("instanceTags", Effect::InPlace),
        ],
        outputs: &["id", "version"],
        volatile: &[("version", &[])],
        ..Facts::new("launch-template")
    };
}

impl Handle<LaunchTemplate> {
    /// The id.
    pub fn id(&self) -> Reference<LaunchTemplateId> {
        self.output("id")
    }

    /// The number of the default version.
    pub fn version(&self) -> Reference<LaunchTemplateVersion> {
        self.output("version")
    }
}

/// What the template's tags go on.
const TAGGED: [ResourceType; 3] = [ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];

impl Kind for LaunchTemplate {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let pages = reads.cloud.read.ec2.describe_launch_templates().filters(reads.ours()).into_paginator().items();
        let templates = call("ec2:DescribeLaunchTemplates", pages.send().collect::<Result<Vec<_>, _>>()).await?;
        let found = try_join_all(templates.iter().map(|template| found(template, reads))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .ec2
            .create_launch_template()
            .launch_template_name(&self.name)
            .launch_template_data(self.data())
            .client_token(&work.token)
            .tag_specifications(tagging::ec2_at_birth(ResourceType::LaunchTemplate, &work.tags));
        let answer = call("ec2:CreateLaunchTemplate", sending.send()).await?;
        let outputs = answer.launch_template().and_then(outputs_of);
        Ok(Made::ready(outputs.ok_or_else(|| CloudError::incomplete("ec2:CreateLaunchTemplate", "id"))?))
    }

    /// Writes a new version and makes it the default.
    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let (client, id) = (&work.cloud.write.ec2, &found.outputs.id);
        let sending = client
            .create_launch_template_version()
            .launch_template_id(id)
            .launch_template_data(self.data())
            .client_token(&work.token);
        let answer = call("ec2:CreateLaunchTemplateVersion", sending.send()).await?;
        let version = answer
            .launch_template_version()
            .and_then(|version| version.version_number())
            .ok_or_else(|| CloudError::incomplete("ec2:CreateLaunchTemplateVersion", "version"))?
            .to_string();
        let sending = client.modify_launch_template().launch_template_id(id).default_version(&version);
        call("ec2:ModifyLaunchTemplate", sending.send()).await?;
        Ok(Made::ready(Outputs { id: id.clone(), version }))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.delete_launch_template().launch_template_id(&found.outputs.id);
        existing(call("ec2:DeleteLaunchTemplate", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Ec2(outputs.id.clone())
    }

    /// A template of others with the same name.
    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let sending = reads.cloud.read.ec2.describe_launch_templates().launch_template_names(&self.name);
        let answer = existing(call("ec2:DescribeLaunchTemplates", sending.send()).await)?;
        let templates = answer.and_then(|answer| answer.launch_templates).unwrap_or_default();
        let stranger = templates.iter().find(|each| reads.address_in(&tagging::from_ec2(each.tags())).is_none());
        Ok(stranger.map(|_| {
            format!(
                "there is a launch template `{}` that is not this stack's: delete it, or give the stack another name",
                self.name
            )
        }))
    }
}

impl LaunchTemplate {
    fn data(&self) -> RequestLaunchTemplateData {
        let volume = LaunchTemplateEbsBlockDeviceRequest::builder()
            .volume_size(self.disk_size)
            .volume_type(VolumeType::Gp3)
            .encrypted(true)
            .delete_on_termination(true)
            .build();
        let device = LaunchTemplateBlockDeviceMappingRequest::builder().device_name(&self.device).ebs(volume).build();
        let metadata = LaunchTemplateInstanceMetadataOptionsRequest::builder()
            .http_tokens(LaunchTemplateHttpTokensState::Required)
            .http_put_response_hop_limit(self.hop_limit)
            .build();
        let tags = TAGGED.map(|kind| {
            LaunchTemplateTagSpecificationRequest::builder()
                .resource_type(kind)
                .set_tags(Some(tagging::ec2(&self.instance_tags)))
                .build()
        });
        RequestLaunchTemplateData::builder()
            .block_device_mappings(device)
            .metadata_options(metadata)
            .set_tag_specifications((!self.instance_tags.is_empty()).then(|| tags.into()))
            .build()
    }

    /// What a version says. Whatever is not as it should be reads as a value that differs.
    fn of(name: &str, data: &ResponseLaunchTemplateData) -> Self {
        let device = data.block_device_mappings().first();
        let volume = device.and_then(|device| device.ebs());
        let sound = volume
            .is_some_and(|volume| volume.encrypted() == Some(true) && volume.volume_type() == Some(&VolumeType::Gp3));
        let metadata = data.metadata_options();
        let safe = metadata.and_then(|options| options.http_tokens()) == Some(&LaunchTemplateHttpTokensState::Required);
        let instances = data.tag_specifications().iter().find(|each| each.resource_type() == Some(&TAGGED[0]));
        Self {
            name: name.to_owned(),
            device: device.and_then(|device| device.device_name()).unwrap_or_default().to_owned(),
            disk_size: volume.filter(|_| sound).and_then(|volume| volume.volume_size()).unwrap_or_default(),
            hop_limit: metadata
                .filter(|_| safe)
                .and_then(|options| options.http_put_response_hop_limit())
                .unwrap_or_default(),
            instance_tags: instances.map(|each| tagging::from_ec2(each.tags())).unwrap_or_default(),
        }
    }
}

fn outputs_of(template: &types::LaunchTemplate) -> Option<Outputs> {
    let version = template.default_version_number()?.to_string();
    Some(Outputs { id: template.launch_template_id()?.to_owned(), version })
}

async fn found(template: &types::LaunchTemplate, reads: &Reads) -> Result<Option<Found<LaunchTemplate>>, CloudError> {
    let tags = tagging::from_ec2(template.tags());
    let (Some(address), Some(outputs)) = (reads.address_in(&tags), outputs_of(template)) else { return Ok(None) };
    let client = &reads.cloud.read.ec2;
    let sending = client.describe_launch_template_versions().launch_template_id(&outputs.id).versions("$Default");
    let answer = existing(call("ec2:DescribeLaunchTemplateVersions", sending.send()).await)?;
    let version = answer.and_then(|answer| answer.launch_template_versions?.into_iter().next());
    let Some(data) = version.and_then(|version| version.launch_template_data) else { return Ok(None) };
    let body = LaunchTemplate::of(template.launch_template_name().unwrap_or_default(), &data);
    Ok(Some(Found { address, body, outputs, tags, state: State::Ready }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_is_not_encrypted_reads_as_one_that_differs() {
        let volume = |encrypted| {
            types::LaunchTemplateEbsBlockDevice::builder()
                .volume_size(20)
                .volume_type(VolumeType::Gp3)
                .encrypted(encrypted)
                .build()
        };
        let size = |encrypted| {
            let device = types::LaunchTemplateBlockDeviceMapping::builder().ebs(volume(encrypted)).build();
            let data = ResponseLaunchTemplateData::builder().block_device_mappings(device).build();
            LaunchTemplate::of("shop-system", &data).disk_size
        };
        assert_eq!((size(true), size(false)), (20, 0));
    }
}
