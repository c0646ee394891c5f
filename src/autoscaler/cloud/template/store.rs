//! Launch templates in EC2: found by their names, which say what is in them, or made; removed when nobody has used
//! them for a while. What an earlier process has made is found once, and then remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_ec2::types::{LaunchTemplate, ResourceType};
use futures::future::{join_all, try_join_all};

use super::{Blueprint, PREFIX};
use crate::autoscaler::cloud::insist::insist;
use crate::autoscaler::cloud::{Ec2, tags};
use crate::aws::{Class, CloudError, call, existing, filter, tagging};

/// After so long without a launch a template is removed.
const UNUSED: Duration = Duration::from_secs(300);

/// What is known of the cluster's templates: when each was used last.
#[derive(Debug, Default)]
pub struct Templates {
    used: Mutex<BTreeMap<String, Instant>>,
    /// Whether those of an earlier process have been looked for.
    looked: tokio::sync::OnceCell<()>,
}

impl Templates {
    /// The names that are not known; the others count as used now.
    fn use_now(&self, names: &BTreeSet<String>) -> Vec<String> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        names.iter().filter(|name| used.get_mut(*name).map(|at| *at = now).is_none()).cloned().collect()
    }

    fn remember(&self, names: impl IntoIterator<Item = String>) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        for name in names {
            used.entry(name).or_insert(now);
        }
    }

    /// Forgets templates, so that they are made anew when they are wanted.
    pub fn forget<'a>(&self, names: impl IntoIterator<Item = &'a String>) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            used.remove(name);
        }
    }

    /// Takes a template off the books if nobody has used it for `age`; one that is not on them is nobody's, unless
    /// there is time.
    fn take_unused(&self, name: &str, age: Duration) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get(name) {
            Some(at) if at.elapsed() < age => false,
            known => {
                let known = known.is_some();
                used.remove(name);
                known || age < UNUSED
            }
        }
    }
}

impl Ec2 {
    /// Sees to it that every one of these templates is there. Gives the failure of each that is not.
    pub(in crate::autoscaler::cloud) async fn settle_templates(
        &self,
        wanted: &BTreeMap<String, Blueprint>,
    ) -> BTreeMap<String, CloudError> {
        let names: BTreeSet<String> = wanted.keys().cloned().collect();
        let mut unknown = self.templates.use_now(&names);
        if !unknown.is_empty() && self.templates.looked.get().is_none() {
            // A failure here costs no more than refusals of what is there.
            let looked = self.templates.looked.get_or_try_init(|| self.look_for_templates()).await;
            if let Err(error) = looked {
                tracing::warn!("launch templates were not listed: {error}");
            }
            unknown = self.templates.use_now(&names);
        }
        let made =
            unknown.iter().map(|name| async move { (name.clone(), self.make_template(name, &wanted[name]).await) });
        let mut failed = BTreeMap::new();
        for (name, made) in join_all(made).await {
            match made {
                Ok(()) => self.templates.remember([name]),
                Err(error) => drop(failed.insert(name, error)),
            }
        }
        failed
    }

    async fn look_for_templates(&self) -> Result<(), CloudError> {
        let found = self.list_templates(&[]).await?;
        self.templates.remember(found.into_iter().filter_map(|template| template.launch_template_name));
        Ok(())
    }

    /// The cluster's templates with all of these tags.
    async fn list_templates(&self, tagged: &[(&str, &str)]) -> Result<Vec<LaunchTemplate>, CloudError> {
        let mut filters = vec![filter(&format!("tag:{}", tags::CLUSTER_NAME), &self.cluster.name)];
        filters.extend(tagged.iter().map(|(key, value)| filter(&format!("tag:{key}"), value)));
        let request = self.cloud.read.ec2.describe_launch_templates().set_filters(Some(filters));
        let found = request.into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let mut found = call("ec2:DescribeLaunchTemplates", found).await?;
        found.retain(|template| template.launch_template_name().is_some_and(|name| name.starts_with(PREFIX)));
        Ok(found)
    }

    async fn make_template(&self, name: &str, blueprint: &Blueprint) -> Result<(), CloudError> {
        let made = self.send_template(name, blueprint).await;
        match made {
            Err(error) if error.class == Class::Quota => {
                // The account has no room for another one: those that nobody uses now make some.
                self.remove_templates(Duration::from_secs(1), &[]).await?;
                self.send_template(name, blueprint).await.map_err(|error| CloudError {
                    advice: Some(
                        "the region is full of launch templates: delete those that nothing uses, or ask for a higher \
                         limit in the Service Quotas console"
                            .to_owned(),
                    ),
                    ..error
                })
            }
            other => other,
        }
    }

    async fn send_template(&self, name: &str, blueprint: &Blueprint) -> Result<(), CloudError> {
        let sending = self
            .cloud
            .write
            .ec2
            .create_launch_template()
            .launch_template_name(name)
            .launch_template_data(blueprint.data())
            .tag_specifications(tagging::ec2_at_birth(ResourceType::LaunchTemplate, &blueprint.tags));
        let made = insist(|| async { call("ec2:CreateLaunchTemplate", sending.clone().send()).await }).await;
        match made {
            // Its name says what is in it: whoever has made it has made the same.
            Err(error) if error.class == Class::Exists || is_taken(&error) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Removes launch templates of the cluster that nobody has used for a while.
    ///
    /// # Errors
    /// The first call that fails.
    pub async fn collect_launch_templates(&self) -> Result<(), CloudError> {
        self.remove_templates(UNUSED, &[]).await
    }

    /// Removes the cluster's templates with all of these tags that nobody has used for `age`.
    pub(in crate::autoscaler::cloud) async fn remove_templates(
        &self,
        age: Duration,
        tagged: &[(&str, &str)],
    ) -> Result<(), CloudError> {
        let found = self.list_templates(tagged).await?;
        let names: Vec<String> = found.into_iter().filter_map(|template| template.launch_template_name).collect();
        if age >= UNUSED {
            // Those of an earlier process are looked at for the first time: they have their time from now on.
            self.templates.remember(names.iter().cloned());
        }
        let unused = names.into_iter().filter(|name| self.templates.take_unused(name, age));
        try_join_all(unused.map(|name| async move {
            let sending = self.cloud.write.ec2.delete_launch_template().launch_template_name(&name);
            let deleted = insist(|| async { call("ec2:DeleteLaunchTemplate", sending.clone().send()).await }).await;
            match existing(deleted) {
                Err(error) => {
                    self.templates.remember([name]);
                    Err(error)
                }
                Ok(_) => Ok(()),
            }
        }))
        .await
        .map(drop)
    }
}

/// EC2's word for a name that another template has.
fn is_taken(error: &CloudError) -> bool {
    error.code.as_deref().is_some_and(|code| code.contains("AlreadyExists"))
}
