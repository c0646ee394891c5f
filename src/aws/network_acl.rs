//! A network ACL with its rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_ec2::types::{self, IcmpTypeCode, ResourceType, RuleAction};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::error::{CloudError, call, existing};
use super::ids::{NetworkAclId, VpcId};
use super::kind::{Found, Kind, Made, Work};
use super::ports::Ports;
use super::reads::{Reads, filter};
use super::tagging::{self, Tagged};
use crate::plan::{Describe, Effect, Facts, Handle, Reference, State};

/// A stateless filter at the border of subnets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkAcl {
    /// The VPC that it is a part of.
    pub vpc: Reference<VpcId>,
    /// Rules for what comes in.
    pub ingress: BTreeSet<Rule>,
    /// Rules for what goes out.
    pub egress: BTreeSet<Rule>,
}

/// One rule; the lowest number that fits decides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Its place, 1 to 32766.
    pub number: i32,
    /// The number of the protocol; `-1` is all of them.
    pub protocol: String,
    /// The first and the last port, for TCP and UDP.
    pub ports: Option<Ports>,
    /// The other side's addresses.
    pub cidr: String,
    /// Whether it lets through or drops.
    pub allow: bool,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// `acl-…`
    pub id: String,
}

impl Describe for NetworkAcl {
    const FACTS: Facts = Facts {
        fields: &[("vpc", Effect::Replace), ("ingress", Effect::InPlace), ("egress", Effect::InPlace)],
        outputs: &["id"],
        references: &[("vpc", &["vpc"])],
        ..Facts::new("network-acl")
    };
}

impl Handle<NetworkAcl> {
    /// The id.
    pub fn id(&self) -> Reference<NetworkAclId> {
        self.output("id")
    }
}

/// The rule that AWS adds at the end of every ACL, and that cannot be changed.
const CATCH_ALL: i32 = 32767;
const ICMP: &str = "1";

impl Kind for NetworkAcl {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        Ok(ours(reads).await?.iter().filter_map(|acl| found(acl, reads)).collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .ec2
            .create_network_acl()
            .vpc_id(self.vpc.as_str())
            .client_token(&work.token)
            .tag_specifications(tagging::ec2_at_birth(ResourceType::NetworkAcl, &work.tags));
        let answer = call("ec2:CreateNetworkAcl", sending.send()).await?;
        let id = answer
            .network_acl()
            .and_then(types::NetworkAcl::network_acl_id)
            .ok_or_else(|| CloudError::incomplete("ec2:CreateNetworkAcl", "id"))?;
        let none = BTreeSet::new();
        tokio::try_join!(
            write_rules(id, false, &none, &self.ingress, work),
            write_rules(id, true, &none, &self.egress, work)
        )?;
        Ok(Made::ready(Outputs { id: id.to_owned() }))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let id = &found.outputs.id;
        tokio::try_join!(
            write_rules(id, false, &found.body.ingress, &self.ingress, work),
            write_rules(id, true, &found.body.egress, &self.egress, work)
        )?;
        Ok(Made::ready(Outputs { id: id.clone() }))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.delete_network_acl().network_acl_id(&found.outputs.id);
        existing(call("ec2:DeleteNetworkAcl", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Ec2(outputs.id.clone())
    }

    /// The subnets that use it.
    async fn blocker(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let by_id = filter("network-acl-id", &found.outputs.id);
        let sending = work.cloud.read.ec2.describe_network_acls().filters(by_id);
        let answer = call("ec2:DescribeNetworkAcls", sending.send()).await?;
        let associations = answer.network_acls().iter().flat_map(types::NetworkAcl::associations);
        let subnets: Vec<String> = associations.filter_map(|each| Some(format!("`{}`", each.subnet_id()?))).collect();
        Ok((!subnets.is_empty()).then(|| format!("subnets use it: {}", subnets.join(", "))))
    }
}

/// What has to be done to one rule.
#[derive(Debug, PartialEq, Eq)]
enum Edit<'a> {
    Add(&'a Rule),
    Replace(&'a Rule),
    Remove(i32),
}

/// The edits that turn `before` into `after`: a number that stays is replaced, so that its subnets are
/// never without it.
fn edits<'a>(before: &BTreeSet<Rule>, after: &'a BTreeSet<Rule>) -> Vec<Edit<'a>> {
    let has = |rules: &BTreeSet<Rule>, number| rules.iter().any(|rule| rule.number == number);
    let changed = after.iter().filter(|rule| !before.contains(*rule));
    let mut edits: Vec<Edit<'a>> =
        changed.map(|rule| if has(before, rule.number) { Edit::Replace(rule) } else { Edit::Add(rule) }).collect();
    let gone = before.iter().map(|rule| rule.number).filter(|number| !has(after, *number));
    edits.extend(gone.map(Edit::Remove));
    edits
}

async fn write_rules(
    id: &str,
    egress: bool,
    before: &BTreeSet<Rule>,
    after: &BTreeSet<Rule>,
    work: &Work,
) -> Result<(), CloudError> {
    let edits = edits(before, after);
    try_join_all(edits.iter().map(|edit| write(id, egress, edit, work))).await.map(drop)
}

async fn write(id: &str, egress: bool, edit: &Edit<'_>, work: &Work) -> Result<(), CloudError> {
    let client = &work.cloud.write.ec2;
    match edit {
        Edit::Add(rule) => {
            let sending = client
                .create_network_acl_entry()
                .network_acl_id(id)
                .egress(egress)
                .rule_number(rule.number)
                .protocol(&rule.protocol)
                .cidr_block(&rule.cidr)
                .rule_action(rule.action())
                .set_port_range(rule.port_range())
                .set_icmp_type_code(rule.icmp());
            call("ec2:CreateNetworkAclEntry", sending.send()).await.map(drop)
        }
        Edit::Replace(rule) => {
            let sending = client
                .replace_network_acl_entry()
                .network_acl_id(id)
                .egress(egress)
                .rule_number(rule.number)
                .protocol(&rule.protocol)
                .cidr_block(&rule.cidr)
                .rule_action(rule.action())
                .set_port_range(rule.port_range())
                .set_icmp_type_code(rule.icmp());
            call("ec2:ReplaceNetworkAclEntry", sending.send()).await.map(drop)
        }
        Edit::Remove(number) => {
            let sending = client.delete_network_acl_entry().network_acl_id(id).egress(egress).rule_number(*number);
            existing(call("ec2:DeleteNetworkAclEntry", sending.send()).await).map(drop)
        }
    }
}

impl Rule {
    fn action(&self) -> RuleAction {
        if self.allow { RuleAction::Allow } else { RuleAction::Deny }
    }

    fn port_range(&self) -> Option<types::PortRange> {
        self.ports.map(|ports| types::PortRange::builder().from(ports.from).to(ports.to).build())
    }

    /// ICMP rules are for every type and code.
    fn icmp(&self) -> Option<IcmpTypeCode> {
        (self.protocol == ICMP).then(|| IcmpTypeCode::builder().r#type(-1).code(-1).build())
    }

    fn of(entry: &types::NetworkAclEntry) -> Option<Self> {
        let number = entry.rule_number().filter(|number| *number < CATCH_ALL)?;
        let protocol = entry.protocol().unwrap_or("-1").to_owned();
        let has_ports = matches!(protocol.as_str(), "6" | "17");
        let range = entry.port_range().filter(|_| has_ports);
        let ports = range.and_then(|range| Some(Ports { from: range.from()?, to: range.to()? }));
        let cidr = entry.cidr_block().or(entry.ipv6_cidr_block()).unwrap_or_default().to_owned();
        Some(Self { number, protocol, ports, cidr, allow: entry.rule_action() == Some(&RuleAction::Allow) })
    }
}

fn found(acl: &types::NetworkAcl, reads: &Reads) -> Option<Found<NetworkAcl>> {
    let tags = tagging::from_ec2(acl.tags());
    let rules = |egress: bool| {
        let entries = acl.entries().iter().filter(move |entry| entry.egress().unwrap_or_default() == egress);
        entries.filter_map(Rule::of).collect()
    };
    let body = NetworkAcl {
        vpc: Reference::known(acl.vpc_id().unwrap_or_default()),
        ingress: rules(false),
        egress: rules(true),
    };
    let outputs = Outputs { id: acl.network_acl_id()?.to_owned() };
    Some(Found { address: reads.address_in(&tags)?, body, outputs, tags, state: State::Ready })
}

/// The stack's ACLs with their rules and associations, as EC2 shows them.
///
/// # Errors
/// The failure of the call.
pub async fn ours(reads: &Reads) -> Result<Arc<Vec<types::NetworkAcl>>, CloudError> {
    reads
        .once("ec2:DescribeNetworkAcls", || async {
            let pages = reads.cloud.read.ec2.describe_network_acls().filters(reads.ours()).into_paginator().items();
            call("ec2:DescribeNetworkAcls", pages.send().collect::<Result<Vec<_>, _>>()).await
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(number: i32, cidr: &str) -> Rule {
        Rule { number, protocol: "-1".into(), ports: None, cidr: cidr.into(), allow: true }
    }

    #[test]
    fn a_rule_that_keeps_its_number_is_replaced_and_the_others_come_and_go() {
        let before = BTreeSet::from([rule(100, "10.0.0.0/8"), rule(110, "10.1.0.0/16"), rule(120, "10.2.0.0/16")]);
        let after = BTreeSet::from([rule(100, "0.0.0.0/0"), rule(110, "10.1.0.0/16"), rule(130, "10.3.0.0/16")]);
        let (changed, new) = (rule(100, "0.0.0.0/0"), rule(130, "10.3.0.0/16"));
        assert_eq!(edits(&before, &after), [Edit::Replace(&changed), Edit::Add(&new), Edit::Remove(120)]);
        assert_eq!(edits(&after, &after), []);
    }

    #[test]
    fn what_aws_adds_by_itself_is_no_rule_of_ours() {
        let catch_all = types::NetworkAclEntry::builder().rule_number(CATCH_ALL).protocol("-1").build();
        assert_eq!(Rule::of(&catch_all), None);
        let all = types::NetworkAclEntry::builder()
            .rule_number(100)
            .protocol("-1")
            .cidr_block("0.0.0.0/0")
            .rule_action(RuleAction::Allow)
            .port_range(types::PortRange::builder().from(0).to(65535).build())
            .build();
        assert_eq!(Rule::of(&all), Some(rule(100, "0.0.0.0/0")));
    }
}
