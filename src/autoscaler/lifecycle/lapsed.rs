//! Nodes whose capacity reservation has come to its end.
//!
//! An instance outlives its reservation, or may be taken out of it by hand: it goes on, and is paid for by the hour. Its
//! labels say so from then on. Instances of a capacity block do not outlive it: EC2 ends them, and they are drained
//! before.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use serde_json::json;

use super::market::Stock;
use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::api::labels::{CAPACITY_TYPE, RESERVATION_ID, RESERVATION_INTERRUPTIBLE, RESERVATION_TYPE};
use crate::autoscaler::cloud::{CapacityType, Instance, InstanceState, ResolvedClass, instance_id};
use crate::autoscaler::interruption::controller::take_away;
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::writes::{self, is_missing};
use crate::autoscaler::state::live::{LiveClaim, Observed};

/// EC2 may be late with what it says of new instances.
const SETTLED: SignedDuration = SignedDuration::from_mins(2);

/// How the reservation of a claim has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lapse {
    /// Its instance is in it no more.
    Left,
    /// It is a capacity block that is about to end.
    Ending,
}

/// Whether an instance that was launched into a reservation is in it no more.
fn has_left(instance: &Instance, now: Timestamp) -> bool {
    instance.reservation.is_none()
        && instance.state == InstanceState::Running
        && now.duration_since(instance.launched) >= SETTLED
}

/// The capacity reservation that a claim is in, by its labels.
pub(super) fn reservation_of(claim: &NodeClaim) -> Option<&str> {
    let labels = claim.metadata.labels.as_ref()?;
    let reserved = labels.get(CAPACITY_TYPE).is_some_and(|own| own == CapacityType::Reserved.text());
    labels.get(RESERVATION_ID).filter(|_| reserved).map(String::as_str)
}

/// Looks at the claims of reservations, and does what their end asks for.
pub(super) async fn look(context: &Context, stock: &Stock, instances: &BTreeMap<String, Instance>) {
    let found: Vec<(Arc<NodeClaim>, Option<String>, Lapse)> = {
        let now = context.now();
        let live = context.live.lock();
        let standing = live.claims().filter(|claim| claim.deletion().is_none());
        standing
            .filter_map(|claim| {
                let instance = claim.provider_id().and_then(instance_id).and_then(|id| instances.get(id));
                let lapse = lapse(claim, stock.classes.get(claim.class()).map(|class| &**class), instance, now)?;
                let node = live.node_of_claim(claim).map(|node| node.name.to_string());
                Some((Arc::clone(&claim.object), node, lapse))
            })
            .collect()
    };
    for (claim, node, lapse) in found {
        let done = match lapse {
            Lapse::Left => relabel(context, &claim, node.as_deref()).await,
            Lapse::Ending => take_away(context, &claim, "capacity_block_expired").await,
        };
        if let Err(error) = done
            && !is_missing(&error)
        {
            let name = claim.metadata.name.as_deref();
            tracing::warn!(claim = name, %error, "the end of a capacity reservation was not acted on, and is again");
        }
    }
}

fn lapse(
    claim: &LiveClaim,
    class: Option<&ResolvedClass>,
    instance: Option<&Instance>,
    now: Timestamp,
) -> Option<Lapse> {
    let id = reservation_of(&claim.object)?;
    if instance.is_some_and(|instance| has_left(instance, now)) {
        return Some(Lapse::Left);
    }
    let mut known = class?.reservations.iter();
    known.any(|one| one.id == id && one.expiring).then_some(Lapse::Ending)
}

/// Says of a claim and its node that they are paid for by the hour.
async fn relabel(context: &Context, claim: &NodeClaim, node: Option<&str>) -> kube::Result<()> {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let labels = json!({ "metadata": { "labels": {
        CAPACITY_TYPE: CapacityType::OnDemand.text(),
        RESERVATION_ID: null,
        RESERVATION_TYPE: null,
        RESERVATION_INTERRUPTIBLE: null,
    } } });
    if let Some(node) = node {
        let node = writes::patch::<Node>(&context.client, node, &labels).await?;
        context.live.apply(Observed::Node(Box::new(node)));
    }
    let claim = writes::patch::<NodeClaim>(&context.client, name, &labels).await?;
    context.live.apply(Observed::Claim(Box::new(claim)));
    tracing::info!(claim = name, "its instance is in no capacity reservation any more: it is paid for by the hour");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(reservation: Option<&str>, state: InstanceState) -> Instance {
        Instance {
            id: "i-1".into(),
            provider_id: String::new(),
            instance_type: "m5.large".into(),
            zone: "a".into(),
            capacity_type: CapacityType::Reserved,
            reservation: reservation.map(str::to_owned),
            placement_group: None,
            image_id: String::new(),
            state,
            launched: Timestamp::UNIX_EPOCH,
            subnet_id: String::new(),
            security_groups: Vec::new(),
            tags: BTreeMap::new(),
        }
    }

    #[test]
    fn an_instance_has_left_its_reservation_when_it_runs_and_ec2_has_had_time_to_say_so() {
        let at = |minutes| Timestamp::UNIX_EPOCH.saturating_add(SignedDuration::from_mins(minutes)).expect("a time");
        assert!(has_left(&instance(None, InstanceState::Running), at(2)));
        assert!(!has_left(&instance(None, InstanceState::Running), at(1)), "it is young");
        assert!(!has_left(&instance(None, InstanceState::Pending), at(9)));
        assert!(!has_left(&instance(Some("cr-1"), InstanceState::Running), at(9)));
    }

    #[test]
    fn only_reserved_claims_are_in_a_reservation() {
        let claim = |how: &str| -> NodeClaim {
            serde_json::from_value(json!({
                "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
                "metadata": { "name": "c", "labels": { CAPACITY_TYPE: how, RESERVATION_ID: "cr-1" } },
                "spec": { "requirements": [],
                    "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "c" } },
            }))
            .expect("a claim")
        };
        assert_eq!(reservation_of(&claim("reserved")), Some("cr-1"));
        assert_eq!(reservation_of(&claim("on-demand")), None);
    }
}
