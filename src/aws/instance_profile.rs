//! An IAM instance profile: how an EC2 instance gets a role.

use aws_sdk_iam::types;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::error::{Class, CloudError, call, existing};
use super::ids::{InstanceProfileName, RoleName};
use super::kind::{Found, Kind, Made, Work};
use super::reads::Reads;
use super::role_attachments;
use super::tagging::{self, Tagged};
use crate::phases::names;
use crate::plan::{Describe, Effect, Facts, Handle, RESOURCE, Reference, STACK, State};

/// An instance profile with its one role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceProfile {
    /// Its name, unique in the account.
    pub name: String,
    /// The path below which the stack's profiles live; see [`names::iam_path`].
    pub path: String,
    /// The role that instances get; empty where the cloud shows a profile without one.
    pub role: Reference<RoleName>,
}

/// What others may refer to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outputs {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
}

impl Describe for InstanceProfile {
    const FACTS: Facts = Facts {
        fields: &[("name", Effect::Replace), ("path", Effect::Replace), ("role", Effect::InPlace)],
        outputs: &["name", "arn"],
        references: &[("role", &["role"])],
        ..Facts::new("instance-profile")
    };
}

impl Handle<InstanceProfile> {
    /// The name.
    pub fn name(&self) -> Reference<InstanceProfileName> {
        self.output("name")
    }
}

impl Kind for InstanceProfile {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let names = list(reads).await?;
        let found = try_join_all(names.iter().map(|name| read(reads, name))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let outputs = match self.create_bare(work).await {
            Err(error) if error.class == Class::Exists => return self.take_up(work, error).await,
            other => other?,
        };
        self.add_role(work).await?;
        Ok(Made::ready(outputs))
    }

    async fn update(&self, _: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let profile = get(&self.name, &work.cloud.read.iam)
            .await?
            .ok_or_else(|| CloudError::incomplete("iam:GetInstanceProfile", "instance profile"))?;
        self.settle_role(&profile, work).await?;
        Ok(Made::ready(outputs_of(&profile)))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let name = &found.outputs.name;
        if !found.body.role.as_str().is_empty() {
            role_attachments::leave_profile(found.body.role.as_str(), name, work).await?;
        }
        match delete_bare(name, work).await {
            Err(error) if error.class == Class::Busy => {
                for role in get(name, &work.cloud.read.iam).await?.iter().flat_map(|profile| profile.roles()) {
                    role_attachments::leave_profile(role.role_name(), name, work).await?;
                }
                delete_bare(name, work).await
            }
            other => other,
        }
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::InstanceProfile(outputs.name.clone())
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let Some(profile) = get(&self.name, &reads.cloud.read.iam).await? else { return Ok(None) };
        let ours = profile.path() == self.path && reads.address_in(&tagging::from_iam(profile.tags())).is_some();
        Ok((!ours).then(|| {
            format!(
                "the account has an instance profile `{}` already (`{}`), and it is not this stack's; rename or \
                 delete it, or give the stack another name",
                self.name,
                profile.arn()
            )
        }))
    }
}

impl InstanceProfile {
    async fn create_bare(&self, work: &Work) -> Result<Outputs, CloudError> {
        let sending = work
            .cloud
            .write
            .iam
            .create_instance_profile()
            .instance_profile_name(&self.name)
            .path(&self.path)
            .set_tags(Some(tagging::iam(&work.tags)?));
        let answer = call("iam:CreateInstanceProfile", sending.send()).await?;
        let profile = answer.instance_profile();
        profile.map(outputs_of).ok_or_else(|| CloudError::incomplete("iam:CreateInstanceProfile", "profile"))
    }

    /// Goes on with a profile that an earlier attempt has made: its tags say so. `refusal` is what
    /// AWS said to making it, and stays the answer if it is somebody else's.
    async fn take_up(&self, work: &Work, refusal: CloudError) -> Result<Made<Outputs>, CloudError> {
        let Some(profile) = get(&self.name, &work.cloud.read.iam).await? else { return Err(refusal) };
        let tags = tagging::from_iam(profile.tags());
        let ours = [STACK, RESOURCE].iter().all(|key| tags.get(*key) == work.tags.get(*key));
        if !ours || profile.path() != self.path {
            return Err(refusal);
        }
        self.settle_role(&profile, work).await?;
        Ok(Made::ready(outputs_of(&profile)))
    }

    /// Leaves the profile with the one role that it is to have.
    async fn settle_role(&self, profile: &types::InstanceProfile, work: &Work) -> Result<(), CloudError> {
        let (wanted, others): (Vec<&str>, Vec<&str>) =
            profile.roles().iter().map(types::Role::role_name).partition(|role| *role == self.role.as_str());
        for role in others {
            role_attachments::leave_profile(role, &self.name, work).await?;
        }
        if wanted.is_empty() { self.add_role(work).await } else { Ok(()) }
    }

    async fn add_role(&self, work: &Work) -> Result<(), CloudError> {
        let client = &work.cloud.write.iam;
        let sending =
            client.add_role_to_instance_profile().instance_profile_name(&self.name).role_name(self.role.as_str());
        let result = call("iam:AddRoleToInstanceProfile", sending.send()).await;
        result.map(drop).map_err(CloudError::missing_is_not_yet)
    }
}

/// The names of the stack's instance profiles: what lives below its path, and nothing else that the list holds.
async fn list(reads: &Reads) -> Result<Vec<String>, CloudError> {
    let path = names::iam_path(&reads.stack, &reads.cloud.region);
    let mut pages = reads.cloud.read.iam.list_instance_profiles().path_prefix(&path).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = call("iam:ListInstanceProfiles", async { page }).await?;
        let ours = page.instance_profiles().iter().filter(|profile| profile.path() == path);
        names.extend(ours.map(|profile| profile.instance_profile_name().to_owned()));
    }
    Ok(names)
}

async fn read(reads: &Reads, name: &str) -> Result<Option<Found<InstanceProfile>>, CloudError> {
    let Some(profile) = get(name, &reads.cloud.read.iam).await? else { return Ok(None) };
    let tags = tagging::from_iam(profile.tags());
    let Some(address) = reads.address_in(&tags) else { return Ok(None) };
    let role = profile.roles().first().map(types::Role::role_name).unwrap_or_default();
    let body = InstanceProfile { name: name.to_owned(), path: profile.path().to_owned(), role: Reference::known(role) };
    Ok(Some(Found { address, body, outputs: outputs_of(&profile), tags, state: State::Ready }))
}

async fn get(name: &str, client: &aws_sdk_iam::Client) -> Result<Option<types::InstanceProfile>, CloudError> {
    let sending = client.get_instance_profile().instance_profile_name(name);
    let answer = existing(call("iam:GetInstanceProfile", sending.send()).await)?;
    Ok(answer.and_then(|answer| answer.instance_profile))
}

async fn delete_bare(name: &str, work: &Work) -> Result<(), CloudError> {
    let sending = work.cloud.write.iam.delete_instance_profile().instance_profile_name(name);
    existing(call("iam:DeleteInstanceProfile", sending.send()).await).map(drop)
}

fn outputs_of(profile: &types::InstanceProfile) -> Outputs {
    Outputs { name: profile.instance_profile_name().to_owned(), arn: profile.arn().to_owned() }
}
