//! What is left over: instance profiles that no class and no instance uses, and everything of a class that goes.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_iam::types::InstanceProfile;
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};

use super::class::profile::{cluster_path, identity, name};
use super::ec2::Ec2;
use super::tags;
use crate::autoscaler::api::EC2NodeClass;
use crate::aws::{CloudError, call, filter, tagging};

/// A profile that was just made may belong to a class that is not known yet, or to an instance that EC2 does not show.
const PROTECTED: SignedDuration = SignedDuration::from_hours(1);

impl Ec2 {
    /// Removes instance profiles of the cluster that no class and no instance uses; `classes` are those that are.
    ///
    /// # Errors
    /// The first call that fails.
    pub async fn collect_profiles(&self, classes: &[EC2NodeClass]) -> Result<(), CloudError> {
        if self.settings.isolated {
            return Ok(());
        }
        let wanted: BTreeSet<String> = classes
            .iter()
            .filter_map(|class| {
                let (class_name, uid) = identity(class);
                let role = class.spec.role.as_deref()?;
                Some(name(&self.cluster.name, &self.cloud.region, class_name, uid, role))
            })
            .chain(classes.iter().filter_map(|class| class.status.as_ref()?.instance_profile.clone()))
            .collect();
        let mut profiles = self.profiles_below(&cluster_path(&self.cluster.name, &self.cloud.region)).await?;
        let now = Timestamp::now();
        profiles.retain(|profile| {
            let made = Timestamp::from_second(profile.create_date().secs()).unwrap_or(now);
            !wanted.contains(profile.instance_profile_name()) && now.duration_since(made) > PROTECTED
        });
        if profiles.is_empty() {
            return Ok(());
        }
        let used = self.profiles_in_use().await?;
        profiles.retain(|profile| !used.contains(profile.arn()));
        try_join_all(profiles.iter().map(|profile| self.delete_own_profile(profile))).await.map(drop)
    }

    /// Removes what was made for a class that is being deleted: its launch templates and instance profiles.
    ///
    /// # Errors
    /// The first call that fails.
    pub async fn delete_class(&self, class: &EC2NodeClass) -> Result<(), CloudError> {
        let (class_name, uid) = identity(class);
        self.remove_templates(Duration::ZERO, &[(tags::NODE_CLASS, class_name)]).await?;
        if self.settings.isolated || uid.is_empty() {
            return Ok(());
        }
        let path = format!("{}{uid}/", cluster_path(&self.cluster.name, &self.cloud.region));
        let profiles = self.profiles_below(&path).await?;
        try_join_all(profiles.iter().map(|profile| self.delete_own_profile(profile))).await.map(drop)
    }

    async fn profiles_below(&self, path: &str) -> Result<Vec<InstanceProfile>, CloudError> {
        let pages = self.cloud.read.iam.list_instance_profiles().path_prefix(path).into_paginator().items().send();
        call("iam:ListInstanceProfiles", pages.collect::<Result<Vec<_>, _>>()).await
    }

    /// ARNs of profiles that instances of the cluster run with.
    async fn profiles_in_use(&self) -> Result<BTreeSet<String>, CloudError> {
        let request = self.cloud.read.ec2.describe_instances();
        let request = request.filters(filter(&format!("tag:{}", tags::CLUSTER_NAME), &self.cluster.name));
        let pages = request.into_paginator().items().send();
        let reservations = call("ec2:DescribeInstances", pages.collect::<Result<Vec<_>, _>>()).await?;
        let instances = reservations.iter().flat_map(|reservation| reservation.instances());
        Ok(instances.filter_map(|instance| instance.iam_instance_profile()?.arn().map(str::to_owned)).collect())
    }

    /// Takes a profile away if its own tags say that it is this cluster's: the list does not show them.
    async fn delete_own_profile(&self, listed: &InstanceProfile) -> Result<(), CloudError> {
        let Some(profile) = self.read_profile(listed.instance_profile_name()).await? else { return Ok(()) };
        let carried = tagging::from_iam(profile.tags());
        let ours = carried.get(&tags::cluster_key(&self.cluster.name)).is_some_and(|value| value == "owned")
            && carried.get(tags::REGION).is_none_or(|region| *region == self.cloud.region);
        if ours { self.delete_profile(&profile).await } else { Ok(()) }
    }
}
