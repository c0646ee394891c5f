//! From the stack file to the list of resources that it wants: one file per phase. Pure.
//!
//! A phase is for reading: a plan is printed phase by phase. What runs when is decided by what
//! refers to what, so the order of the calls below only has to give each phase what it refers to.

pub mod names;

use crate::aws::ids::{ClusterName, IssuerUrl, OidcProviderArn, RoleArn, RoleName, SecurityGroupId, SubnetId, VpcId};
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
    /// and the endpoints. The NAT phase adds to it.
    pub ways_out: Vec<Address>,
}

/// What the cluster phase leaves for the others.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Where it stands.
    pub address: Address,
    /// The cluster's name, known once it is there.
    pub name: Reference<ClusterName>,
    /// The security group that EKS makes for it and its nodes.
    pub security_group: Reference<SecurityGroupId>,
    /// Who signs its service-account tokens.
    pub issuer: Reference<IssuerUrl>,
    /// The OIDC provider, with `identity.mode: irsa`.
    pub oidc_provider: Option<Reference<OidcProviderArn>>,
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

/// Everything that `stack` wants.
pub fn resources(stack: &Stack, surroundings: &Surroundings) -> Vec<Desired> {
    let resources = Resources::new(&stack.metadata.name, stack.metadata.tags.clone());
    let draft = Draft { stack, surroundings, resources };
    draft.resources.finish()
}
