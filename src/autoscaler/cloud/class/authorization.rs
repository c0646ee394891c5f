//! Whether the autoscaler may launch from a class: asked of EC2 with dry runs, so that a missing right shows on the
//! class and not only when pods wait for nodes.

use std::time::Duration;

use aws_sdk_ec2::types::{
    DefaultTargetCapacityType, FleetLaunchTemplateConfigRequest, FleetLaunchTemplateSpecificationRequest, FleetType,
    IamInstanceProfileSpecification, InstanceType, ResourceType, TargetCapacitySpecificationRequest,
};

use super::{ClassCondition, ResolvedClass, Unmet};
use crate::autoscaler::cloud::{Ec2, tags, template};
use crate::aws::{Class, CloudError, call, tagging};

/// How long an answer is believed.
const KEPT: Duration = Duration::from_secs(1800);
/// The pool in the tags of a dry run: policies ask for some value.
const SOME_POOL: &str = "dry-run";

impl Ec2 {
    /// The right that is missing, if EC2 says that one is.
    pub(super) async fn authorization_fault(&self, class: &ResolvedClass) -> Option<Unmet> {
        if self.settings.disable_dry_run {
            return None;
        }
        let key = format!("{}/{}", class.uid, serde_json::to_string(&class.spec).unwrap_or_default());
        let asked = self.authorized.get(&key, KEPT, || async {
            let (template, run, fleet) =
                tokio::join!(self.try_template(class), self.try_run(class), self.try_fleet(class));
            [template, run, fleet].into_iter().find_map(denied).map_or(Ok(()), Err)
        });
        let error = asked.await.err()?;
        Some(Unmet::failed(ClassCondition::ValidationSucceeded, "NotAuthorized", &error))
    }

    async fn try_template(&self, class: &ResolvedClass) -> Result<(), CloudError> {
        let tags = tags::of_launch(&self.cluster.name, class, SOME_POOL);
        let blueprint = template::sample(&self.cluster, class, tags.clone());
        let sending = self
            .cloud
            .read
            .ec2
            .create_launch_template()
            .dry_run(true)
            .launch_template_name(blueprint.name())
            .launch_template_data(blueprint.data())
            .tag_specifications(tagging::ec2_at_birth(ResourceType::LaunchTemplate, &tags));
        call("ec2:CreateLaunchTemplate", sending.send()).await.map(drop)
    }

    async fn try_run(&self, class: &ResolvedClass) -> Result<(), CloudError> {
        let tags = tags::of_launch(&self.cluster.name, class, SOME_POOL);
        let kinds = [ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];
        let specifications = kinds.into_iter().map(|kind| tagging::ec2_at_birth(kind, &tags)).collect();
        let is_arm = |image: &&super::Image| image.requirements.iter().any(|each| each.values == ["arm64"]);
        let image = class.images.iter().find(|image| !is_arm(image));
        let (image, kind) = match image {
            Some(image) => (image, InstanceType::M5Large),
            None => {
                let nothing = || CloudError::incomplete("ec2:RunInstances", "image");
                (class.images.first().ok_or_else(nothing)?, InstanceType::M6gLarge)
            }
        };
        let groups = class.security_groups.iter().map(|group| group.id.clone()).collect();
        let sending = self
            .cloud
            .read
            .ec2
            .run_instances()
            .dry_run(true)
            .min_count(1)
            .max_count(1)
            .image_id(&image.id)
            .instance_type(kind)
            .set_subnet_id(class.subnets.first().map(|subnet| subnet.id.clone()))
            .set_security_group_ids(Some(groups))
            .iam_instance_profile(IamInstanceProfileSpecification::builder().name(&class.instance_profile).build())
            .set_tag_specifications(Some(specifications));
        call("ec2:RunInstances", sending.send()).await.map(drop)
    }

    async fn try_fleet(&self, class: &ResolvedClass) -> Result<(), CloudError> {
        let tags = tags::of_launch(&self.cluster.name, class, SOME_POOL);
        let kinds = [ResourceType::Fleet, ResourceType::Instance, ResourceType::Volume];
        let specifications = kinds.into_iter().map(|kind| tagging::ec2_at_birth(kind, &tags)).collect();
        let template = template::sample(&self.cluster, class, tags.clone()).name();
        let template = FleetLaunchTemplateSpecificationRequest::builder()
            .launch_template_name(template)
            .version("$Latest")
            .build();
        let target = TargetCapacitySpecificationRequest::builder()
            .total_target_capacity(1)
            .default_target_capacity_type(DefaultTargetCapacityType::OnDemand)
            .build();
        let sending = self
            .cloud
            .read
            .ec2
            .create_fleet()
            .dry_run(true)
            .r#type(FleetType::Instant)
            .launch_template_configs(
                FleetLaunchTemplateConfigRequest::builder().launch_template_specification(template).build(),
            )
            .target_capacity_specification(target)
            .set_tag_specifications(Some(specifications));
        call("ec2:CreateFleet", sending.send()).await.map(drop)
    }
}

/// A denial. Everything else that a dry run says concerns what is not really being launched.
fn denied(answer: Result<(), CloudError>) -> Option<CloudError> {
    answer.err().filter(|error| error.class == Class::Denied)
}
