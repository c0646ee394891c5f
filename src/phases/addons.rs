//! What the controllers that eksup installs need in AWS.

use std::collections::BTreeMap;

use super::pod_role::{self, Purpose};
use super::trust::Account;
use super::{Cluster, Draft, Network};
use crate::render::policies::{self, Values};

/// The service account of the AWS Load Balancer Controller.
pub const LOAD_BALANCER_CONTROLLER: Account<'static> =
    Account { namespace: "kube-system", name: "aws-load-balancer-controller" };

/// Declares the role of the AWS Load Balancer Controller, if the stack wants it.
pub fn declare(draft: &mut Draft<'_>, network: &Network, cluster: &Cluster) {
    let wanted = draft.stack.addons.as_ref().and_then(|addons| addons.load_balancer_controller.as_ref());
    if wanted.is_none() {
        return;
    }
    let values = Values::new()
        .with("partition", &draft.surroundings.partition)
        .with("region", draft.region())
        .with("vpc", network.vpc.as_str());
    let policy = policies::policy(policies::LOAD_BALANCER_CONTROLLER, &values);
    let purpose = Purpose {
        phase: "addons",
        name: "load-balancer-controller".to_owned(),
        description: format!("AWS Load Balancer Controller of {}", draft.name()),
        inline_policies: BTreeMap::from([("load-balancers".to_owned(), policy)]),
        ..Purpose::default()
    };
    pod_role::declare(draft, cluster, LOAD_BALANCER_CONTROLLER, purpose);
}
