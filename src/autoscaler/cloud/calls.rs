//! Instances read, tagged and ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ec2::types::{
    EventCode, Filter, Instance as Shown, InstanceLifecycleType, InstanceStateName, InstanceStatus, StatusName, Tag,
};
use futures::future::try_join_all;
use jiff::Timestamp;

use super::class::selectors::any_of;
use super::ec2::Ec2;
use super::insist::insist;
use super::instances::{Instance, InstanceHealth, InstanceState, ScheduledEvent, provider_id};
use super::launch::CapacityType;
use super::tags;
use crate::aws::{Class, Cloud, CloudError, call, existing, filter, tagging};

/// At most one instance is tagged in so long a time.
const TAGGING_PACE: Duration = Duration::from_secs(1);
/// The most instances of one TerminateInstances.
const MOST_ENDED: usize = 500;
/// Codes of events that take an instance away, or stop it for a while.
const CODES: [EventCode; 5] = [
    EventCode::InstanceReboot,
    EventCode::InstanceRetirement,
    EventCode::InstanceStop,
    EventCode::SystemMaintenance,
    EventCode::SystemReboot,
];

impl Ec2 {
    /// Every instance that an autoscaler of this cluster has launched and that is not gone.
    ///
    /// # Errors
    /// The call's.
    pub async fn instances(&self) -> Result<Vec<Instance>, CloudError> {
        let states = ["pending", "running", "stopping", "stopped", "shutting-down"];
        let filters = vec![
            filter(&format!("tag:{}", tags::CLUSTER_NAME), &self.cluster.name),
            filter("tag-key", tags::NODE_POOL),
            Filter::builder().name("instance-state-name").set_values(Some(states.map(str::to_owned).into())).build(),
        ];
        describe(&self.cloud, filters).await
    }

    /// One instance; `None` when EC2 knows it no more. Questions of the same moment share a call.
    ///
    /// # Errors
    /// The call's.
    pub async fn instance(&self, id: &str) -> Result<Option<Instance>, CloudError> {
        let cloud = self.cloud.clone();
        self.seen
            .get(id, |ids| async move {
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                let questions = any_of("instance-id", &ids);
                let answers = try_join_all(questions.into_iter().map(|filters| describe(&cloud, filters))).await?;
                Ok(answers.into_iter().flatten().map(|instance| (instance.id.clone(), instance)).collect())
            })
            .await
    }

    /// Ends instances; those that are gone count as ended. Requests of the same moment share a call.
    ///
    /// # Errors
    /// The call's.
    pub async fn terminate(&self, ids: &[String]) -> Result<(), CloudError> {
        self.ledger.strike(ids);
        try_join_all(ids.iter().map(|id| {
            let cloud = self.cloud.clone();
            self.ending.get(id, |ids| async move {
                try_join_all(ids.chunks(MOST_ENDED).map(|ids| end(&cloud, ids))).await?;
                Ok(BTreeMap::new())
            })
        }))
        .await
        .map(drop)
    }

    /// Instances that fail their checks, or for which something is scheduled. Those of others in the region come
    /// along: EC2 knows no tags here.
    ///
    /// # Errors
    /// The call's.
    pub async fn statuses(&self) -> Result<Vec<InstanceHealth>, CloudError> {
        let codes = CODES.iter().map(|code| code.as_str().to_owned()).collect();
        let questions = [
            Filter::builder().name("event.code").set_values(Some(codes)).build(),
            filter("instance-status.status", "impaired"),
            filter("system-status.status", "impaired"),
        ];
        let ask = |filter: Filter| async {
            let pages = self.cloud.read.ec2.describe_instance_status().filters(filter).into_paginator().items().send();
            call("ec2:DescribeInstanceStatus", pages.collect::<Result<Vec<_>, _>>()).await
        };
        let answers = try_join_all(questions.into_iter().map(ask)).await?;
        let ill = answers.iter().flatten().filter_map(health);
        Ok(ill.map(|health| (health.id.clone(), health)).collect::<BTreeMap<_, _>>().into_values().collect())
    }

    /// Writes the names of node and claim on an instance whose node has registered; at most one call a second.
    ///
    /// # Errors
    /// The call's.
    pub async fn tag_registered(&self, id: &str, node: &str, claim: &str) -> Result<(), CloudError> {
        {
            let mut last = self.tagged.lock().await;
            if let Some(last) = *last {
                tokio::time::sleep_until(last + TAGGING_PACE).await;
            }
            *last = Some(tokio::time::Instant::now());
        }
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let sending =
            self.cloud.write.ec2.create_tags().resources(id).tags(tag("Name", node)).tags(tag(tags::NODE_CLAIM, claim));
        // Gone already: nobody has to know its name.
        existing(insist(|| async { call("ec2:CreateTags", sending.clone().send()).await }).await).map(drop)
    }
}

async fn describe(cloud: &Cloud, filters: Vec<Filter>) -> Result<Vec<Instance>, CloudError> {
    let mut pages = cloud.read.ec2.describe_instances().set_filters(Some(filters)).into_paginator().send();
    let mut instances = Vec::new();
    while let Some(page) = pages.next().await {
        let page = call("ec2:DescribeInstances", async { page }).await?;
        let shown = page.reservations().iter().flat_map(|reservation| reservation.instances());
        instances.extend(shown.filter_map(read));
    }
    Ok(instances)
}

fn read(shown: &Shown) -> Option<Instance> {
    let id = shown.instance_id()?.to_owned();
    let zone = shown.placement().and_then(|placement| placement.availability_zone()).unwrap_or_default().to_owned();
    let reservation = shown.capacity_reservation_id().filter(|id| !id.is_empty()).map(str::to_owned);
    let group = shown.placement().and_then(|placement| placement.group_id()).filter(|id| !id.is_empty());
    let groups = shown.security_groups().iter().filter_map(|group| group.group_id().map(str::to_owned));
    Some(Instance {
        provider_id: provider_id(&zone, &id),
        instance_type: shown.instance_type().map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        zone,
        capacity_type: capacity_type(shown),
        reservation,
        placement_group: group.map(str::to_owned),
        image_id: shown.image_id().unwrap_or_default().to_owned(),
        state: match shown.state().and_then(|state| state.name()) {
            Some(InstanceStateName::Pending) | None => InstanceState::Pending,
            Some(InstanceStateName::Running) => InstanceState::Running,
            Some(InstanceStateName::Stopped | InstanceStateName::Stopping) => InstanceState::Stopped,
            Some(InstanceStateName::ShuttingDown) => InstanceState::ShuttingDown,
            Some(_) => InstanceState::Terminated,
        },
        launched: moment(shown.launch_time()).unwrap_or(Timestamp::UNIX_EPOCH),
        subnet_id: shown.subnet_id().unwrap_or_default().to_owned(),
        security_groups: groups.collect(),
        tags: tagging::from_ec2(shown.tags()),
        id,
    })
}

/// An instance that EC2 has put into an open reservation by itself was bought on demand.
fn capacity_type(shown: &Shown) -> CapacityType {
    let specification = shown.capacity_reservation_specification();
    let target = specification.and_then(|specification| specification.capacity_reservation_target());
    match shown.instance_lifecycle() {
        Some(InstanceLifecycleType::Spot) => CapacityType::Spot,
        Some(InstanceLifecycleType::CapacityBlock) => CapacityType::Reserved,
        _ if target.is_some() && shown.capacity_reservation_id().is_some() => CapacityType::Reserved,
        _ => CapacityType::OnDemand,
    }
}

fn moment(moment: Option<&aws_smithy_types::DateTime>) -> Option<Timestamp> {
    Timestamp::from_second(moment?.secs()).ok()
}

fn health(status: &InstanceStatus) -> Option<InstanceHealth> {
    let mut since: Vec<Timestamp> = Vec::new();
    for summary in [status.instance_status(), status.system_status()].into_iter().flatten() {
        let failed = summary.details().iter().filter(|detail| detail.name() == Some(&StatusName::Reachability));
        since.extend(failed.filter_map(|detail| moment(detail.impaired_since())));
    }
    let events = status.events().iter().filter_map(|event| {
        let code = event.code().filter(|code| CODES.contains(code))?;
        let description = event.description().unwrap_or_default();
        // EC2 leaves events in the list for a week after they have happened or were called off.
        let is_over = ["[Completed]", "[Canceled]"].iter().any(|word| description.starts_with(word));
        (!is_over).then(|| ScheduledEvent {
            code: code.as_str().to_owned(),
            description: description.to_owned(),
            not_before: moment(event.not_before()),
        })
    });
    let health = InstanceHealth {
        id: status.instance_id()?.to_owned(),
        impaired_since: since.into_iter().min(),
        events: events.collect(),
    };
    (health.impaired_since.is_some() || !health.events.is_empty()).then_some(health)
}

/// Ends instances. EC2 refuses the whole list when one of it is gone, and names that one.
async fn end(cloud: &Cloud, ids: &[String]) -> Result<(), CloudError> {
    let mut left: BTreeSet<String> = ids.iter().cloned().collect();
    while !left.is_empty() {
        let sending = cloud.write.ec2.terminate_instances().set_instance_ids(Some(left.iter().cloned().collect()));
        match insist(|| async { call("ec2:TerminateInstances", sending.clone().send()).await }).await {
            Ok(_) => return Ok(()),
            Err(error) if error.class == Class::Missing => {
                let gone: Vec<String> = left.iter().filter(|id| error.message.contains(id.as_str())).cloned().collect();
                if gone.is_empty() && left.len() > 1 {
                    return Err(error);
                }
                left.retain(|id| !gone.contains(id) && !gone.is_empty());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{InstanceStatusDetails, InstanceStatusEvent, InstanceStatusSummary, StatusType};

    #[test]
    fn only_what_is_ill_or_about_to_be_taken_away_is_told() {
        let event = |code: EventCode, description: &str| {
            InstanceStatusEvent::builder().code(code).description(description).build()
        };
        let status = |events: Vec<InstanceStatusEvent>, impaired: Option<i64>| {
            let detail = InstanceStatusDetails::builder()
                .name(StatusName::Reachability)
                .status(StatusType::Failed)
                .set_impaired_since(impaired.map(aws_smithy_types::DateTime::from_secs))
                .build();
            InstanceStatus::builder()
                .instance_id("i-1")
                .set_events(Some(events))
                .system_status(InstanceStatusSummary::builder().details(detail).build())
                .build()
        };
        assert_eq!(health(&status(vec![], None)), None);
        let over = event(EventCode::SystemReboot, "[Completed] The instance was rebooted");
        assert_eq!(health(&status(vec![over], None)), None);
        let ill = health(&status(vec![event(EventCode::InstanceRetirement, "degraded hardware")], Some(60)));
        let ill = ill.unwrap_or_default();
        assert_eq!(
            (ill.impaired_since, ill.events[0].code.as_str()),
            (Timestamp::from_second(60).ok(), "instance-retirement")
        );
    }
}
