//! The instance profile of a class with a `role`: made, kept right, and taken away.
//!
//! Its name tells cluster, region, class and role apart, so that another role is another profile, and nodes that
//! run keep theirs. It carries the tags that IAM policies ask for.

use std::time::Duration;

use aws_sdk_iam::types::InstanceProfile;
use sha2::{Digest, Sha256};

use crate::autoscaler::api::EC2NodeClass;
use crate::autoscaler::cloud::insist::insist;
use crate::autoscaler::cloud::{Ec2, tags};
use crate::aws::{Class, CloudError, call, existing, tagging};

/// How long a profile that was there is believed to be.
pub const KEPT: Duration = Duration::from_secs(900);

/// The name of the profile for a role.
pub fn name(cluster: &str, region: &str, class: &str, uid: &str, role: &str) -> String {
    let hash = Sha256::digest(format!("{region}/{class}/{uid}/{role}"));
    let words: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{cluster}_{words}")
}

/// The path of all profiles of a cluster.
pub fn cluster_path(cluster: &str, region: &str) -> String {
    format!("/karpenter/{region}/{cluster}/")
}

/// The role's name: policies may have it as an ARN's last part.
fn role_name(role: &str) -> &str {
    role.rsplit('/').next().unwrap_or(role)
}

impl Ec2 {
    /// The name of the class's profile, which is there, with its role, when this returns.
    ///
    /// # Errors
    /// IAM's.
    pub(super) async fn settle_profile(&self, class: &EC2NodeClass, role: &str) -> Result<String, CloudError> {
        let (class_name, uid) = identity(class);
        let name = name(&self.cluster.name, &self.cloud.region, class_name, uid, role);
        self.profiles
            .get(&name, KEPT, || async {
                match self.read_profile(&name).await? {
                    Some(profile) => self.settle_role(&profile, role_name(role)).await,
                    None => self.make_profile(&name, class, role_name(role)).await,
                }
            })
            .await?;
        Ok(name)
    }

    pub(in crate::autoscaler::cloud) async fn read_profile(
        &self,
        name: &str,
    ) -> Result<Option<InstanceProfile>, CloudError> {
        let sending = self.cloud.read.iam.get_instance_profile().instance_profile_name(name);
        let answer = existing(call("iam:GetInstanceProfile", sending.send()).await)?;
        Ok(answer.and_then(|answer| answer.instance_profile))
    }

    async fn make_profile(&self, name: &str, class: &EC2NodeClass, role: &str) -> Result<(), CloudError> {
        let (class_name, uid) = identity(class);
        let tags = tags::of_profile(&self.cluster.name, &self.cloud.region, class_name, &class.spec.tags);
        let sending = self
            .cloud
            .write
            .iam
            .create_instance_profile()
            .instance_profile_name(name)
            .path(format!("{}{uid}/", cluster_path(&self.cluster.name, &self.cloud.region)))
            .set_tags(Some(tagging::iam(&tags)?));
        match insist(|| async { call("iam:CreateInstanceProfile", sending.clone().send()).await }).await {
            Err(error) if error.class != Class::Exists => Err(error),
            _ => self.add_role(name, role).await,
        }
    }

    /// Leaves the profile with this role alone.
    async fn settle_role(&self, profile: &InstanceProfile, role: &str) -> Result<(), CloudError> {
        let name = profile.instance_profile_name();
        for other in profile.roles().iter().filter(|each| each.role_name() != role) {
            self.remove_role(name, other.role_name()).await?;
        }
        if profile.roles().iter().any(|each| each.role_name() == role) {
            Ok(())
        } else {
            self.add_role(name, role).await
        }
    }

    async fn add_role(&self, name: &str, role: &str) -> Result<(), CloudError> {
        let sending = self.cloud.write.iam.add_role_to_instance_profile().instance_profile_name(name).role_name(role);
        let added = insist(|| async { call("iam:AddRoleToInstanceProfile", sending.clone().send()).await }).await;
        match added {
            // A profile has one role at most: the answer to our first attempt was lost.
            Err(error) if error.class == Class::Quota => {
                let profile = self.read_profile(name).await?;
                let there = profile.is_some_and(|profile| profile.roles().iter().any(|each| each.role_name() == role));
                if there { Ok(()) } else { Err(error) }
            }
            other => other.map(drop),
        }
    }

    async fn remove_role(&self, name: &str, role: &str) -> Result<(), CloudError> {
        let client = &self.cloud.write.iam;
        let sending = client.remove_role_from_instance_profile().instance_profile_name(name).role_name(role);
        let removed =
            insist(|| async { call("iam:RemoveRoleFromInstanceProfile", sending.clone().send()).await }).await;
        existing(removed).map(drop)
    }

    /// Takes a profile away, its role first.
    pub(in crate::autoscaler::cloud) async fn delete_profile(
        &self,
        profile: &InstanceProfile,
    ) -> Result<(), CloudError> {
        let name = profile.instance_profile_name();
        for role in profile.roles() {
            self.remove_role(name, role.role_name()).await?;
        }
        let sending = self.cloud.write.iam.delete_instance_profile().instance_profile_name(name);
        let deleted = insist(|| async { call("iam:DeleteInstanceProfile", sending.clone().send()).await }).await;
        self.profiles.forget(&name.to_owned());
        existing(deleted).map(drop)
    }
}

/// Name and uid of a class.
pub fn identity(class: &EC2NodeClass) -> (&str, &str) {
    (class.metadata.name.as_deref().unwrap_or_default(), class.metadata.uid.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_role_region_or_class_is_another_profile() {
        let first = name("shop", "eu-west-1", "default", "u1", "nodes");
        assert_eq!(first, name("shop", "eu-west-1", "default", "u1", "nodes"));
        assert!(first.starts_with("shop_") && first.len() == "shop_".len() + 16, "{first}");
        for other in [
            name("shop", "eu-west-2", "default", "u1", "nodes"),
            name("shop", "eu-west-1", "general", "u1", "nodes"),
            name("shop", "eu-west-1", "default", "u2", "nodes"),
            name("shop", "eu-west-1", "default", "u1", "other"),
        ] {
            assert_ne!(first, other);
        }
    }
}
