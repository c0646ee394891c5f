//! An IAM role with what is attached to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_iam::types;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Class, CloudError, call, existing};
use super::ids::{RoleArn, RoleName, Text};
use super::kind::{Found, Kind, Made, Progress, Work};
use super::reads::Reads;
use super::role_details::{self, Details};
use super::tagging::{self, Tagged};
use super::{policy_document, role_attachments};
use crate::phases::names;
use crate::plan::{Describe, Effect, Facts, Handle, RESOURCE, Reference, STACK, State};

/// What a service or a pod may do, and who may take the role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Its name, unique in the account.
    pub name: String,
    /// The path below which the stack's roles live; see [`names::iam_path`].
    pub path: String,
    /// What it is for.
    pub description: String,
    /// Who may take it: the trust policy.
    pub trust: Value,
    /// ARNs of attached policies.
    pub managed_policies: BTreeSet<String>,
    /// Policies of its own, by name.
    pub inline_policies: BTreeMap<String, Value>,
}

/// What others may refer to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// `AROA…`: what access entries remember a role by. A role that is made anew has another one.
    pub unique_id: String,
}

impl Describe for Role {
    const FACTS: Facts = Facts {
        fields: &[
            ("name", Effect::Replace),
            ("path", Effect::Replace),
            ("description", Effect::InPlace),
            ("trust", Effect::InPlace),
            ("managedPolicies", Effect::InPlace),
            ("inlinePolicies", Effect::InPlace),
        ],
        outputs: &["name", "arn", "uniqueId"],
        references: &[("trust", &["oidc-provider"]), ("inlinePolicies", &["queue"])],
        outlives: &["cluster"],
        ..Facts::new("role")
    };
}

impl Handle<Role> {
    /// The name.
    pub fn name(&self) -> Reference<RoleName> {
        self.output("name")
    }

    /// The ARN.
    pub fn arn(&self) -> Reference<RoleArn> {
        self.output("arn")
    }

    /// What tells this role from an earlier one of its name.
    pub fn unique_id(&self) -> Reference<Text> {
        self.output("uniqueId")
    }
}

impl Kind for Role {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let roles = list(reads).await?;
        let known = role_details::known(reads).await?;
        let look = roles.iter().map(|role| {
            let known = known.ours.get(role.role_name()).cloned();
            async move {
                match known {
                    Some(known) => Ok(found(reads, role, known)),
                    None => read(reads, role.role_name()).await,
                }
            }
        });
        let found: Vec<Option<Found<Self>>> = try_join_all(look.collect::<Vec<_>>()).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let outputs = match self.create_bare(work).await {
            Err(error) if error.class == Class::Exists => self.take_up(work, error).await?,
            other => other?,
        };
        role_attachments::write(&self.name, &self.attachments(), &role_attachments::Attachments::default(), work)
            .await?;
        Ok(made(outputs))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let client = &work.cloud.write.iam;
        if work.changes("description") {
            let sending = client.update_role_description().role_name(&self.name).description(&self.description);
            call("iam:UpdateRoleDescription", sending.send()).await?;
        }
        if work.changes("trust") {
            self.write_trust(work).await?;
        }
        role_attachments::write(&self.name, &self.attachments(), &found.body.attachments(), work).await?;
        Ok(made(found.outputs.clone()))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let name = &found.outputs.name;
        role_attachments::remove(name, &found.body.attachments(), work).await?;
        match delete_bare(name, work).await {
            Err(error) if error.class == Class::Busy => {
                role_attachments::remove_all(name, work).await?;
                delete_bare(name, work).await
            }
            other => other,
        }
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Role(outputs.name.clone())
    }

    async fn progress(outputs: Outputs, work: &Work) -> Result<Progress<Outputs>, CloudError> {
        let sending = work.cloud.read.iam.get_role().role_name(&outputs.name);
        let shown = existing(call("iam:GetRole", sending.send()).await)?;
        Ok(match shown.as_ref().and_then(|answer| answer.role()) {
            Some(role) if role.arn().starts_with("arn:") => Progress::Ready(outputs_of(role)),
            Some(_) => Progress::Waiting("IAM shows its id in place of its name".to_owned()),
            None => Progress::Waiting("IAM does not show it yet".to_owned()),
        })
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let sending = reads.cloud.read.iam.get_role().role_name(&self.name);
        let Some(answer) = existing(call("iam:GetRole", sending.send()).await)? else { return Ok(None) };
        let stranger = answer
            .role()
            .filter(|role| role.path() != self.path || reads.address_in(&tagging::from_iam(role.tags())).is_none());
        Ok(stranger.map(|role| {
            format!(
                "the account has a role `{}` already (`{}`), and it is not this stack's; rename or delete it, or give \
                 the stack another name",
                self.name,
                role.arn()
            )
        }))
    }
}

impl Role {
    fn attachments(&self) -> role_attachments::Attachments {
        role_attachments::Attachments { managed: self.managed_policies.clone(), inline: self.inline_policies.clone() }
    }

    async fn create_bare(&self, work: &Work) -> Result<Outputs, CloudError> {
        let sending = work
            .cloud
            .write
            .iam
            .create_role()
            .role_name(&self.name)
            .path(&self.path)
            .description(&self.description)
            .assume_role_policy_document(self.trust.to_string())
            .set_tags(Some(tagging::iam(&work.tags)?));
        let answer = call("iam:CreateRole", sending.send()).await?;
        answer.role().map(outputs_of).ok_or_else(|| CloudError::incomplete("iam:CreateRole", "role"))
    }

    /// Goes on with a role that an earlier attempt has made: its tags say so. `refusal` is what AWS
    /// said to making it, and stays the answer if it is somebody else's.
    async fn take_up(&self, work: &Work, refusal: CloudError) -> Result<Outputs, CloudError> {
        let sending = work.cloud.read.iam.get_role().role_name(&self.name);
        let answer = call("iam:GetRole", sending.send()).await?;
        let role = answer.role().ok_or_else(|| CloudError::incomplete("iam:GetRole", "role"))?;
        let tags = tagging::from_iam(role.tags());
        let ours = [STACK, RESOURCE].iter().all(|key| tags.get(*key) == work.tags.get(*key));
        if !ours || role.path() != self.path {
            return Err(refusal);
        }
        if trust_of(role)? != self.trust {
            self.write_trust(work).await?;
        }
        Ok(outputs_of(role))
    }

    async fn write_trust(&self, work: &Work) -> Result<(), CloudError> {
        let client = &work.cloud.write.iam;
        let sending = client.update_assume_role_policy().role_name(&self.name).policy_document(self.trust.to_string());
        call("iam:UpdateAssumeRolePolicy", sending.send()).await.map(drop)
    }
}

/// The stack's roles, as far as a list shows them: what lives below its path.
///
/// # Errors
/// The failure of the call.
pub(super) async fn list(reads: &Reads) -> Result<Arc<Vec<types::Role>>, CloudError> {
    reads
        .once("iam:ListRoles", || async {
            let path = names::iam_path(&reads.stack, &reads.cloud.region);
            let pages = reads.cloud.read.iam.list_roles().path_prefix(path).into_paginator().items();
            call("iam:ListRoles", pages.send().collect::<Result<Vec<_>, _>>()).await
        })
        .await
}

/// The role called `name`, if it is still there and its tags say that it is the stack's.
async fn read(reads: &Reads, name: &str) -> Result<Option<Found<Role>>, CloudError> {
    let role = async { existing(call("iam:GetRole", reads.cloud.read.iam.get_role().role_name(name).send()).await) };
    let (answer, attachments) = tokio::try_join!(role, role_attachments::read(name, &reads.cloud.read.iam))?;
    let role = answer.and_then(|answer| answer.role);
    Ok(role.zip(attachments).and_then(|(role, attachments)| {
        let tags = tagging::from_iam(role.tags());
        found(reads, &role, Details { tags, attachments })
    }))
}

/// The role as the stack's, if its tags say so.
fn found(reads: &Reads, role: &types::Role, details: Details) -> Option<Found<Role>> {
    let Details { tags, attachments } = details;
    let address = reads.address_in(&tags)?;
    let body = Role {
        name: role.role_name().to_owned(),
        path: role.path().to_owned(),
        description: role.description().unwrap_or_default().to_owned(),
        trust: trust_of(role).unwrap_or_default(),
        managed_policies: attachments.managed,
        inline_policies: attachments.inline,
    };
    Some(Found { address, body, outputs: outputs_of(role), tags, state: State::Ready })
}

async fn delete_bare(name: &str, work: &Work) -> Result<(), CloudError> {
    let sending = work.cloud.write.iam.delete_role().role_name(name);
    existing(call("iam:DeleteRole", sending.send()).await).map(drop)
}

fn trust_of(role: &types::Role) -> Result<Value, CloudError> {
    policy_document::parse("iam:GetRole", role.assume_role_policy_document().unwrap_or_default())
}

fn outputs_of(role: &types::Role) -> Outputs {
    Outputs { name: role.role_name().to_owned(), arn: role.arn().to_owned(), unique_id: role.role_id().to_owned() }
}

/// A new role can show its id where its ARN belongs; whoever refers to the ARN has to wait for it.
fn made(outputs: Outputs) -> Made<Outputs> {
    if outputs.arn.starts_with("arn:") { Made::ready(outputs) } else { Made::settling(outputs) }
}
