//! An EC2 instance: the bastion.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    self, BlockDeviceMapping, EbsBlockDevice, HttpTokensState, IamInstanceProfileSpecification,
    InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification, InstanceType, ResourceType, VolumeType,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{CloudError, call, existing};
use super::ids::{InstanceProfileName, SecurityGroupId, SubnetId, Text};
use super::instance_reads::{self, Shown};
use super::kind::{Found, Kind, Made, Progress, Work};
use super::reads::Reads;
use super::tagging::{self, Tagged};
use crate::plan::{Describe, Effect, Facts, Fingerprint, Handle, Loss, Mark, Reference, Tags};
use crate::spec::Architecture;

/// An instance with one encrypted gp3 volume and one network interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// The public parameter that holds the id of the image; read when the instance is made, and only then.
    pub image: String,
    /// The instance type.
    pub instance_type: String,
    /// The subnet that it stands in.
    pub subnet: Reference<SubnetId>,
    /// The security groups of its interface.
    pub security_groups: BTreeSet<Reference<SecurityGroupId>>,
    /// The instance profile.
    pub profile: Reference<InstanceProfileName>,
    /// The key pair to log in with. Empty: none, and Session Manager has to reach it.
    pub key_name: String,
    /// Whether it gets a public address.
    pub public_address: bool,
    /// The size of the root volume in GiB.
    pub disk_size: i32,
    /// Whether the root volume is encrypted.
    pub encrypted: bool,
    /// Whether instance metadata wants a session token.
    pub tokens_required: bool,
    /// Over how many hops instance metadata can be reached.
    pub hop_limit: i32,
    /// What it does when it starts for the first time. Where a tag remembers it, a fingerprint of it is read
    /// back: see [`USER_DATA`].
    pub user_data: String,
    /// Whether it runs.
    pub running: bool,
}

/// What others may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// `i-…`
    pub id: String,
    /// Its address in the VPC.
    pub private_address: Option<String>,
    /// Its address on the internet, while it has one.
    pub public_address: Option<String>,
}

impl Describe for Instance {
    const FACTS: Facts = Facts {
        fields: &[
            ("image", Effect::CreateOnly),
            ("instanceType", Effect::InPlace),
            ("subnet", Effect::Replace),
            ("securityGroups", Effect::InPlace),
            ("profile", Effect::Replace),
            ("keyName", Effect::Replace),
            ("publicAddress", Effect::CreateOnly),
            ("diskSize", Effect::Replace),
            ("encrypted", Effect::Replace),
            ("tokensRequired", Effect::InPlace),
            ("hopLimit", Effect::InPlace),
            ("userData", Effect::Replace),
            ("running", Effect::InPlace),
        ],
        judge,
        outputs: &["id", "privateAddress", "publicAddress"],
        volatile: &[("publicAddress", &[])],
        references: &[
            ("subnet", &["subnet"]),
            ("securityGroups", &["security-group"]),
            ("profile", &["instance-profile"]),
        ],
        loss: Loss::Outage("whoever is logged in is cut off, and the files on its disk are gone"),
        ..Facts::new("instance")
    };
}

/// Carries a fingerprint of the user data that an instance was made with. User data acts only once, so what it
/// was at that moment counts; EC2 tells it in a call for each instance, and tags for nothing.
pub(super) const USER_DATA: &str = "eksup.dev/user-data";

/// Refines the table of an instance's fields.
fn judge(field: &str, before: &Value, after: &Value) -> Option<Effect> {
    let (before, after) = (before.as_str()?, after.as_str()?);
    match field {
        "instanceType" => Some(instance_type(before, after)),
        "userData" => (before == fingerprint(after)).then_some(Effect::Same),
        _ => None,
    }
}

/// A type of the same architecture only wants a stop and a start; another architecture wants another image.
fn instance_type(before: &str, after: &str) -> Effect {
    match Architecture::of_instance_type(before) == Architecture::of_instance_type(after) {
        true => Effect::Marked(Mark::Outage("the instance is stopped and started again".to_owned())),
        false => Effect::Replace,
    }
}

/// How a tag remembers user data.
fn fingerprint(user_data: &str) -> String {
    format!("sha256 {}", Fingerprint::short(user_data, 32))
}

impl Handle<Instance> {
    /// Its address on the internet.
    pub fn public_address(&self) -> Reference<Text> {
        self.output("publicAddress")
    }
}

/// The root device of Amazon Linux images.
const ROOT_DEVICE: &str = "/dev/xvda";
/// What is tagged when an instance is made.
const TAGGED: [ResourceType; 3] = [ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];

impl Kind for Instance {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        instance_reads::find(reads).await
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let image = image(&self.image, work).await?;
        let tags = TAGGED.map(|kind| tagging::ec2_at_birth(kind.clone(), &self.tags(kind, &work.tags)));
        let metadata = InstanceMetadataOptionsRequest::builder()
            .http_tokens(self.tokens())
            .http_put_response_hop_limit(self.hop_limit)
            .build();
        let profile = IamInstanceProfileSpecification::builder().name(self.profile.as_str()).build();
        let sending = work
            .cloud
            .write
            .ec2
            .run_instances()
            .image_id(image)
            .instance_type(InstanceType::from(self.instance_type.as_str()))
            .min_count(1)
            .max_count(1)
            .client_token(&work.token)
            .network_interfaces(self.interface())
            .block_device_mappings(self.root_volume())
            .metadata_options(metadata)
            .iam_instance_profile(profile)
            .set_key_name((!self.key_name.is_empty()).then(|| self.key_name.clone()))
            .user_data(BASE64.encode(&self.user_data))
            .set_tag_specifications(Some(tags.into()));
        let answer = call("ec2:RunInstances", sending.send()).await?;
        let outputs = answer.instances().first().and_then(instance_reads::outputs_of);
        Ok(Made::settling(outputs.ok_or_else(|| CloudError::incomplete("ec2:RunInstances", "instance id"))?))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let id = &found.outputs.id;
        if work.changes("tokensRequired") || work.changes("hopLimit") {
            self.write_metadata_options(id, work).await?;
        }
        if work.changes("securityGroups") {
            self.write_security_groups(id, work).await?;
        }
        if work.changes("instanceType") {
            self.write_type(id, work).await?;
        }
        if work.changes("instanceType") || work.changes("running") {
            call("ec2:StartInstances", work.cloud.write.ec2.start_instances().instance_ids(id).send()).await?;
        }
        Ok(Made::settling(found.outputs.clone()))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.terminate_instances().instance_ids(&found.outputs.id);
        existing(call("ec2:TerminateInstances", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Ec2(outputs.id.clone())
    }

    async fn progress(outputs: Outputs, work: &Work) -> Result<Progress<Outputs>, CloudError> {
        let Some(instance) = instance_reads::shown(&outputs.id, work).await? else {
            return Ok(Progress::Waiting("not visible yet".to_owned()));
        };
        let outputs = instance_reads::outputs_of(&instance).unwrap_or(outputs);
        Ok(match instance_reads::stage(&instance) {
            Shown::Running if instance.key_name().is_some() => Progress::Ready(outputs),
            Shown::Running if instance_reads::reached_by_session_manager(&outputs.id, work).await? => {
                Progress::Ready(outputs)
            }
            Shown::Running => Progress::Waiting(
                "it runs; Session Manager has not heard of it (it needs a way out, or the endpoints `ssm` and \
                 `ssmmessages`)"
                    .to_owned(),
            ),
            Shown::Elsewhere(state) => Progress::Waiting(format!("state is {state}")),
            Shown::Going | Shown::Gone => {
                let why = instance.state_reason().and_then(types::StateReason::message);
                Progress::Failed(format!("it was terminated: {}", why.unwrap_or("EC2 gave no reason")))
            }
        })
    }

    async fn remains(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let instance = instance_reads::shown(&found.outputs.id, work).await?;
        let going = instance.filter(|instance| !matches!(instance_reads::stage(instance), Shown::Gone));
        Ok(going.map(|instance| format!("state is {}", instance_reads::state_text(&instance))))
    }
}

impl Instance {
    /// The tags of the instance, or of what comes with it.
    fn tags(&self, kind: ResourceType, tags: &Tags) -> Tags {
        let mut tags = tags.clone();
        if kind == ResourceType::Instance {
            tags.insert(USER_DATA.to_owned(), fingerprint(&self.user_data));
        }
        tags
    }

    fn tokens(&self) -> HttpTokensState {
        if self.tokens_required { HttpTokensState::Required } else { HttpTokensState::Optional }
    }

    fn groups(&self) -> Vec<String> {
        self.security_groups.iter().map(Reference::to_string).collect()
    }

    fn interface(&self) -> InstanceNetworkInterfaceSpecification {
        InstanceNetworkInterfaceSpecification::builder()
            .device_index(0)
            .subnet_id(self.subnet.as_str())
            .set_groups(Some(self.groups()))
            .associate_public_ip_address(self.public_address)
            .delete_on_termination(true)
            .build()
    }

    fn root_volume(&self) -> BlockDeviceMapping {
        let volume = EbsBlockDevice::builder()
            .volume_size(self.disk_size)
            .volume_type(VolumeType::Gp3)
            .encrypted(self.encrypted)
            .delete_on_termination(true)
            .build();
        BlockDeviceMapping::builder().device_name(ROOT_DEVICE).ebs(volume).build()
    }

    async fn write_metadata_options(&self, id: &str, work: &Work) -> Result<(), CloudError> {
        let sending = work
            .cloud
            .write
            .ec2
            .modify_instance_metadata_options()
            .instance_id(id)
            .http_tokens(self.tokens())
            .http_put_response_hop_limit(self.hop_limit);
        call("ec2:ModifyInstanceMetadataOptions", sending.send()).await.map(drop)
    }

    async fn write_security_groups(&self, id: &str, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.modify_instance_attribute().instance_id(id).set_groups(Some(self.groups()));
        call("ec2:ModifyInstanceAttribute", sending.send()).await.map(drop)
    }

    /// Stops the instance and changes its type. While it is still stopping, EC2 refuses the change; the
    /// refusal is one that passes, so this is called again until it is done.
    async fn write_type(&self, id: &str, work: &Work) -> Result<(), CloudError> {
        let client = &work.cloud.write.ec2;
        call("ec2:StopInstances", client.stop_instances().instance_ids(id).send()).await?;
        let value = types::AttributeValue::builder().value(&self.instance_type).build();
        let sending = client.modify_instance_attribute().instance_id(id).instance_type(value);
        call("ec2:ModifyInstanceAttribute", sending.send()).await.map(drop)
    }
}

/// The id of the image that a public parameter holds now.
async fn image(parameter: &str, work: &Work) -> Result<String, CloudError> {
    let answer = call("ssm:GetParameter", work.cloud.read.ssm.get_parameter().name(parameter).send()).await?;
    let value = answer.parameter().and_then(|parameter| parameter.value());
    value.map(str::to_owned).ok_or_else(|| CloudError::incomplete("ssm:GetParameter", "value"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_architecture_wants_another_instance() {
        let effect = |after: &str| Instance::FACTS.effect("instanceType", &json!("t3.micro"), &json!(after));
        assert!(matches!(effect("t3.small"), Effect::Marked(Mark::Outage(_))));
        assert_eq!(effect("t4g.small"), Effect::Replace);
    }

    #[test]
    fn user_data_is_compared_with_what_the_tag_remembers() {
        let effect = |before: &str| Instance::FACTS.effect("userData", &json!(before), &json!("#!/bin/sh"));
        assert_eq!(effect(&fingerprint("#!/bin/sh")), Effect::Same);
        assert_eq!(effect(&fingerprint("#!/bin/bash")), Effect::Replace);
        assert_eq!(effect("#!/bin/bash"), Effect::Replace);
    }
}
