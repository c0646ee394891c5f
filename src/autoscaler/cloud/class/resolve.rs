//! A class with everything that its selectors mean: all questions at once, each answer kept for a while.

use std::sync::Arc;

use super::images::{ImageFault, family_of};
use super::{ClassCondition, ClassFault, Family, ResolvedClass, Unmet, profile};
use crate::autoscaler::api::ec2_node_class::{EC2NodeClassSpec, EC2NodeClassStatus};
use crate::autoscaler::api::{EC2NodeClass, validate_class};
use crate::autoscaler::cloud::{Ec2, template};
use crate::aws::CloudError;

impl Unmet {
    /// Something that is not there, or not as it has to be.
    pub(super) fn wrong(condition: ClassCondition, reason: &str, message: impl Into<String>) -> Self {
        Self { condition, reason: reason.to_owned(), message: message.into(), may_pass: false }
    }

    /// A call that failed.
    pub(super) fn failed(condition: ClassCondition, reason: &str, error: &CloudError) -> Self {
        let help = error.help().map(|help| format!("; {help}")).unwrap_or_default();
        let message = format!("{error}{help}");
        Self { condition, reason: reason.to_owned(), message, may_pass: error.class.may_pass() }
    }
}

impl Ec2 {
    /// Looks up what the selectors of a class mean, and makes its instance profile. Answers are kept for a while.
    ///
    /// # Errors
    /// What keeps the class from being ready, field by field.
    pub async fn resolve(&self, class: &EC2NodeClass) -> Result<Arc<ResolvedClass>, Box<ClassFault>> {
        let spec = &class.spec;
        let family = self.check(class).map_err(only)?;
        let (subnets, groups, images, profile, placement, reservations) = tokio::join!(
            self.find_subnets(spec),
            self.find_groups(spec),
            self.find_images(spec),
            self.profile_of(class),
            self.find_placement_group(spec),
            self.find_reservations(spec),
        );
        let mut unmet = Vec::new();
        let mut found = ResolvedClass {
            name: profile::identity(class).0.to_owned(),
            uid: profile::identity(class).1.to_owned(),
            spec: spec.clone(),
            family,
            ..ResolvedClass::empty()
        };
        match subnets {
            Ok(subnets) if subnets.is_empty() => unmet.push(no_subnets(spec)),
            Ok(subnets) => found.subnets = subnets.to_vec(),
            Err(error) => unmet.push(Unmet::failed(ClassCondition::SubnetsReady, "SubnetsNotRead", &error)),
        }
        match groups {
            Ok(groups) if groups.is_empty() => unmet.push(no_groups(spec)),
            Ok(groups) => found.security_groups = groups.to_vec(),
            Err(error) => {
                unmet.push(Unmet::failed(ClassCondition::SecurityGroupsReady, "SecurityGroupsNotRead", &error));
            }
        }
        match images {
            Ok(images) if images.is_empty() => unmet.push(no_images()),
            Ok(images) => found.images = images.to_vec(),
            Err(ImageFault::Nothing(message)) => {
                unmet.push(Unmet::wrong(ClassCondition::AmisReady, "AMINotFound", message));
            }
            Err(ImageFault::Call(error)) => {
                unmet.push(Unmet::failed(ClassCondition::AmisReady, "AMIsNotRead", &error));
            }
        }
        match profile {
            Ok(name) => found.instance_profile = name,
            Err(fault) => unmet.push(fault),
        }
        match placement {
            Ok(None) if spec.placement_group_selector.is_some() => unmet.push(no_placement_group()),
            Ok(id) => found.placement_group = id,
            Err(error) => {
                unmet.push(Unmet::failed(ClassCondition::PlacementGroupReady, "PlacementGroupNotRead", &error));
            }
        }
        match reservations {
            Ok(reservations) => found.reservations = reservations.to_vec(),
            Err(error) => {
                let condition = ClassCondition::CapacityReservationsReady;
                unmet.push(Unmet::failed(condition, "CapacityReservationsNotRead", &error));
            }
        }
        if unmet.is_empty() {
            unmet.extend(self.authorization_fault(&found).await);
        }
        match unmet.is_empty() {
            true => Ok(Arc::new(found)),
            false => Err(Box::new(ClassFault { found: found.status(), unmet })),
        }
    }

    /// What the text of the class itself decides.
    fn check(&self, class: &EC2NodeClass) -> Result<Family, Unmet> {
        let wrong = |message| Unmet::wrong(ClassCondition::ValidationSucceeded, "Invalid", message);
        let faults = validate_class::ec2_node_class(&class.spec);
        if !faults.is_empty() {
            return Err(wrong(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")));
        }
        let family = family_of(&class.spec).ok_or_else(|| {
            wrong("`spec.amiFamily` is needed where no term of `spec.amiSelectorTerms` has an alias".to_owned())
        })?;
        template::sample_user_data(&self.cluster, &class.spec, family).map_err(|fault| wrong(fault.to_string()))?;
        Ok(family)
    }

    async fn profile_of(&self, class: &EC2NodeClass) -> Result<String, Unmet> {
        let condition = ClassCondition::InstanceProfileReady;
        if let Some(name) = &class.spec.instance_profile {
            return Ok(name.clone());
        }
        let role = class.spec.role.as_deref().unwrap_or_default();
        if self.settings.isolated {
            return Err(Unmet::wrong(
                condition,
                "IsolatedVPC",
                "`spec.role`: IAM cannot be reached from an isolated VPC, so no instance profile can be made: make one, \
                 and name it in `spec.instanceProfile`",
            ));
        }
        self.settle_profile(class, role).await.map_err(|error| match error.class {
            crate::aws::Class::Missing => Unmet::wrong(
                condition,
                "RoleNotFound",
                format!("`spec.role`: there is no role `{role}`: make it, or name another"),
            ),
            _ => Unmet::failed(condition, "InstanceProfileNotMade", &error),
        })
    }
}

/// A class of which nothing but its text was looked at.
fn only(unmet: Unmet) -> Box<ClassFault> {
    Box::new(ClassFault { found: EC2NodeClassStatus::default(), unmet: vec![unmet] })
}

fn terms(terms: &impl serde::Serialize) -> String {
    serde_json::to_string(terms).unwrap_or_default()
}

fn no_subnets(spec: &EC2NodeClassSpec) -> Unmet {
    let message = format!(
        "`spec.subnetSelectorTerms` selects no subnet of this region: {}; tag the subnets so, or change the terms",
        terms(&spec.subnet_selector_terms)
    );
    Unmet::wrong(ClassCondition::SubnetsReady, "SubnetsNotFound", message)
}

fn no_groups(spec: &EC2NodeClassSpec) -> Unmet {
    let message = format!(
        "`spec.securityGroupSelectorTerms` selects no security group of this region: {}; tag the groups so, or change \
         the terms",
        terms(&spec.security_group_selector_terms)
    );
    Unmet::wrong(ClassCondition::SecurityGroupsReady, "SecurityGroupsNotFound", message)
}

fn no_images() -> Unmet {
    let message = "`spec.amiSelectorTerms` selects no image that can be started here: none has the id, name, tags and \
                   owner, is available, and is for x86_64 or arm64; change the terms, or share the image with this \
                   account";
    Unmet::wrong(ClassCondition::AmisReady, "AMINotFound", message)
}

fn no_placement_group() -> Unmet {
    let message = "`spec.placementGroupSelector` selects no placement group of this region: make it, or name another";
    Unmet::wrong(ClassCondition::PlacementGroupReady, "PlacementGroupNotFound", message)
}
