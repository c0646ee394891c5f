//! The network section: a VPC of the stack's own, or one that exists already.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cidr, PortRange};

/// The VPC, its subnets, and the way out of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    /// The addresses of the VPC, a /16 to a /28.
    #[serde(default = "default_cidr")]
    pub cidr: Cidr,
    /// How many availability zones to use (the first ones of the region), or which.
    #[serde(default)]
    pub zones: Zones,
    /// One public subnet for each zone. Left out: carved from `cidr`. `[]`: none, and no internet gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 6))]
    pub public_subnets: Option<Vec<Cidr>>,
    /// One private subnet for each zone. Left out: carved from `cidr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 6))]
    pub private_subnets: Option<Vec<Cidr>>,
    /// How the private subnets reach the internet.
    #[serde(default)]
    pub nat: Nat,
    /// Network ACLs of the stack's own for the public and the private subnets. Left out: the VPC's default ACL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_acls: Option<NetworkAcls>,
    /// VPC endpoints, by the last part of their service name: `s3`, `ecr.api`, `sts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub endpoints: Vec<EndpointService>,
    /// A VPC that others own. It is used and tagged, never changed otherwise and never deleted;
    /// no other key of `network` can stand beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<ExistingNetwork>,
}

fn default_cidr() -> Cidr {
    Cidr::from_octets([10, 0, 0, 0], 16)
}

/// Availability zones: a number of them, or their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Zones {
    /// So many zones, the first of the region in alphabetical order.
    Count(#[schemars(range(min = 1, max = 6))] u8),
    /// These zones, in this order.
    Names(
        #[schemars(length(min = 1, max = 6), extend("items" = serde_json::json!({ "type": "string", "format": "zone-name" })))]
         Vec<String>,
    ),
}

impl Zones {
    /// How many zones there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Count(count) => usize::from(*count),
            Self::Names(names) => names.len(),
        }
    }
}

impl Default for Zones {
    fn default() -> Self {
        Self::Count(2)
    }
}

/// How private subnets reach the internet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Nat {
    /// One NAT gateway for all zones: cheap, but its zone is a single point of failure.
    #[default]
    Single,
    /// One NAT gateway in each zone.
    PerZone,
    /// No NAT gateway: private subnets reach only the VPC and its endpoints.
    None,
}

/// A VPC and subnets that exist already and belong to somebody else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExistingNetwork {
    /// The VPC, `vpc-…`.
    #[schemars(extend("format" = "vpc-id"))]
    pub vpc_id: String,
    /// Public subnets, `subnet-…`: for the bastion with `access: ssh` and for internet-facing load balancers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("items" = serde_json::json!({ "type": "string", "format": "subnet-id" })))]
    pub public_subnet_ids: Vec<String>,
    /// Private subnets, `subnet-…`: for nodes, the database, and the bastion with `access: ssm`.
    #[schemars(length(min = 1), extend("items" = serde_json::json!({ "type": "string", "format": "subnet-id" })))]
    pub private_subnet_ids: Vec<String>,
}

/// One network ACL for the public subnets and one for the private ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkAcls {
    /// The ACL of the public subnets.
    #[serde(default)]
    pub public: NetworkAcl,
    /// The ACL of the private subnets.
    #[serde(default)]
    pub private: NetworkAcl,
}

/// The rules of one network ACL. A direction that is left out allows everything (rule 100).
///
/// ACLs are stateless: answers need a rule too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkAcl {
    /// Rules for traffic that enters the subnets.
    #[serde(default = "allow_all")]
    #[schemars(length(max = 20))]
    pub ingress: Vec<AclRule>,
    /// Rules for traffic that leaves the subnets.
    #[serde(default = "allow_all")]
    #[schemars(length(max = 20))]
    pub egress: Vec<AclRule>,
}

impl Default for NetworkAcl {
    fn default() -> Self {
        Self { ingress: allow_all(), egress: allow_all() }
    }
}

fn allow_all() -> Vec<AclRule> {
    vec![AclRule {
        rule_number: 100,
        protocol: AclProtocol::All,
        ports: None,
        cidr: Cidr::EVERYWHERE,
        action: AclAction::Allow,
    }]
}

/// One rule of a network ACL. Rules are tried in the order of their numbers; the first that fits decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AclRule {
    /// The place of the rule, 1 to 32766, once in its direction.
    #[schemars(range(min = 1, max = 32766))]
    pub rule_number: u16,
    /// The protocol.
    #[serde(default)]
    pub protocol: AclProtocol,
    /// A port or a range, `443` or `1024-65535`. Needed for `tcp` and `udp`, meaningless otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<PortRange>,
    /// The other side's addresses.
    pub cidr: Cidr,
    /// What happens.
    pub action: AclAction,
}

/// The protocol of a network ACL rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AclProtocol {
    /// Every protocol.
    #[default]
    All,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, every type.
    Icmp,
}

/// What a network ACL rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AclAction {
    /// Let it pass.
    Allow,
    /// Drop it.
    Deny,
}

/// The service of a VPC endpoint, as the last part of its name: `s3` for `com.amazonaws.<region>.s3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct EndpointService(#[schemars(extend("format" = "endpoint-service"))] pub String);

impl EndpointService {
    /// Whether the endpoint is a gateway (a route, free of charge) and not a network interface.
    pub fn is_gateway(&self) -> bool {
        matches!(self.0.as_str(), "s3" | "dynamodb")
    }

    /// The full name of the service in `region`, such as `com.amazonaws.eu-central-1.ecr.api`.
    pub fn service_name(&self, region: &str) -> String {
        let prefix = if region.starts_with("cn-") { "cn.com.amazonaws" } else { "com.amazonaws" };
        // In China only some services carry the `cn.` prefix; S3 and DynamoDB gateways do not.
        let prefix = if self.is_gateway() { "com.amazonaws" } else { prefix };
        format!("{prefix}.{region}.{}", self.0)
    }
}
