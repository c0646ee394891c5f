//! A database: one RDS instance of MariaDB, MySQL or PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_rds::types::DbInstance;
use serde::{Deserialize, Serialize};

use super::error::{CloudError, call, existing};
use super::ids::{SecurityGroupId, SubnetGroupName, Text};
use super::kind::{Found, Kind, Made, Progress, Work};
use super::reads::Reads;
use super::tagging::{self, Tagged};
use crate::phases::names;
use crate::plan::{Describe, Effect, Facts, Fingerprint, Handle, Loss, Mark, Reference, State};

mod judgement;
mod shown;

/// The tag on a database that is to go without a last snapshot; every other one gets one.
pub const FINAL_SNAPSHOT: &str = "eksup.dev/final-snapshot";
/// The tag's value.
pub const SKIP: &str = "skip";

/// An RDS instance. RDS makes the master password, and keeps it in Secrets Manager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// Its identifier, unique in the region.
    pub identifier: String,
    /// `mariadb`, `mysql` or `postgres`.
    pub engine: String,
    /// The version, in whole or without its last parts.
    pub version: String,
    /// The instance class, as in `db.t4g.small`.
    pub instance_class: String,
    /// The volume.
    pub storage: Storage,
    /// `gp3` or `gp2`.
    pub storage_type: String,
    /// The database (schema) that is made at the start.
    pub database_name: Option<String>,
    /// The master user.
    pub username: String,
    /// The port that it listens on.
    pub port: u16,
    /// The subnets in which it may stand.
    pub subnet_group: Reference<SubnetGroupName>,
    /// Who lets whom in.
    pub security_groups: BTreeSet<Reference<SecurityGroupId>>,
    /// Whether a standby waits in a second zone.
    pub multi_az: bool,
    /// Whether it has a public address.
    pub public: bool,
    /// How many days of automated backups are kept.
    pub backup_retention_days: u8,
    /// Whether it refuses to be deleted.
    pub deletion_protection: bool,
    /// Whether a last snapshot is taken when it is deleted.
    pub final_snapshot: bool,
    /// Whether the volume is encrypted.
    pub encrypted: bool,
    /// With which KMS key.
    pub kms_key_id: Option<String>,
    /// Whether RDS keeps the master password in Secrets Manager.
    pub managed_password: bool,
    /// Whether RDS moves it to new patch levels by itself.
    pub minor_upgrades: bool,
    /// Whether snapshots carry its tags.
    pub copy_tags: bool,
    /// Whether changes that mean an outage are made at once.
    pub apply_immediately: bool,
    /// What waits for the maintenance window, by field. Wanted empty where changes are made at once.
    pub pending: Option<BTreeMap<String, String>>,
}

/// The volume of a database, in GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Its size.
    pub size: u32,
    /// How far RDS may grow it by itself, if it may.
    pub grows_to: Option<u32>,
}

/// What others may refer to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// The identifier.
    pub id: String,
    /// The ARN.
    pub arn: String,
    /// The DNS name, once there is one.
    pub endpoint: Option<String>,
    /// The port, once there is an endpoint.
    pub port: Option<u16>,
    /// The ARN of the secret with the master password.
    pub secret_arn: Option<String>,
    /// Whether nothing may wait for the maintenance window, while a change is being waited for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_once: bool,
}

impl Describe for Database {
    const FACTS: Facts = Facts {
        fields: judgement::FIELDS,
        judge: judgement::judge,
        outputs: &["id", "arn", "endpoint", "port", "secretArn"],
        loss: Loss::Data("everything in the database"),
        references: &[("subnetGroup", &["db-subnet-group"]), ("securityGroups", &["security-group"])],
        volatile: &[("port", &["port"]), ("secretArn", &["managedPassword"])],
        protected: judgement::protected,
        rooted_in: Some("vpc"),
        ..Facts::new("database")
    };
}

impl Handle<Database> {
    /// The identifier.
    pub fn id(&self) -> Reference<Text> {
        self.output("id")
    }

    /// The DNS name.
    pub fn endpoint(&self) -> Reference<Text> {
        self.output("endpoint")
    }

    /// The ARN of the secret with the master password.
    pub fn secret_arn(&self) -> Reference<Text> {
        self.output("secretArn")
    }
}

impl Kind for Database {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let shown = look(reads, &names::database(&reads.stack)).await?;
        let Some(instance) = shown.as_ref() else { return Ok(Vec::new()) };
        let tags = tagging::from_rds(instance.tag_list());
        let Some(address) = reads.address_in(&tags) else { return Ok(Vec::new()) };
        let body = shown::body(instance, &tags);
        let state = shown::state(instance.db_instance_status().unwrap_or_default());
        Ok(vec![Found { address, body, outputs: shown::outputs(instance), tags, state }])
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .rds
            .create_db_instance()
            .db_instance_identifier(&self.identifier)
            .engine(&self.engine)
            .engine_version(&self.version)
            .db_instance_class(&self.instance_class)
            .allocated_storage(to_i32(self.storage.size))
            .set_max_allocated_storage(self.storage.grows_to.map(to_i32))
            .storage_type(&self.storage_type)
            .set_db_name(self.database_name.clone())
            .master_username(&self.username)
            .manage_master_user_password(self.managed_password)
            .port(i32::from(self.port))
            .db_subnet_group_name(self.subnet_group.as_str())
            .set_vpc_security_group_ids(Some(self.security_group_ids()))
            .multi_az(self.multi_az)
            .publicly_accessible(self.public)
            .backup_retention_period(i32::from(self.backup_retention_days))
            .deletion_protection(self.deletion_protection)
            .storage_encrypted(self.encrypted)
            .set_kms_key_id(self.kms_key_id.clone())
            .auto_minor_version_upgrade(self.minor_upgrades)
            .copy_tags_to_snapshot(self.copy_tags)
            .set_engine_lifecycle_support(self.lifecycle_support().map(str::to_owned))
            .set_tags(Some(tagging::rds(&work.tags)));
        let answer = call("rds:CreateDBInstance", sending.send()).await?;
        Ok(Made::settling(outputs_of(answer.db_instance(), "rds:CreateDBInstance")?))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        if work.fields.iter().all(|change| change.field == "finalSnapshot") {
            return Ok(Made::ready(found.outputs.clone()));
        }
        let when = |field: &str| work.changes(field);
        let sending = work
            .cloud
            .write
            .rds
            .modify_db_instance()
            .db_instance_identifier(&found.outputs.id)
            .apply_immediately(self.apply_immediately)
            .set_engine_version(when("version").then(|| self.version.clone()))
            .set_allow_major_version_upgrade(when("version").then_some(true))
            .set_db_instance_class(when("instanceClass").then(|| self.instance_class.clone()))
            .set_allocated_storage(self.new_size(found).map(to_i32))
            .set_max_allocated_storage(when("storage").then(|| to_i32(self.ceiling(found))))
            .set_storage_type(when("storageType").then(|| self.storage_type.clone()))
            .set_db_port_number(when("port").then(|| i32::from(self.port)))
            .set_db_subnet_group_name(when("subnetGroup").then(|| self.subnet_group.to_string()))
            .set_vpc_security_group_ids(when("securityGroups").then(|| self.security_group_ids()))
            .set_multi_az(when("multiAz").then_some(self.multi_az))
            .set_publicly_accessible(when("public").then_some(self.public))
            .set_backup_retention_period(when("backupRetentionDays").then(|| i32::from(self.backup_retention_days)))
            .set_deletion_protection(when("deletionProtection").then_some(self.deletion_protection))
            .set_manage_master_user_password(when("managedPassword").then_some(self.managed_password))
            .set_auto_minor_version_upgrade(when("minorUpgrades").then_some(self.minor_upgrades))
            .set_copy_tags_to_snapshot(when("copyTags").then_some(self.copy_tags));
        let answer = call("rds:ModifyDBInstance", sending.send()).await?;
        let outputs = outputs_of(answer.db_instance(), "rds:ModifyDBInstance")?;
        Ok(Made::settling(Outputs { at_once: self.apply_immediately, ..outputs }))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        if found.state == State::Deleting {
            return Ok(());
        }
        let identifier = &found.outputs.id;
        let sending = work.cloud.write.rds.delete_db_instance().db_instance_identifier(identifier);
        // RDS takes no snapshot of what has failed, and then deletes only without one.
        let takes_snapshot = found.body.final_snapshot && !matches!(found.state, State::Failed(_));
        let sending = match takes_snapshot {
            true => sending.final_db_snapshot_identifier(final_snapshot_name(identifier, &work.token)),
            false => sending.skip_final_snapshot(true),
        };
        let answer = existing(call("rds:DeleteDBInstance", sending.send()).await);
        match answer {
            // An earlier call of this deletion has taken the snapshot already.
            Err(error) if error.code.as_deref() == Some("DBSnapshotAlreadyExists") => {
                going(identifier, work, error).await
            }
            other => other.map(drop),
        }
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Rds(outputs.arn.clone())
    }

    async fn progress(outputs: Outputs, work: &Work) -> Result<Progress<Outputs>, CloudError> {
        let sending = work.cloud.read.rds.describe_db_instances().db_instance_identifier(&outputs.id);
        let answer = call("rds:DescribeDBInstances", sending.send()).await?;
        let instance = answer.db_instances().first();
        let instance = instance.ok_or_else(|| CloudError::incomplete("rds:DescribeDBInstances", "instance"))?;
        Ok(shown::progress(instance, outputs.at_once))
    }

    async fn remains(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        Ok(status(&found.outputs.id, work).await?.map(|status| format!("status is `{status}`")))
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let shown = look(reads, &self.identifier).await?;
        let tags = shown.as_ref().as_ref().map(|instance| tagging::from_rds(instance.tag_list()));
        Ok(tags.filter(|tags| reads.address_in(tags).is_none()).map(|_| {
            format!(
                "a database called `{}` exists already and does not belong to this stack: give the stack another name",
                self.identifier
            )
        }))
    }
}

impl Database {
    fn security_group_ids(&self) -> Vec<String> {
        self.security_groups.iter().map(ToString::to_string).collect()
    }

    /// Keeps MySQL and PostgreSQL out of extended support, which is charged for. MariaDB has none.
    fn lifecycle_support(&self) -> Option<&'static str> {
        (self.engine != "mariadb").then_some("open-source-rds-extended-support-disabled")
    }

    /// The size to grow to. What RDS has grown beyond the wish by itself stays as it is.
    fn new_size(&self, found: &Found<Self>) -> Option<u32> {
        (self.storage.size > found.body.storage.size).then_some(self.storage.size)
    }

    /// The ceiling to write: the size itself means that RDS grows nothing.
    fn ceiling(&self, found: &Found<Self>) -> u32 {
        self.storage.grows_to.unwrap_or(self.storage.size.max(found.body.storage.size))
    }
}

/// The name of the snapshot that is taken when a database is deleted, another one for each deletion.
fn final_snapshot_name(identifier: &str, token: &str) -> String {
    format!("{}{}", final_snapshot_prefix(identifier), Fingerprint::short(token, 8))
}

/// Whether a snapshot is called as the last one of the database `identifier` is.
pub fn is_final_snapshot_of(identifier: &str, snapshot: &str) -> bool {
    snapshot.starts_with(&final_snapshot_prefix(identifier))
}

fn final_snapshot_prefix(identifier: &str) -> String {
    format!("{identifier}-final-")
}

/// The instance called `identifier`, whoever it belongs to.
///
/// # Errors
/// The failure of the call.
pub(super) async fn look(reads: &Reads, identifier: &str) -> Result<Arc<Option<DbInstance>>, CloudError> {
    reads
        .once(format!("rds:DescribeDBInstances/{identifier}"), || async {
            let sending = reads.cloud.read.rds.describe_db_instances().db_instance_identifier(identifier);
            let answer = existing(call("rds:DescribeDBInstances", sending.send()).await)?;
            Ok(answer.and_then(|answer| answer.db_instances().first().cloned()))
        })
        .await
}

/// Where the instance is, or `None` if it is gone.
async fn status(identifier: &str, work: &Work) -> Result<Option<String>, CloudError> {
    let sending = work.cloud.read.rds.describe_db_instances().db_instance_identifier(identifier);
    let answer = existing(call("rds:DescribeDBInstances", sending.send()).await)?;
    let instance = answer.as_ref().and_then(|answer| answer.db_instances().first());
    Ok(instance.map(|instance| instance.db_instance_status().unwrap_or("unknown").to_owned()))
}

/// Success if the instance is on its way out, `error` if it is not.
async fn going(identifier: &str, work: &Work, error: CloudError) -> Result<(), CloudError> {
    match status(identifier, work).await? {
        Some(status) if shown::state(&status) != State::Deleting => Err(error),
        _ => Ok(()),
    }
}

fn outputs_of(instance: Option<&DbInstance>, action: &'static str) -> Result<Outputs, CloudError> {
    instance.map(shown::outputs).ok_or_else(|| CloudError::incomplete(action, "instance"))
}

fn to_i32(size: u32) -> i32 {
    i32::try_from(size).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_deletion_has_a_snapshot_of_its_own_and_a_repeated_call_the_same() {
        let name = final_snapshot_name("shop-database", "one");
        assert!(name.starts_with("shop-database-final-"), "{name}");
        assert_eq!(name, final_snapshot_name("shop-database", "one"));
        assert_ne!(name, final_snapshot_name("shop-database", "two"));
    }
}
