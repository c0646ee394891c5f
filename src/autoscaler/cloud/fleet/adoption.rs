//! Instances that were bought by somebody who could not write it down: claims take them before anything is bought.

use std::collections::BTreeSet;

use super::Desk;
use crate::autoscaler::cloud::ec2::Ec2;
use crate::autoscaler::cloud::instances::{Instance, InstanceState};
use crate::autoscaler::cloud::launch::{CapacityType, LaunchRequest, Launched};
use crate::aws::CloudError;

impl Ec2 {
    /// Gives instances that no claim names and none was given to requests that are unsure or in doubt.
    pub(super) async fn adopt(&self, desk: &mut Desk, claimed: &BTreeSet<String>) -> Result<(), CloudError> {
        let mut unsure = desk.pending();
        unsure.retain(|at| desk.requests[*at].unsure || self.ledger.is_in_doubt(&desk.requests[*at].uid));
        if unsure.is_empty() {
            return Ok(());
        }
        let mut free = self.instances().await?;
        free.retain(|instance| {
            matches!(instance.state, InstanceState::Pending | InstanceState::Running)
                && instance.claim().is_none()
                && !claimed.contains(&instance.id)
                && !self.ledger.has(&instance.id)
        });
        let requests: Vec<&LaunchRequest> = unsure.iter().map(|at| &desk.requests[*at]).collect();
        for (request, instance) in pairs(&requests, &free) {
            let (at, instance) = (unsure[request], &free[instance]);
            let launched = Launched {
                instance_id: instance.id.clone(),
                provider_id: instance.provider_id.clone(),
                image_id: instance.image_id.clone(),
                instance_type: instance.instance_type.clone(),
                zone_id: zone_id(&desk.requests[at], &instance.zone),
                zone: instance.zone.clone(),
                capacity_type: instance.capacity_type,
                reservation: instance.reservation.clone().filter(|_| instance.capacity_type == CapacityType::Reserved),
                adopted: true,
            };
            tracing::info!(
                claim = desk.requests[at].claim,
                id = instance.id,
                "an instance without a claim is taken over"
            );
            self.ledger.give(&desk.requests[at].uid, &launched);
            desk.answers[at] = Some(Ok(launched));
        }
        unsure.iter().for_each(|at| self.ledger.settle_doubt(&desk.requests[*at].uid));
        Ok(())
    }
}

fn zone_id(request: &LaunchRequest, zone: &str) -> String {
    let known = request.class.subnets.iter().find(|subnet| subnet.zone == zone);
    known.map(|subnet| subnet.zone_id.clone()).unwrap_or_default()
}

/// Which request takes which instance: as many as can, the best offerings first. Pure.
fn pairs(requests: &[&LaunchRequest], free: &[Instance]) -> Vec<(usize, usize)> {
    let accepts = |request: &LaunchRequest, instance: &Instance| {
        instance.pool() == Some(request.pool.as_str())
            && instance.class() == Some(request.class.name.as_str())
            && request.options.iter().any(|option| {
                *option.instance_type == *instance.instance_type
                    && *option.zone == *instance.zone
                    && option.capacity_type == instance.capacity_type
                    && option.reservation.as_deref().is_none_or(|id| instance.reservation.as_deref() == Some(id))
            })
    };
    // Kuhn's augmenting paths: few claims and few instances, but none may go without because another chose first.
    let mut taken: Vec<Option<usize>> = vec![None; free.len()];
    for request in 0..requests.len() {
        let mut seen = vec![false; free.len()];
        augment(request, &mut taken, &mut seen, &|request, instance| accepts(requests[request], &free[instance]));
    }
    taken.into_iter().enumerate().filter_map(|(instance, request)| Some((request?, instance))).collect()
}

fn augment(
    request: usize,
    taken: &mut [Option<usize>],
    seen: &mut [bool],
    accepts: &dyn Fn(usize, usize) -> bool,
) -> bool {
    for instance in 0..taken.len() {
        if seen[instance] || !accepts(request, instance) {
            continue;
        }
        seen[instance] = true;
        let is_free = taken[instance].is_none_or(|other| augment(other, taken, seen, accepts));
        if is_free {
            taken[instance] = Some(request);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::cloud::class::ResolvedClass;
    use crate::autoscaler::cloud::launch::LaunchOption;
    use crate::autoscaler::cloud::tags;
    use crate::autoscaler::state::instance_types::Price;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn request(pool: &str, types: &[&str]) -> LaunchRequest {
        let option = |name: &&str| LaunchOption {
            instance_type: (*name).into(),
            zone: "a".into(),
            capacity_type: CapacityType::OnDemand,
            reservation: None,
            price: Price(1),
        };
        LaunchRequest {
            claim: String::new(),
            uid: String::new(),
            attempt: 0,
            unsure: true,
            pool: pool.into(),
            class: Arc::new(ResolvedClass { name: "general".into(), ..ResolvedClass::empty() }),
            options: types.iter().map(option).collect(),
            fabric: false,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            startup_taints: Vec::new(),
        }
    }

    fn instance(pool: &str, name: &str) -> Instance {
        let tags = [(tags::NODE_POOL, pool), (tags::NODE_CLASS, "general")];
        Instance {
            id: format!("i-{name}"),
            provider_id: String::new(),
            instance_type: name.into(),
            zone: "a".into(),
            capacity_type: CapacityType::OnDemand,
            reservation: None,
            placement_group: None,
            image_id: String::new(),
            state: InstanceState::Running,
            launched: jiff::Timestamp::UNIX_EPOCH,
            subnet_id: String::new(),
            security_groups: Vec::new(),
            tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        }
    }

    #[test]
    fn nobody_goes_without_because_another_chose_first() {
        let requests = [request("web", &["m5.large", "m5.xlarge"]), request("web", &["m5.large"])];
        let free = [instance("web", "m5.large"), instance("web", "m5.xlarge")];
        let mut found = pairs(&requests.each_ref(), &free);
        found.sort_unstable();
        assert_eq!(found, [(0, 1), (1, 0)]);
    }

    #[test]
    fn instances_of_another_pool_or_kind_are_left_alone() {
        let requests = [request("web", &["m5.large"])];
        let free = [instance("batch", "m5.large"), instance("web", "c5.large")];
        assert!(pairs(&requests.each_ref(), &free).is_empty());
    }
}
