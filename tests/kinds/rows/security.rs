//! Security groups and their rules.

use aws_sdk_ec2::types::{IpPermission, IpRange};
use eksup::aws::ports::Ports;
use eksup::aws::security_group::SecurityGroup;
use eksup::aws::security_group_rule::{Direction, Peer, SecurityGroupRule};
use eksup::aws::vpc::Vpc;
use eksup::plan::{Handle, Resources};

use super::network::vpc;
use crate::harness::{Form, Row};

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    vec![
        Row {
            kind: "security-group",
            address: "network/security-group/one",
            declare: |resources, form| {
                let vpc = vpc(resources, Form::Original);
                let body = SecurityGroup {
                    name: "row-one".to_owned(),
                    description: if form == Form::Replaced { "another" } else { "one" }.to_owned(),
                    vpc: vpc.id(),
                    open_egress: form == Form::Changed,
                };
                resources.add("network/security-group/one", body);
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, group| {
                Box::pin(async move {
                    let everywhere = IpRange::builder().cidr_ip("0.0.0.0/0").build();
                    let everything = IpPermission::builder().ip_protocol("-1").ip_ranges(everywhere).build();
                    let sending = cloud.write.ec2.authorize_security_group_egress().group_id(group.identity());
                    sending.ip_permissions(everything).send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "security-group-rule",
            address: "network/security-group-rule/one/in",
            declare: |resources, form| {
                let vpc = vpc(resources, Form::Original);
                let one = group(resources, &vpc, "one");
                let cidr = if form == Form::Replaced { "10.1.0.0/16" } else { "10.0.0.0/16" };
                let port = if form == Form::Changed { 8443 } else { 443 };
                let body = rule(&one, Direction::Ingress, port, Peer::Cidr(cidr.to_owned()));
                resources.add("network/security-group-rule/one/in", body);
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, rule| {
                Box::pin(async move {
                    let group = rule.body["group"].as_str().unwrap_or_default();
                    let sending = cloud.write.ec2.revoke_security_group_ingress().group_id(group);
                    sending.security_group_rule_ids(rule.identity()).send().await.expect("the drift");
                })
            }),
        },
        Row {
            // Two groups that name each other, which can only go when the rules have gone.
            kind: "security-group-rule",
            address: "network/security-group-rule/one/out",
            declare: |resources, form| {
                let vpc = vpc(resources, Form::Original);
                let (one, two) = (group(resources, &vpc, "one"), group(resources, &vpc, "two"));
                let port = if form == Form::Changed { 5432 } else { 3306 };
                let out = rule(&one, Direction::Egress, port, Peer::Group(two.id()));
                resources.add("network/security-group-rule/one/out", out);
                let back = rule(&two, Direction::Ingress, 3306, Peer::Group(one.id()));
                resources.add("network/security-group-rule/two/in", back);
            },
            changes: true,
            replaces: false,
            drift: None,
        },
    ]
}

/// A security group that lets nothing out.
pub fn group(resources: &mut Resources, vpc: &Handle<Vpc>, name: &str) -> Handle<SecurityGroup> {
    let body =
        SecurityGroup { name: format!("row-{name}"), description: name.to_owned(), vpc: vpc.id(), open_egress: false };
    resources.add(format!("network/security-group/{name}"), body)
}

fn rule(group: &Handle<SecurityGroup>, direction: Direction, port: i32, peer: Peer) -> SecurityGroupRule {
    SecurityGroupRule {
        group: group.id(),
        direction,
        protocol: "tcp".to_owned(),
        ports: Some(Ports::one(port)),
        peer,
        description: "a row".to_owned(),
    }
}
