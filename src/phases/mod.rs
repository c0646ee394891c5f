//! From the stack file to the list of resources that it wants: one file per phase. Pure.
//!
//! A phase is for reading: a plan is printed phase by phase. What runs when is decided by what
//! refers to what, so the order of the calls below only has to give each phase what it refers to.

mod addons;
mod autoscaler;
mod bastion;
mod cluster;
mod cluster_addons;
mod database;
mod identity;
pub mod interruption;
pub mod names;
mod nat;
mod network;
mod nodes;
pub mod objects;
mod pod_role;
mod references;
#[cfg(test)]
mod tests;
mod trust;
mod workloads;

pub use addons::LOAD_BALANCER_CONTROLLER;
pub use autoscaler::service_account as autoscaler_account;
pub use objects::certificate_outline;
pub use trust::Account;
pub use workloads::place_of;

use crate::aws::ids::{
    ClusterName, IssuerUrl, OidcProviderArn, RoleArn, RoleName, SecurityGroupId, SubnetId, Text, VpcId,
};
use crate::plan::{Address, Desired, Reference, Resources};
use crate::spec::Stack;

/// The phases, in the order in which they are printed.
pub const PHASES: &[&str] = &[
    "network",
    "nat",
    "bastion",
    "database",
    "cluster",
    "nodes",
    "identity",
    "interruption",
    "addons",
    "autoscaler",
    "workloads",
];

/// What a phase has to know of the account beside the stack file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The account's number.
    pub account: String,
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: String,
    /// The region's zones that can be used, in the order in which they are to be taken.
    pub zones: Vec<String>,
    /// Who is calling, as the ARN of a user or role: the cluster's first administrator.
    pub caller: String,
    /// Whether the cluster that stands knows ServiceMonitors, by which Prometheus finds what to ask.
    pub monitors: bool,
}

impl Surroundings {
    /// Stands in for an account where none is asked: the zones `a`, `b`, `c`… of the region, and
    /// `ACCOUNT` for its number.
    pub fn offline(stack: &Stack) -> Self {
        let region = &stack.metadata.region;
        Self {
            account: "ACCOUNT".to_owned(),
            partition: "aws".to_owned(),
            zones: ('a'..='f').map(|letter| format!("{region}{letter}")).collect(),
            caller: "CALLER".to_owned(),
            monitors: false,
        }
    }
}

/// What every phase gets: the file, the surroundings, and the list to add to.
pub struct Draft<'a> {
    /// The stack file.
    pub stack: &'a Stack,
    /// What is known of the account.
    pub surroundings: &'a Surroundings,
    /// What has been declared so far.
    pub resources: Resources,
    /// The objects in the cluster that have been asked for so far.
    pub asked: objects::Asked,
}

impl Draft<'_> {
    /// The stack's name, which is also the cluster's.
    pub fn name(&self) -> &str {
        &self.stack.metadata.name
    }

    /// The stack's region.
    pub fn region(&self) -> &str {
        &self.stack.metadata.region
    }

    /// The name of an IAM role or profile for `purpose`.
    pub fn iam_name(&self, purpose: &str) -> String {
        names::iam(self.name(), self.region(), purpose)
    }

    /// The ARN of the stack's cluster: known before there is one.
    pub fn cluster_arn(&self) -> String {
        let Surroundings { account, partition, .. } = self.surroundings;
        format!("arn:{partition}:eks:{}:{account}:cluster/{}", self.region(), self.name())
    }

    /// The ARN of a policy that AWS manages.
    pub fn managed_policy(&self, name: &str) -> String {
        format!("arn:{}:iam::aws:policy/{name}", self.surroundings.partition)
    }
}

/// A subnet that others stand in.
#[derive(Debug, Clone)]
pub struct Subnet {
    /// Its zone; empty for a subnet that others own.
    pub zone: String,
    /// Its id.
    pub id: Reference<SubnetId>,
}

/// What the network phase leaves for the others.
#[derive(Debug, Clone)]
pub struct Network {
    /// The VPC.
    pub vpc: Reference<VpcId>,
    /// Subnets with a route to the internet gateway.
    pub public: Vec<Subnet>,
    /// Subnets without one.
    pub private: Vec<Subnet>,
    /// What has to stand before something in a private subnet reaches what it needs: the ways out,
    /// and the endpoints.
    pub ways_out: Vec<Address>,
    /// What has to stand before something in a public subnet reaches the internet.
    pub public_ways_out: Vec<Address>,
}

/// What the cluster phase leaves for the others.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Where it stands.
    pub address: Address,
    /// The cluster's name, known once it is there.
    pub name: Reference<ClusterName>,
    /// Its ARN, which is known before it is there.
    pub arn: String,
    /// The security group that EKS makes for it and its nodes.
    pub security_group: Reference<SecurityGroupId>,
    /// Who signs its service-account tokens.
    pub issuer: Reference<IssuerUrl>,
    /// The OIDC provider, with `identity.mode: irsa`.
    pub oidc_provider: Option<OidcProvider>,
}

/// What lets service accounts stand for roles.
#[derive(Debug, Clone)]
pub struct OidcProvider {
    /// Its ARN.
    pub arn: Reference<OidcProviderArn>,
    /// The issuer as trust policies name it, without `https://`.
    pub issuer: Reference<Text>,
}

/// The role that nodes have.
#[derive(Debug, Clone)]
pub struct NodeRole {
    /// Its name.
    pub name: Reference<RoleName>,
    /// Its ARN.
    pub arn: Reference<RoleArn>,
}

/// The bastion's security group, for those that let it in.
#[derive(Debug, Clone)]
pub struct Bastion {
    /// Its security group.
    pub security_group: Reference<SecurityGroupId>,
}

/// Why `stack` cannot be built in these surroundings, if it cannot.
pub fn impossible(stack: &Stack, surroundings: &Surroundings) -> Option<String> {
    network::impossible(stack, surroundings).or_else(|| {
        let resources = resources(stack, surroundings);
        references::dangling(&resources).or_else(|| workloads::impossible(stack, &resources))
    })
}

/// Everything that `stack` wants.
pub fn resources(stack: &Stack, surroundings: &Surroundings) -> Vec<Desired> {
    let resources = Resources::new(&stack.metadata.name, stack.metadata.tags.clone());
    let mut draft = Draft { stack, surroundings, resources, asked: objects::Asked::default() };
    if let Some((network, routing)) = network::declare(&mut draft) {
        nat::declare(&mut draft, &network, &routing);
        let bastion = bastion::declare(&mut draft, &network);
        let cluster = platform(&mut draft, &network);
        database::declare(&mut draft, &network, bastion.as_ref(), cluster.as_ref());
    }
    draft.resources.finish()
}

/// The cluster and everything that hangs on it.
fn platform(draft: &mut Draft<'_>, network: &Network) -> Option<Cluster> {
    let cluster = cluster::declare(draft, network)?;
    let node_role = nodes::declare(draft, network, &cluster);
    identity::declare(draft, &cluster);
    let interruption = interruption::declare(draft);
    addons::declare(draft, network, &cluster);
    if let Some(node_role) = node_role {
        autoscaler::declare(draft, &cluster, &node_role, interruption.as_ref());
    }
    workloads::declare(draft);
    objects::declare(draft, &cluster);
    Some(cluster)
}
