//! The kinds of AWS resources: one file each, with read, create, update and delete side by side.
//!
//! A new kind is one such file, and one row in [`KINDS`].

pub mod access_entry;
mod access_policy;
pub mod addon;
mod addon_update;
mod addon_versions;
pub mod borrowed_tags;
mod cloud;
pub mod cloudformation_stack;
pub mod cluster;
mod cluster_facts;
mod cluster_request;
mod cluster_update;
pub mod database;
pub mod db_subnet_group;
pub(crate) mod eks;
pub mod elastic_ip;
mod error;
pub mod event_rule;
pub mod ids;
pub mod instance;
pub mod instance_profile;
mod instance_reads;
pub mod internet_gateway;
mod kind;
pub mod launch_template;
pub mod leftovers;
pub mod log_group;
pub mod nat_gateway;
pub mod network_acl;
pub mod network_acl_association;
mod network_interface;
pub mod node_group;
mod node_group_request;
mod node_group_update;
pub mod oidc_provider;
mod pace;
pub mod pod_identity_association;
mod policy_document;
pub mod ports;
pub mod queue;
mod quotas;
mod reads;
pub mod role;
mod role_attachments;
mod role_details;
pub mod route;
pub mod route_table;
pub mod route_table_association;
pub mod security_group;
pub mod security_group_rule;
pub mod service_linked_role;
pub mod subnet;
pub(crate) mod tagging;
pub mod vpc;
mod vpc_contents;
pub mod vpc_endpoint;
mod waits;

pub use cloud::{Clients, Cloud, looks_like_a_wrong_region};
pub use error::{Class, CloudError, call, existing, watch_calls};
use kind::canonical;
pub use kind::{AnyKind, BELIEF, Erased, Found, Kind, Left, Made, Progress, Work};
pub use pace::{Pace, back_off};
pub use reads::{Reads, filter};
pub use tagging::Tagged;
pub use waits::Waiting;

use crate::cluster::{claim, held, object, object_set, webhook_certificate};
use crate::plan::{Describe, Facts, Registry};

macro_rules! kinds {
    ($($kind:path),* $(,)?) => {
        &[$({
            static FACTS: Facts = Facts { canonical: canonical::<$kind>, ..<$kind as Describe>::FACTS };
            static KIND: Erased<$kind> = Erased::new(&FACTS);
            &KIND
        }),*]
    };
}

/// Every kind there is.
pub static KINDS: &[&dyn AnyKind] = kinds![
    access_entry::AccessEntry,
    addon::Addon,
    borrowed_tags::BorrowedTags,
    cloudformation_stack::CloudformationStack,
    cluster::Cluster,
    database::Database,
    db_subnet_group::DbSubnetGroup,
    elastic_ip::ElasticIp,
    event_rule::EventRule,
    instance::Instance,
    instance_profile::InstanceProfile,
    internet_gateway::InternetGateway,
    launch_template::LaunchTemplate,
    log_group::LogGroup,
    nat_gateway::NatGateway,
    network_acl::NetworkAcl,
    network_acl_association::NetworkAclAssociation,
    node_group::NodeGroup,
    object::Object,
    object_set::ObjectSet,
    oidc_provider::OidcProvider,
    pod_identity_association::PodIdentityAssociation,
    queue::Queue,
    role::Role,
    route::Route,
    route_table::RouteTable,
    route_table_association::RouteTableAssociation,
    security_group::SecurityGroup,
    security_group_rule::SecurityGroupRule,
    service_linked_role::ServiceLinkedRole,
    subnet::Subnet,
    vpc::Vpc,
    vpc_endpoint::VpcEndpoint,
    webhook_certificate::WebhookCertificate,
];

/// The kinds of what others hang on a stack: never wanted, looked for only when it is taken down.
pub static LEFTOVERS: &[&dyn AnyKind] = kinds![
    leftovers::autoscaled_instance::AutoscaledInstance,
    leftovers::autoscaled_instance_profile::AutoscaledInstanceProfile,
    leftovers::autoscaled_launch_template::AutoscaledLaunchTemplate,
    leftovers::classic_load_balancer::ClassicLoadBalancer,
    held::HeldObject,
    claim::Claim,
    leftovers::database_snapshot::DatabaseSnapshot,
    leftovers::foreign_oidc_provider::ForeignOidcProvider,
    leftovers::foreign_security_group::ForeignSecurityGroup,
    leftovers::guard_duty_endpoint::GuardDutyEndpoint,
    leftovers::late_log_group::LateLogGroup,
    leftovers::load_balancer::LoadBalancer,
    leftovers::snapshot::Snapshot,
    leftovers::stray_interface::StrayInterface,
    leftovers::target_group::TargetGroup,
    leftovers::volume::Volume,
];

/// Finds a kind by its name.
#[derive(Debug, Clone, Copy)]
pub struct Kinds;

impl Kinds {
    /// The kind called `name`.
    pub fn get(name: &str) -> Option<&'static dyn AnyKind> {
        KINDS.iter().chain(LEFTOVERS).copied().find(|kind| kind.facts().name == name)
    }
}

impl Registry for Kinds {
    fn facts(&self, name: &str) -> Option<&'static Facts> {
        Self::get(name).map(AnyKind::facts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_listed_by_name_and_once() {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.facts().name).collect();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn a_set_has_the_order_of_what_it_refers_to_and_not_of_the_references() {
        let kind = Kinds::get("vpc-endpoint").expect("a kind");
        let body = json!({
            "vpc": "vpc-1", "service": "s3", "gateway": true, "routeTables": ["rtb-2", "rtb-1"],
            "subnets": [], "securityGroups": [], "privateDns": false,
        });
        assert_eq!((kind.facts().canonical)(&body)["routeTables"], json!(["rtb-1", "rtb-2"]));
    }
}
