//! One rule of a security group.

use aws_sdk_ec2::types::{
    self, IpPermission, IpRange, ResourceType, SecurityGroupRuleRequest, SecurityGroupRuleUpdate, UserIdGroupPair,
};
use serde::{Deserialize, Serialize};

use super::error::{Class, CloudError, call, existing};
use super::ids::SecurityGroupId;
use super::kind::{Found, Kind, Made, Work};
use super::ports::Ports;
use super::reads::{Reads, filter};
use super::tagging::{self, Tagged};
use crate::plan::{Describe, Effect, Facts, Reference, State};

/// Something that a security group lets through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupRule {
    /// The group that it is a rule of.
    pub group: Reference<SecurityGroupId>,
    /// In which direction.
    pub direction: Direction,
    /// `tcp`, `udp`, `icmp`, or `-1` for everything.
    pub protocol: String,
    /// The first and the last port; none for every protocol.
    pub ports: Option<Ports>,
    /// The other side.
    pub peer: Peer,
    /// Why it is there.
    pub description: String,
}

/// In which direction a rule lets traffic through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// To what has the group.
    Ingress,
    /// From what has the group.
    Egress,
}

/// The other side of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Peer {
    /// Addresses, as in `10.0.0.0/16`.
    Cidr(String),
    /// Whatever has this security group.
    Group(Reference<SecurityGroupId>),
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// `sgr-…`
    pub id: String,
}

impl Describe for SecurityGroupRule {
    const FACTS: Facts = Facts {
        fields: &[
            ("group", Effect::Replace),
            ("direction", Effect::Replace),
            ("protocol", Effect::InPlace),
            ("ports", Effect::InPlace),
            ("peer", Effect::Replace),
            ("description", Effect::InPlace),
        ],
        outputs: &["id"],
        // A rule goes before either group: two groups that name each other could not go otherwise. It
        // goes before the cluster too, which cannot take its own group along while a rule names it.
        references: &[
            ("group", &["security-group"]),
            ("peer", &["security-group", "foreign-security-group", "cluster"]),
        ],
        // Nodes that are drained still talk to endpoints and databases.
        outlives: &["node-group"],
        ..Facts::new("security-group-rule")
    };
}

impl Kind for SecurityGroupRule {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let pages = reads.cloud.read.ec2.describe_security_group_rules().filters(reads.ours()).into_paginator().items();
        let rules = call("ec2:DescribeSecurityGroupRules", pages.send().collect::<Result<Vec<_>, _>>()).await?;
        Ok(rules.iter().filter_map(|rule| found(rule, reads)).collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let made = match self.direction {
            Direction::Ingress => self.authorize_ingress(work).await,
            Direction::Egress => self.authorize_egress(work).await,
        };
        match made {
            // Somebody has written the same rule into our group: it becomes ours.
            Err(error) if error.class == Class::Exists => self.adopt(error, work).await,
            other => other,
        }
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let id = &found.outputs.id;
        let rule = SecurityGroupRuleUpdate::builder().security_group_rule_id(id).security_group_rule(self.request());
        let sending = work
            .cloud
            .write
            .ec2
            .modify_security_group_rules()
            .group_id(self.group.as_str())
            .security_group_rules(rule.build());
        call("ec2:ModifySecurityGroupRules", sending.send()).await?;
        Ok(Made::ready(Outputs { id: id.clone() }))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let client = &work.cloud.write.ec2;
        let (group, id) = (found.body.group.as_str(), &found.outputs.id);
        match found.body.direction {
            Direction::Ingress => {
                let sending = client.revoke_security_group_ingress().group_id(group).security_group_rule_ids(id);
                existing(call("ec2:RevokeSecurityGroupIngress", sending.send()).await).map(drop)
            }
            Direction::Egress => {
                let sending = client.revoke_security_group_egress().group_id(group).security_group_rule_ids(id);
                existing(call("ec2:RevokeSecurityGroupEgress", sending.send()).await).map(drop)
            }
        }
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Ec2(outputs.id.clone())
    }
}

impl SecurityGroupRule {
    async fn authorize_ingress(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .ec2
            .authorize_security_group_ingress()
            .group_id(self.group.as_str())
            .ip_permissions(self.permission())
            .tag_specifications(tagging::ec2_at_birth(ResourceType::SecurityGroupRule, &work.tags));
        let answer = call("ec2:AuthorizeSecurityGroupIngress", sending.send()).await?;
        made("ec2:AuthorizeSecurityGroupIngress", answer.security_group_rules())
    }

    async fn authorize_egress(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .ec2
            .authorize_security_group_egress()
            .group_id(self.group.as_str())
            .ip_permissions(self.permission())
            .tag_specifications(tagging::ec2_at_birth(ResourceType::SecurityGroupRule, &work.tags));
        let answer = call("ec2:AuthorizeSecurityGroupEgress", sending.send()).await?;
        made("ec2:AuthorizeSecurityGroupEgress", answer.security_group_rules())
    }

    /// Puts our tags on the rule without an owner that says the same.
    async fn adopt(&self, refusal: CloudError, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let of_group = filter("group-id", self.group.as_str());
        let pages = work.cloud.read.ec2.describe_security_group_rules().filters(of_group).into_paginator().items();
        let rules = call("ec2:DescribeSecurityGroupRules", pages.send().collect::<Result<Vec<_>, _>>()).await?;
        let orphan = rules.iter().filter(|rule| rule.tags().is_empty()).find(|rule| self.says_the_same(rule));
        let id = orphan.and_then(types::SecurityGroupRule::security_group_rule_id).ok_or(refusal)?;
        let sending = work.cloud.write.ec2.create_tags().resources(id).set_tags(Some(tagging::ec2(&work.tags)));
        call("ec2:CreateTags", sending.send()).await?;
        Ok(Made::ready(Outputs { id: id.to_owned() }))
    }

    fn says_the_same(&self, rule: &types::SecurityGroupRule) -> bool {
        body_of(rule).is_some_and(|other| Self { description: other.description.clone(), ..self.clone() } == other)
    }

    fn permission(&self) -> IpPermission {
        let permission = IpPermission::builder()
            .ip_protocol(&self.protocol)
            .set_from_port(self.ports.map(|ports| ports.from))
            .set_to_port(self.ports.map(|ports| ports.to));
        match &self.peer {
            Peer::Cidr(cidr) => {
                permission.ip_ranges(IpRange::builder().cidr_ip(cidr).description(&self.description).build())
            }
            Peer::Group(group) => permission.user_id_group_pairs(
                UserIdGroupPair::builder().group_id(group.as_str()).description(&self.description).build(),
            ),
        }
        .build()
    }

    fn request(&self) -> SecurityGroupRuleRequest {
        let request = SecurityGroupRuleRequest::builder()
            .ip_protocol(&self.protocol)
            .set_from_port(self.ports.map(|ports| ports.from))
            .set_to_port(self.ports.map(|ports| ports.to))
            .description(&self.description);
        match &self.peer {
            Peer::Cidr(cidr) => request.cidr_ipv4(cidr),
            Peer::Group(group) => request.referenced_group_id(group.as_str()),
        }
        .build()
    }
}

fn made(action: &'static str, rules: &[types::SecurityGroupRule]) -> Result<Made<Outputs>, CloudError> {
    let id = rules.first().and_then(types::SecurityGroupRule::security_group_rule_id);
    let id = id.ok_or_else(|| CloudError::incomplete(action, "rule id"))?;
    Ok(Made::ready(Outputs { id: id.to_owned() }))
}

fn body_of(rule: &types::SecurityGroupRule) -> Option<SecurityGroupRule> {
    let protocol = rule.ip_protocol()?.to_owned();
    let range = (rule.from_port().zip(rule.to_port())).filter(|_| protocol != "-1");
    let ports = range.map(|(from, to)| Ports { from, to });
    let referenced = rule.referenced_group_info().and_then(|info| info.group_id());
    let peer = match (rule.cidr_ipv4().or(rule.cidr_ipv6()).or(rule.prefix_list_id()), referenced) {
        (Some(cidr), _) => Peer::Cidr(cidr.to_owned()),
        (None, Some(group)) => Peer::Group(Reference::known(group)),
        (None, None) => return None,
    };
    Some(SecurityGroupRule {
        group: Reference::known(rule.group_id()?),
        direction: if rule.is_egress().unwrap_or_default() { Direction::Egress } else { Direction::Ingress },
        protocol,
        ports,
        peer,
        description: rule.description().unwrap_or_default().to_owned(),
    })
}

fn found(rule: &types::SecurityGroupRule, reads: &Reads) -> Option<Found<SecurityGroupRule>> {
    let tags = tagging::from_ec2(rule.tags());
    let outputs = Outputs { id: rule.security_group_rule_id()?.to_owned() };
    Some(Found { address: reads.address_in(&tags)?, body: body_of(rule)?, outputs, tags, state: State::Ready })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_without_an_owner_is_known_by_what_it_lets_through() {
        let rule = SecurityGroupRule {
            group: Reference::known("sg-1"),
            direction: Direction::Ingress,
            protocol: "tcp".into(),
            ports: Some(Ports::one(443)),
            peer: Peer::Cidr("10.0.0.0/16".into()),
            description: "ours".into(),
        };
        let shown = types::SecurityGroupRule::builder().group_id("sg-1").is_egress(false).ip_protocol("tcp");
        let shown = shown.from_port(443).cidr_ipv4("10.0.0.0/16").description("by hand");
        assert!(rule.says_the_same(&shown.clone().to_port(443).build()));
        assert!(!rule.says_the_same(&shown.to_port(444).build()));
    }
}
