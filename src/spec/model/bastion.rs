//! The bastion section: a machine inside the VPC, for people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cidr, Gibibytes};

/// A small machine inside the VPC, for people. eksup itself never goes through it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bastion {
    /// How people get in.
    #[serde(default)]
    pub access: BastionAccess,
    /// The EC2 instance type.
    #[serde(default = "default_instance_type")]
    #[schemars(extend("format" = "instance-type"))]
    pub instance_type: String,
    /// What is installed on it. The AWS CLI is there anyway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub tools: Vec<Tool>,
    /// The EC2 key pair to log in with; only with `access: ssh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub key_name: Option<String>,
    /// The networks that may reach port 22; only with `access: ssh`. Never the whole world.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub allow_from: Vec<Cidr>,
    /// The size of the encrypted root volume.
    #[serde(default = "default_disk_size")]
    pub disk_size: Gibibytes,
}

fn default_instance_type() -> String {
    "t3.micro".to_owned()
}

fn default_disk_size() -> Gibibytes {
    Gibibytes(10)
}

/// How people get into the bastion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BastionAccess {
    /// Session Manager: no inbound port, no key, no public address.
    #[default]
    Ssm,
    /// SSH from the networks in `allowFrom` with the key pair `keyName`.
    Ssh,
}

/// What can be installed on the bastion (Amazon Linux 2023).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Tool {
    /// The Kubernetes client, of the cluster's version; its published checksum is verified.
    Kubectl,
    /// The Helm client; its published checksum is verified.
    Helm,
    /// Git, from the distribution.
    Git,
    /// jq, from the distribution.
    Jq,
    /// The MariaDB client, from the distribution.
    Mariadb,
    /// A `mysql` client. Amazon Linux has none of MySQL's own: it is MariaDB's, which speaks the same protocol.
    Mysql,
    /// The PostgreSQL client `psql`, from the distribution.
    Postgresql,
}
