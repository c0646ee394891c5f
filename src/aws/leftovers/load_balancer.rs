//! Application and network load balancers of the load balancer controller.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::types::{LoadBalancer as Shown, LoadBalancerStateEnum};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Leftover, Territory, found};
use crate::aws::error::{CloudError, call, existing};
use crate::aws::ids::{SecurityGroupId, SubnetId, VpcId};
use crate::aws::kind::{Found, Work};
use crate::aws::reads::Reads;
use crate::aws::tagging;
use crate::plan::{Describe, Effect, Facts, Loss, Reference, State, Tags};

/// A load balancer that the controller made for an Ingress or a Service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// Its name.
    pub name: String,
    /// The VPC that it stands in.
    pub vpc: Reference<VpcId>,
    /// The subnets that it stands in.
    pub subnets: BTreeSet<Reference<SubnetId>>,
    /// Its security groups.
    pub security_groups: BTreeSet<Reference<SecurityGroupId>>,
    /// Whether it refuses to be deleted.
    pub deletion_protection: bool,
}

impl Describe for LoadBalancer {
    const FACTS: Facts = Facts {
        fields: &[
            ("name", Effect::Replace),
            ("vpc", Effect::Replace),
            ("subnets", Effect::Replace),
            ("securityGroups", Effect::Replace),
            ("deletionProtection", Effect::Replace),
        ],
        outputs: &["id"],
        taggable: false,
        loss: Loss::Outage("what it serves cannot be reached any more"),
        references: &[
            ("vpc", &["vpc"]),
            ("subnets", &["subnet"]),
            ("securityGroups", &["security-group", "foreign-security-group"]),
        ],
        protected,
        // While the cluster's nodes run, so may the controller that would make it anew.
        outlives: &["node-group", "autoscaled-instance"],
        ..Facts::new("load-balancer")
    };
}

const PROTECTION: &str = "deletion_protection.enabled";
/// How many load balancers or target groups one call tells the tags of.
const TAGS_AT_ONCE: usize = 20;

fn protected(body: &Value) -> Option<String> {
    let is_protected = body.get("deletionProtection").and_then(Value::as_bool).unwrap_or_default();
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    is_protected.then(|| {
        format!(
            "the load balancer `{name}` is protected from deletion: remove `{PROTECTION}=true` from the annotations of \
             its Ingress or Service, or turn the protection off in the EC2 console, then run this again"
        )
    })
}

impl Leftover for LoadBalancer {
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let territory = Territory::of(reads).await?;
        let pages = reads.cloud.read.elbv2.describe_load_balancers().into_paginator().items().send();
        let all = call("elasticloadbalancing:DescribeLoadBalancers", pages.collect::<Result<Vec<_>, _>>()).await?;
        let candidates: Vec<Shown> = all.into_iter().filter(|each| territory.may_hold(each.vpc_id())).collect();
        let arns = candidates.iter().filter_map(|each| each.load_balancer_arn.clone()).collect();
        let tags = tags_of(arns, reads).await?;
        let ours = candidates.iter().filter_map(|each| {
            let tags = tags.get(each.load_balancer_arn()?)?;
            territory.of_load_balancer_controller(tags).then_some((each, tags))
        });
        try_join_all(ours.map(|(each, tags)| read(each, tags, reads))).await
    }

    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.elbv2.delete_load_balancer().load_balancer_arn(&found.outputs.id);
        existing(call("elasticloadbalancing:DeleteLoadBalancer", sending.send()).await).map(drop)
    }

    async fn still_there(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let sending = work.cloud.read.elbv2.describe_load_balancers().load_balancer_arns(&found.outputs.id);
        let answer = existing(call("elasticloadbalancing:DescribeLoadBalancers", sending.send()).await)?;
        let standing = answer.is_some_and(|answer| !answer.load_balancers().is_empty());
        Ok(standing.then(|| "AWS is still taking it down".to_owned()))
    }

    async fn held_by(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let on = is_protected(&found.outputs.id, &work.cloud.read.elbv2).await?;
        Ok(on.then(|| "its deletion protection is on: turn it off in the EC2 console".to_owned()))
    }
}

async fn read(shown: &Shown, tags: &Tags, reads: &Reads) -> Result<Found<LoadBalancer>, CloudError> {
    let arn = shown.load_balancer_arn().unwrap_or_default();
    let deletion_protection = is_protected(arn, &reads.cloud.read.elbv2).await?;
    let body = LoadBalancer { deletion_protection, ..body(shown) };
    let name = body.name.clone();
    Ok(found(&name, arn, body, tags.clone(), state(shown)))
}

fn body(shown: &Shown) -> LoadBalancer {
    LoadBalancer {
        name: shown.load_balancer_name().unwrap_or_default().to_owned(),
        vpc: Reference::known(shown.vpc_id().unwrap_or_default()),
        subnets: shown.availability_zones().iter().filter_map(|zone| zone.subnet_id()).map(Reference::known).collect(),
        security_groups: shown.security_groups().iter().map(Reference::known).collect(),
        deletion_protection: false,
    }
}

/// What others have made is taken away in whatever state it is.
fn state(shown: &Shown) -> State {
    match shown.state().and_then(|state| state.code()) {
        Some(LoadBalancerStateEnum::Failed) => State::Failed("AWS could not make it".to_owned()),
        _ => State::Ready,
    }
}

async fn is_protected(arn: &str, client: &aws_sdk_elasticloadbalancingv2::Client) -> Result<bool, CloudError> {
    let sending = client.describe_load_balancer_attributes().load_balancer_arn(arn);
    let answer = existing(call("elasticloadbalancing:DescribeLoadBalancerAttributes", sending.send()).await)?;
    let on = |attributes: &[aws_sdk_elasticloadbalancingv2::types::LoadBalancerAttribute]| {
        attributes.iter().any(|each| each.key() == Some(PROTECTION) && each.value() == Some("true"))
    };
    Ok(answer.is_some_and(|answer| on(answer.attributes())))
}

/// The tags of load balancers or target groups, by ARN.
///
/// # Errors
/// The failure of a call.
pub async fn tags_of(arns: Vec<String>, reads: &Reads) -> Result<BTreeMap<String, Tags>, CloudError> {
    let client = &reads.cloud.read.elbv2;
    let asking = arns.chunks(TAGS_AT_ONCE).map(|some| async {
        let sending = client.describe_tags().set_resource_arns(Some(some.to_vec()));
        existing(call("elasticloadbalancing:DescribeTags", sending.send()).await)
    });
    let answers = try_join_all(asking).await?;
    let descriptions = answers.iter().flatten().flat_map(|answer| answer.tag_descriptions());
    Ok(descriptions
        .filter_map(|each| Some((each.resource_arn()?.to_owned(), tagging::from_elbv2(each.tags()))))
        .collect())
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::types::AvailabilityZone;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_load_balancer_names_everything_that_has_to_wait_for_it() {
        let zone = AvailabilityZone::builder().subnet_id("subnet-1").build();
        let shown = Shown::builder()
            .load_balancer_name("k8s-shop")
            .vpc_id("vpc-shop")
            .availability_zones(zone)
            .security_groups("sg-1")
            .build();
        let body = serde_json::to_value(body(&shown)).unwrap_or_default();
        assert_eq!(body["subnets"], json!(["subnet-1"]));
        assert_eq!((&body["vpc"], &body["securityGroups"]), (&json!("vpc-shop"), &json!(["sg-1"])));
    }

    #[test]
    fn a_protected_one_stops_a_destroy_before_it_begins() {
        let why = protected(&json!({ "name": "k8s-shop", "deletionProtection": true }));
        assert!(why.is_some_and(|why| why.contains("`k8s-shop`") && why.contains(PROTECTION)));
        assert_eq!(protected(&json!({ "name": "k8s-shop", "deletionProtection": false })), None);
    }
}
