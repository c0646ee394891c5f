//! The controllers that eksup installs: what they need in AWS, and their objects in the cluster.

use std::collections::BTreeMap;

use super::objects::{self, WebhookSecret};
use super::pod_role::{self, PodRole, Purpose};
use super::trust::Account;
use super::{Cluster, Draft, Network};
use crate::cluster::webhook_certificate::WebhookCertificate;
use crate::plan::Handle;
use crate::render::addons::{self, Surroundings};
use crate::render::certificate;
use crate::render::policies::{self, Values};
use crate::spec::{IdentityMode, LoadBalancerController, Nat};

/// The service account of the AWS Load Balancer Controller.
pub const LOAD_BALANCER_CONTROLLER: Account<'static> =
    Account { namespace: "kube-system", name: "aws-load-balancer-controller" };

const LOAD_BALANCERS: &str = "addons/load-balancer-controller";
const METRICS: &str = "addons/metrics-server";

/// Declares the controllers that the stack wants.
pub fn declare(draft: &mut Draft<'_>, network: &Network, cluster: &Cluster) {
    let Some(wanted) = &draft.stack.addons else { return };
    if let Some(controller) = &wanted.load_balancer_controller {
        let role = declare_role(draft, network, cluster);
        let certificate = declare_certificate(draft, cluster, controller);
        declare_controller(draft, network, controller, &role, &certificate);
    }
    if let Some(server) = &wanted.metrics_server {
        for manifest in addons::metrics_server(server) {
            objects::add(draft, METRICS, manifest, None);
        }
    }
}

fn declare_role(draft: &mut Draft<'_>, network: &Network, cluster: &Cluster) -> PodRole {
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
    pod_role::declare(draft, cluster, LOAD_BALANCER_CONTROLLER, purpose)
}

/// The certificate by which the API server knows the controller's webhooks.
fn declare_certificate(
    draft: &mut Draft<'_>,
    cluster: &Cluster,
    wanted: &LoadBalancerController,
) -> Handle<WebhookCertificate> {
    let Account { namespace, name } = LOAD_BALANCER_CONTROLLER;
    let secret = WebhookSecret {
        namespace,
        name: addons::WEBHOOK_SECRET,
        labels: addons::load_balancer_controller_labels(wanted, name),
        names: certificate::service_names(addons::WEBHOOK_SERVICE, namespace),
    };
    objects::add_certificate(draft, cluster, LOAD_BALANCERS, secret)
}

fn declare_controller(
    draft: &mut Draft<'_>,
    network: &Network,
    wanted: &LoadBalancerController,
    role: &PodRole,
    certificate: &Handle<WebhookCertificate>,
) {
    let authority = certificate.ca_bundle();
    let by_annotation = pod_role::mode(draft.stack) == IdentityMode::Irsa;
    let around = Surroundings {
        name: LOAD_BALANCER_CONTROLLER.name,
        namespace: LOAD_BALANCER_CONTROLLER.namespace,
        cluster: draft.name(),
        region: draft.region(),
        vpc: network.vpc.as_str(),
        role: by_annotation.then(|| role.arn.as_str()),
        authority: authority.as_str(),
        tags: draft.resources.stack_tags(),
        has_way_out: has_way_out(draft),
    };
    for manifest in addons::load_balancer_controller(wanted, &around) {
        // Its pods mount the Secret, and get their role when they start.
        let pods = manifest["kind"] == "Deployment";
        let first = [Some(certificate.address().clone()), role.association.clone()];
        objects::add(draft, LOAD_BALANCERS, manifest, first.into_iter().flatten().filter(|_| pods));
    }
}

/// Whether pods reach services of AWS that have no endpoint in the VPC. Of a network of others nothing is known.
fn has_way_out(draft: &Draft<'_>) -> bool {
    let own = draft.stack.network.as_ref().filter(|network| network.existing.is_none());
    own.is_none_or(|network| network.nat != Nat::None)
}
