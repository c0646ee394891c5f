//! What is left of capacity reservations, and for whom: with what is asked for but not launched yet deducted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::claims::Reserved;
use super::demand::Question;
use super::market::Stock;
use super::survey::Survey;
use crate::autoscaler::api::NodePool;
use crate::autoscaler::api::labels::RESERVATION_ID;
use crate::autoscaler::cloud::Ec2;
use crate::autoscaler::scheduling::Settings;
use crate::autoscaler::scheduling::places::{Most, Vacancy, furnish, lay_out};
use crate::autoscaler::state::cluster::Cluster;
use crate::autoscaler::state::live::{Live, Member};

/// Of what the limits of a pool leave, so much may be kept for moves into reservations: the rest is for what has to be
/// replaced whatever it costs.
const SHARE_OF_LIMITS: f64 = 0.5;

/// How many instances are left of a reservation, by class: its subnets may have no room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOver(BTreeMap<String, BTreeMap<String, i64>>);

impl LeftOver {
    /// Looks at all reservations of all classes.
    pub fn new(live: &Live, reserved: &Reserved, cloud: &Ec2, stock: &Stock) -> Self {
        let mut all: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        if stock.classes.values().all(|class| class.reservations.is_empty()) {
            return Self(all);
        }
        let open = open_claims(live, reserved);
        for (name, class) in &stock.classes {
            for reservation in &class.reservations {
                let nobody = BTreeSet::new();
                let left = cloud.left_of(class, reservation, open.get(&reservation.id).unwrap_or(&nobody));
                if left > 0 {
                    all.entry(reservation.id.clone()).or_default().insert(name.clone(), left);
                }
            }
        }
        Self(all)
    }

    /// The same for the pools of a cluster.
    fn vacancies(&self, cluster: &Cluster, pools: &BTreeMap<String, Arc<NodePool>>) -> Vec<Vacancy> {
        let class_of = |pool: &str| Some(&*pools.get(pool)?.spec.template.spec.node_class_ref.name);
        let vacancy = |(reservation, left): (&String, &BTreeMap<String, i64>)| {
            let own = (0_u32..).zip(&cluster.pools).filter(|(_, pool)| {
                class_of(cluster.names.text(pool.name)).is_some_and(|class| left.contains_key(class))
            });
            Vacancy {
                reservation: reservation.clone(),
                pools: own.map(|(at, _)| at).collect(),
                count: left.values().max().and_then(|left| usize::try_from(*left).ok()).unwrap_or(0),
            }
        };
        self.0.iter().map(vacancy).collect()
    }

    /// Adds what pending pods have a use for to a question.
    pub fn furnish(&self, question: &mut Question, settings: Settings) {
        let vacancies = self.vacancies(&question.snapshot.cluster, &question.pools);
        let cluster = &mut question.snapshot.cluster;
        furnish(cluster, &question.pending, &mut question.without, &vacancies, settings);
        question.snapshot.members.resize(question.snapshot.cluster.nodes.len(), Member::default());
    }

    /// Adds what pods could move to to a survey.
    pub fn lay_out(&self, survey: &mut Survey) {
        let vacancies = self.vacancies(&survey.snapshot.cluster, survey.pools());
        let pods: Vec<u32> = survey.nodes.iter().flat_map(|node| node.pods.iter().map(|pod| pod.pod)).collect();
        let most = Most { places: survey.nodes.len(), of_limits: SHARE_OF_LIMITS };
        lay_out(&mut survey.snapshot.cluster, &pods, &vacancies, Settings::default(), most);
        survey.snapshot.members.resize(survey.snapshot.cluster.nodes.len(), Member::default());
    }
}

/// Claims that are pinned to a reservation and have no instance yet, also those that are just being made, by
/// reservation.
pub fn open_claims(live: &Live, reserved: &Reserved) -> BTreeMap<String, BTreeSet<String>> {
    let mut open: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for claim in live.claims().filter(|claim| claim.provider_id().is_none()) {
        let id = claim.object.metadata.labels.as_ref().and_then(|labels| labels.get(RESERVATION_ID));
        if let Some(id) = id {
            open.entry(id.clone()).or_default().insert(claim.name.to_string());
        }
    }
    for (claim, id) in reserved.pinned() {
        open.entry(id.to_string()).or_default().insert(claim);
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::api::pool_reading::read_pool;
    use crate::autoscaler::state::live::Observed;
    use crate::autoscaler::steering::testing::{State, at};
    use serde_json::json;

    fn claim(state: &mut State, name: &str, reservation: Option<&str>, instance: Option<&str>) {
        let labels = reservation.map_or(json!({}), |id| json!({ RESERVATION_ID: id }));
        let status = instance.map_or(json!({}), |id| json!({ "providerID": format!("aws:///a/{id}") }));
        let claim = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": { "name": name, "uid": name, "labels": labels },
            "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } }, "status": status,
        });
        state.live.apply(Observed::Claim(serde_json::from_value(claim).expect("a claim")), at(0));
    }

    #[test]
    fn claims_that_wait_for_their_instance_are_open_and_no_others() {
        let mut state = State::new();
        claim(&mut state, "waits", Some("cr-1"), None);
        claim(&mut state, "other", Some("cr-2"), None);
        claim(&mut state, "has-one", Some("cr-1"), Some("i-1"));
        claim(&mut state, "bought", None, None);
        let open = open_claims(&state.live, &Reserved::default());
        let told: Vec<(&str, Vec<&str>)> =
            open.iter().map(|(id, claims)| (id.as_str(), claims.iter().map(String::as_str).collect())).collect();
        assert_eq!(told, [("cr-1", vec!["waits"]), ("cr-2", vec!["other"])]);
    }

    #[test]
    fn what_is_left_is_for_the_pools_of_classes_that_select_it() {
        let mut cluster = Cluster::default();
        let mut pools = BTreeMap::new();
        for (name, class) in [("web", "general"), ("batch", "large"), ("lost", "none")] {
            let pool: NodePool = serde_json::from_value(json!({
                "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": name },
                "spec": { "template": { "spec": { "requirements": [],
                    "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": class } } } },
            }))
            .expect("a pool");
            cluster.pools.push(read_pool(&mut cluster.names, name, &pool.spec).expect("a pool without faults"));
            pools.insert(name.to_owned(), Arc::new(pool));
        }
        let of = |pairs: &[(&str, i64)]| pairs.iter().map(|(class, left)| ((*class).to_owned(), *left)).collect();
        let left = LeftOver(
            [("cr-1".to_owned(), of(&[("general", 3)])), ("cr-2".to_owned(), of(&[("general", 2), ("large", 2)]))]
                .into(),
        );
        let told: Vec<(String, Vec<u32>, usize)> =
            left.vacancies(&cluster, &pools).into_iter().map(|one| (one.reservation, one.pools, one.count)).collect();
        assert_eq!(told, [("cr-1".to_owned(), vec![0], 3), ("cr-2".to_owned(), vec![0, 1], 2)]);
    }
}
