//! What RDS shows of a database, read as the stack would have written it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_rds::types::{DbInstance, PendingModifiedValues, VpcSecurityGroupMembership};

use super::{Database, FINAL_SNAPSHOT, Outputs, SKIP, Storage};
use crate::aws::kind::Progress;
use crate::plan::{Reference, State, Tags};

/// The fields of an instance. What waits for the maintenance window counts as done, and is listed.
pub fn body(instance: &DbInstance, tags: &Tags) -> Database {
    let waiting = instance.pending_modified_values();
    let pending = pending(waiting);
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    Database {
        identifier: text(instance.db_instance_identifier()),
        engine: text(instance.engine()),
        version: text(waiting.and_then(|waiting| waiting.engine_version()).or(instance.engine_version())),
        instance_class: text(waiting.and_then(|waiting| waiting.db_instance_class()).or(instance.db_instance_class())),
        storage: storage(instance, waiting),
        storage_type: text(waiting.and_then(|waiting| waiting.storage_type()).or(instance.storage_type())),
        database_name: instance.db_name().map(str::to_owned),
        username: text(instance.master_username()),
        port: waiting
            .and_then(|waiting| waiting.port())
            .and_then(to_u16)
            .or_else(|| port(instance))
            .unwrap_or_default(),
        subnet_group: Reference::known(text(subnet_group(instance, waiting))),
        security_groups: security_groups(instance.vpc_security_groups()),
        multi_az: waiting.and_then(|waiting| waiting.multi_az()).or(instance.multi_az()).unwrap_or_default(),
        public: instance.publicly_accessible().unwrap_or_default(),
        backup_retention_days: backup_days(instance, waiting),
        deletion_protection: instance.deletion_protection().unwrap_or_default(),
        final_snapshot: tags.get(FINAL_SNAPSHOT).is_none_or(|value| value != SKIP),
        encrypted: instance.storage_encrypted().unwrap_or_default(),
        kms_key_id: instance.kms_key_id().map(str::to_owned),
        managed_password: instance.master_user_secret().is_some(),
        minor_upgrades: instance.auto_minor_version_upgrade().unwrap_or_default(),
        copy_tags: instance.copy_tags_to_snapshot().unwrap_or_default(),
        apply_immediately: false,
        pending: Some(pending),
    }
}

/// What others may refer to.
pub fn outputs(instance: &DbInstance) -> Outputs {
    Outputs {
        id: instance.db_instance_identifier().unwrap_or_default().to_owned(),
        arn: instance.db_instance_arn().unwrap_or_default().to_owned(),
        endpoint: instance.endpoint().and_then(|endpoint| endpoint.address()).map(str::to_owned),
        port: port(instance),
        secret_arn: instance.master_user_secret().and_then(|secret| secret.secret_arn()).map(str::to_owned),
        at_once: false,
    }
}

/// How far along an instance with this status is.
///
/// What RDS does in the background without taking the database away (backups, optimisation) counts
/// as ready. What a person can mend (a full volume, wrong parameters) counts as ready too: calling
/// it failed would have it replaced.
pub fn state(status: &str) -> State {
    match status {
        "deleting" | "delete-precheck" => State::Deleting,
        "failed" | "incompatible-restore" | "incompatible-network" | "insufficient-capacity" | "restore-error" => {
            State::Failed(format!("status is `{status}`"))
        }
        "available"
        | "backing-up"
        | "storage-optimization"
        | "storage-initialization"
        | "storage-config-upgrade"
        | "configuring-enhanced-monitoring"
        | "configuring-iam-database-auth"
        | "configuring-log-exports"
        | "configuring-associated-roles"
        | "stopped"
        | "storage-full"
        | "incompatible-parameters"
        | "incompatible-option-group"
        | "incompatible-credentials"
        | "inaccessible-encryption-credentials"
        | "inaccessible-encryption-credentials-recoverable" => State::Ready,
        other => State::Changing(other.to_owned()),
    }
}

/// How far a creation or a change has come. With `at_once`, nothing may be waiting any more.
pub fn progress(instance: &DbInstance, at_once: bool) -> Progress<Outputs> {
    let status = instance.db_instance_status().unwrap_or_default();
    let pending = pending(instance.pending_modified_values());
    match state(status) {
        State::Ready if instance.endpoint().is_none() => Progress::Waiting("it has no endpoint yet".to_owned()),
        State::Ready if at_once && !pending.is_empty() => {
            let fields: Vec<&str> = pending.keys().map(String::as_str).collect();
            Progress::Waiting(format!("RDS has still to apply {}", fields.join(", ")))
        }
        State::Ready => Progress::Ready(outputs(instance)),
        State::Failed(why) => Progress::Failed(why),
        State::Deleting => Progress::Failed("somebody deletes it".to_owned()),
        State::Changing(status) => Progress::Waiting(format!("status is `{status}`")),
    }
}

/// What waits for the maintenance window, by the name of the field.
fn pending(waiting: Option<&PendingModifiedValues>) -> BTreeMap<String, String> {
    let Some(waiting) = waiting else { return BTreeMap::new() };
    let number = |value: Option<i32>| value.map(|value| value.to_string());
    let text = |value: Option<&str>| value.map(str::to_owned);
    [
        ("version", text(waiting.engine_version())),
        ("instanceClass", text(waiting.db_instance_class())),
        ("storage", waiting.allocated_storage().map(|size| format!("{size}Gi"))),
        ("storageType", text(waiting.storage_type())),
        ("port", number(waiting.port())),
        ("subnetGroup", text(waiting.db_subnet_group_name())),
        ("multiAz", waiting.multi_az().map(|value| value.to_string())),
        ("backupRetentionDays", number(waiting.backup_retention_period())),
    ]
    .into_iter()
    .filter_map(|(field, value)| Some((field.to_owned(), value?)))
    .collect()
}

fn storage(instance: &DbInstance, waiting: Option<&PendingModifiedValues>) -> Storage {
    let to_u32 = |size: i32| u32::try_from(size).ok();
    let size = waiting.and_then(|waiting| waiting.allocated_storage()).or(instance.allocated_storage());
    let size = size.and_then(to_u32).unwrap_or_default();
    // A ceiling that is no higher than the volume means that RDS grows nothing.
    let grows_to = instance.max_allocated_storage().and_then(to_u32).filter(|ceiling| *ceiling > size);
    Storage { size, grows_to }
}

fn subnet_group<'a>(instance: &'a DbInstance, waiting: Option<&'a PendingModifiedValues>) -> Option<&'a str> {
    let now = || instance.db_subnet_group().and_then(|group| group.db_subnet_group_name());
    waiting.and_then(|waiting| waiting.db_subnet_group_name()).or_else(now)
}

fn security_groups<T>(members: &[VpcSecurityGroupMembership]) -> BTreeSet<Reference<T>> {
    let staying = members.iter().filter(|member| member.status() != Some("removing"));
    staying.filter_map(|member| member.vpc_security_group_id()).map(Reference::known).collect()
}

fn backup_days(instance: &DbInstance, waiting: Option<&PendingModifiedValues>) -> u8 {
    let days = waiting.and_then(|waiting| waiting.backup_retention_period()).or(instance.backup_retention_period());
    days.and_then(|days| u8::try_from(days).ok()).unwrap_or_default()
}

/// The port, which RDS shows with the endpoint; before there is one, beside it.
fn port(instance: &DbInstance) -> Option<u16> {
    let endpoint = instance.endpoint().and_then(|endpoint| endpoint.port());
    endpoint.or(instance.db_instance_port()).and_then(to_u16).filter(|port| *port != 0)
}

fn to_u16(port: i32) -> Option<u16> {
    u16::try_from(port).ok()
}

#[cfg(test)]
mod tests {
    use aws_sdk_rds::types::Endpoint;

    use super::*;

    fn instance(waiting: Option<PendingModifiedValues>) -> DbInstance {
        DbInstance::builder()
            .db_instance_identifier("shop-database")
            .db_instance_status("available")
            .db_instance_class("db.t4g.small")
            .engine_version("10.11.6")
            .allocated_storage(20)
            .max_allocated_storage(20)
            .endpoint(Endpoint::builder().address("db.example.com").port(3306).build())
            .set_pending_modified_values(waiting)
            .build()
    }

    #[test]
    fn what_waits_for_the_window_counts_as_done_and_is_listed() {
        let waiting = PendingModifiedValues::builder().db_instance_class("db.t4g.large").build();
        let body = body(&instance(Some(waiting)), &Tags::new());
        assert_eq!(body.instance_class, "db.t4g.large");
        let listed = BTreeMap::from([("instanceClass".to_owned(), "db.t4g.large".to_owned())]);
        assert_eq!(body.pending, Some(listed));
    }

    #[test]
    fn an_instance_where_nothing_waits_lists_nothing() {
        let body = body(&instance(Some(PendingModifiedValues::builder().build())), &Tags::new());
        assert_eq!(body.pending, Some(BTreeMap::new()));
        assert_eq!(body.storage, Storage { size: 20, grows_to: None });
        assert_eq!(body.port, 3306);
    }

    #[test]
    fn a_change_at_once_is_not_done_while_it_waits() {
        let waiting = PendingModifiedValues::builder().multi_az(true).build();
        let instance = instance(Some(waiting));
        assert!(matches!(progress(&instance, true), Progress::Waiting(why) if why.contains("multiAz")));
        assert!(matches!(progress(&instance, false), Progress::Ready(_)));
    }

    #[test]
    fn only_what_cannot_be_mended_counts_as_failed() {
        assert_eq!(state("storage-optimization"), State::Ready);
        assert_eq!(state("storage-full"), State::Ready);
        assert_eq!(state("creating"), State::Changing("creating".to_owned()));
        assert_eq!(state("deleting"), State::Deleting);
        assert!(matches!(state("incompatible-network"), State::Failed(_)));
    }

    #[test]
    fn the_last_snapshot_is_left_out_only_where_the_tag_says_so() {
        let skip = Tags::from([(FINAL_SNAPSHOT.to_owned(), SKIP.to_owned())]);
        assert!(!body(&instance(None), &skip).final_snapshot);
        assert!(body(&instance(None), &Tags::new()).final_snapshot);
    }
}
