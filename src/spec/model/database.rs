//! The database section: one RDS instance.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cidr, Gibibytes, yes};

/// An RDS database in the private subnets. RDS makes the password and keeps it in Secrets Manager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Database {
    /// The database engine. Another engine is another database: changing it replaces.
    pub engine: DatabaseEngine,
    /// The engine's version as a string, such as `"10.11"`; the patch level can be left to RDS.
    #[schemars(extend("format" = "engine-version"))]
    pub version: String,
    /// The RDS instance class.
    #[serde(default = "default_instance_class")]
    #[schemars(extend("format" = "instance-class"))]
    pub instance_class: String,
    /// The size of the volume, 20Gi to 64Ti. It can grow later (by 10 % or more), never shrink.
    #[serde(default = "default_storage")]
    pub storage: Gibibytes,
    /// How far RDS may grow the volume by itself. Left out: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_storage: Option<Gibibytes>,
    /// The kind of volume.
    #[serde(default)]
    pub storage_type: StorageType,
    /// A database (schema) to make at the start. Left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The master user. Left out: `admin`, or `postgres` with that engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The port. Left out: the engine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1150, max = 65535))]
    pub port: Option<u16>,
    /// A standby in a second zone.
    #[serde(default)]
    pub multi_az: bool,
    /// How many days automated backups are kept; 0 turns them off.
    #[serde(default = "default_backup_retention_days")]
    #[schemars(range(max = 35))]
    pub backup_retention_days: u8,
    /// Refuse to delete the database until this is turned off.
    #[serde(default = "yes")]
    pub deletion_protection: bool,
    /// Take a snapshot before the database is deleted, and keep it.
    #[serde(default = "yes")]
    pub final_snapshot: bool,
    /// Encrypt the volume. It cannot be changed later without a new database.
    #[serde(default = "yes")]
    pub encrypted: bool,
    /// The KMS key of the volume. Left out: the account's key for RDS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "kms-key"))]
    pub kms_key_id: Option<String>,
    /// Make changes that mean an outage at once, and not in the next maintenance window.
    #[serde(default)]
    pub apply_immediately: bool,
    /// Further networks that may connect. The cluster's nodes and the bastion may anyway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub allow_from: Vec<Cidr>,
}

impl Database {
    /// The master user: the one in the file, or the engine's usual one.
    pub fn username(&self) -> &str {
        self.username.as_deref().unwrap_or(self.engine.default_username())
    }

    /// The port: the one in the file, or the engine's own.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(self.engine.default_port())
    }
}

fn default_instance_class() -> String {
    "db.t4g.small".to_owned()
}

fn default_storage() -> Gibibytes {
    Gibibytes(20)
}

fn default_backup_retention_days() -> u8 {
    7
}

/// A database engine of RDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DatabaseEngine {
    /// MariaDB.
    Mariadb,
    /// MySQL.
    Mysql,
    /// PostgreSQL.
    Postgres,
}

impl DatabaseEngine {
    /// The engine's name in the RDS API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
        }
    }

    /// The engine's name in a sentence.
    pub fn title(self) -> &'static str {
        match self {
            Self::Mariadb => "MariaDB",
            Self::Mysql => "MySQL",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// The port the engine listens on unless told otherwise.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Mariadb | Self::Mysql => 3306,
            Self::Postgres => 5432,
        }
    }

    /// The master user unless the file names one.
    pub fn default_username(self) -> &'static str {
        match self {
            Self::Mariadb | Self::Mysql => "admin",
            Self::Postgres => "postgres",
        }
    }
}

/// The kind of volume under a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StorageType {
    /// General purpose, current generation.
    #[default]
    Gp3,
    /// General purpose, previous generation.
    Gp2,
}

impl StorageType {
    /// The name in the RDS API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gp3 => "gp3",
            Self::Gp2 => "gp2",
        }
    }
}
