//! The bastion: a machine inside the VPC, for people. eksup itself never goes through it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Bastion, Draft, Network, Subnet, names};
use crate::aws::instance::Instance;
use crate::aws::instance_profile::InstanceProfile;
use crate::aws::ports::Ports;
use crate::aws::role::Role;
use crate::aws::security_group::SecurityGroup;
use crate::aws::security_group_rule::{Direction, Peer, SecurityGroupRule};
use crate::plan::{Address, Handle};
use crate::render::user_data;
use crate::spec::{self, Architecture, BastionAccess, Tool};

/// The port of SSH.
const SSH: i32 = 22;

/// Declares the bastion of the stack, if it wants one.
pub fn declare(draft: &mut Draft<'_>, network: &Network) -> Option<Bastion> {
    let stack = draft.stack;
    let bastion = stack.bastion.as_ref()?;
    let (subnet, ways_out) = place(bastion, network)?;
    let group = declare_security_group(draft, bastion, network);
    let role = declare_role(draft, bastion);
    let body = InstanceProfile { name: draft.iam_name("bastion"), path: iam_path(draft), role: role.name() };
    let profile = draft.resources.add("bastion/instance-profile", body);
    let architecture = Architecture::of_instance_type(&bastion.instance_type);
    let version = stack.cluster.as_ref().map(|cluster| cluster.version);
    let instance = Instance {
        image: image(architecture),
        instance_type: bastion.instance_type.clone(),
        subnet: subnet.id.clone(),
        security_groups: BTreeSet::from([group.id()]),
        profile: profile.name(),
        key_name: bastion.key_name.clone().unwrap_or_default(),
        public_address: bastion.access == BastionAccess::Ssh && !network.public.is_empty(),
        disk_size: i32::try_from(bastion.disk_size.0).unwrap_or(i32::MAX),
        encrypted: true,
        tokens_required: true,
        hop_limit: 1,
        user_data: user_data::bastion(&bastion.tools, architecture, version),
        running: true,
    };
    let instance = draft.resources.add("bastion/instance", instance);
    for way_out in ways_out {
        draft.resources.order(&instance, way_out);
    }
    Some(Bastion { security_group: group.id() })
}

/// Where it stands, and what has to stand before it reaches what it needs: in a private subnet, or in a public
/// one where people come in by SSH.
fn place<'a>(bastion: &spec::Bastion, network: &'a Network) -> Option<(&'a Subnet, &'a [Address])> {
    let private = network.private.first().map(|subnet| (subnet, network.ways_out.as_slice()));
    let public = network.public.first().map(|subnet| (subnet, network.public_ways_out.as_slice()));
    match bastion.access {
        BastionAccess::Ssm => private.or(public),
        BastionAccess::Ssh => public.or(private),
    }
}

fn image(architecture: Architecture) -> String {
    let name = architecture.as_aws_str();
    format!("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{name}")
}

fn iam_path(draft: &Draft<'_>) -> String {
    names::iam_path(draft.name(), draft.region())
}

/// It lets nobody in, but for SSH from the networks that the file names.
fn declare_security_group(draft: &mut Draft<'_>, bastion: &spec::Bastion, network: &Network) -> Handle<SecurityGroup> {
    let body = SecurityGroup {
        name: format!("{}-bastion", draft.name()),
        description: "The bastion".to_owned(),
        vpc: network.vpc.clone(),
        open_egress: true,
    };
    let group = draft.resources.add("bastion/security-group", body);
    let allowed = bastion.allow_from.iter().filter(|_| bastion.access == BastionAccess::Ssh);
    for cidr in allowed {
        let rule = SecurityGroupRule {
            group: group.id(),
            direction: Direction::Ingress,
            protocol: "tcp".to_owned(),
            ports: Some(Ports::one(SSH)),
            peer: Peer::Cidr(cidr.to_string()),
            description: "SSH".to_owned(),
        };
        draft.resources.add(format!("bastion/security-group-rule/ssh/{cidr}"), rule);
    }
    group
}

/// Session Manager may reach it; it may look the cluster up, and nothing else.
fn declare_role(draft: &mut Draft<'_>, bastion: &spec::Bastion) -> Handle<Role> {
    let sessions = (bastion.access == BastionAccess::Ssm).then(|| draft.managed_policy("AmazonSSMManagedInstanceCore"));
    let looks_up = draft.stack.cluster.is_some() && bastion.tools.contains(&Tool::Kubectl);
    let inline = looks_up.then(|| ("describe-cluster".to_owned(), describe_cluster(draft)));
    let body = Role {
        name: draft.iam_name("bastion"),
        path: iam_path(draft),
        description: format!("The bastion of the stack {}", draft.name()),
        trust: json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": ec2_service(&draft.surroundings.partition) },
                "Action": "sts:AssumeRole",
            }],
        }),
        managed_policies: sessions.into_iter().collect(),
        inline_policies: inline.into_iter().collect::<BTreeMap<_, _>>(),
    };
    draft.resources.add("bastion/role", body)
}

fn ec2_service(partition: &str) -> &'static str {
    if partition == "aws-cn" { "ec2.amazonaws.com.cn" } else { "ec2.amazonaws.com" }
}

fn describe_cluster(draft: &Draft<'_>) -> Value {
    let surroundings = draft.surroundings;
    let (partition, region, account) = (&surroundings.partition, draft.region(), &surroundings.account);
    let cluster = format!("arn:{partition}:eks:{region}:{account}:cluster/{}", draft.name());
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": "eks:DescribeCluster", "Resource": cluster }],
    })
}
