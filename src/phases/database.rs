//! The database: one RDS instance in the private subnets, and who may reach it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bastion, Cluster, Draft, Network, names};
use crate::aws::database::{self, FINAL_SNAPSHOT, SKIP, Storage};
use crate::aws::db_subnet_group::DbSubnetGroup;
use crate::aws::ports::Ports;
use crate::aws::security_group::SecurityGroup;
use crate::aws::security_group_rule::{Direction, Peer, SecurityGroupRule};
use crate::plan::{Handle, Tags};
use crate::spec::{Database, DatabaseEngine};

/// Declares the database of the stack, if it wants one. The database waits for neither cluster nor
/// bastion: only the rules that let them in do.
pub fn declare(
    draft: &mut Draft<'_>,
    network: &Network,
    bastion: Option<&Bastion>,
    cluster: Option<&Cluster>,
) -> Option<Handle<database::Database>> {
    let wanted = draft.stack.database.as_ref()?;
    let subnets = declare_subnets(draft, network);
    let group = declare_security_group(draft, network);
    declare_rules(draft, wanted, &group, bastion, cluster);
    let body = body(draft, wanted, &subnets, &group);
    let tags = if wanted.final_snapshot { Tags::new() } else { Tags::from([(FINAL_SNAPSHOT.into(), SKIP.into())]) };
    Some(draft.resources.add_tagged("database/instance", body, tags))
}

fn declare_subnets(draft: &mut Draft<'_>, network: &Network) -> Handle<DbSubnetGroup> {
    let body = DbSubnetGroup {
        name: names::database(draft.name()),
        description: format!("Where the database of {} may stand", draft.name()),
        subnets: network.private.iter().map(|subnet| subnet.id.clone()).collect(),
    };
    draft.resources.add("database/subnet-group", body)
}

fn declare_security_group(draft: &mut Draft<'_>, network: &Network) -> Handle<SecurityGroup> {
    let body = SecurityGroup {
        name: names::database(draft.name()),
        description: format!("The database of {}", draft.name()),
        vpc: network.vpc.clone(),
        open_egress: false,
    };
    draft.resources.add("database/security-group", body)
}

/// The bastion, the cluster's nodes, and the networks that the file names may connect.
fn declare_rules(
    draft: &mut Draft<'_>,
    wanted: &Database,
    group: &Handle<SecurityGroup>,
    bastion: Option<&Bastion>,
    cluster: Option<&Cluster>,
) {
    let port = i32::from(wanted.port());
    let of_bastion = bastion.map(|bastion| ("bastion".to_owned(), Peer::Group(bastion.security_group.clone())));
    let of_cluster = cluster.map(|cluster| ("cluster".to_owned(), Peer::Group(cluster.security_group.clone())));
    let of_networks = wanted.allow_from.iter().map(|cidr| (cidr.to_string(), Peer::Cidr(cidr.to_string())));
    for (from, peer) in of_bastion.into_iter().chain(of_cluster).chain(of_networks) {
        let rule = SecurityGroupRule {
            group: group.id(),
            direction: Direction::Ingress,
            protocol: "tcp".to_owned(),
            ports: Some(Ports::one(port)),
            peer,
            description: format!("{} from {from}", wanted.engine.title()),
        };
        draft.resources.add(format!("database/security-group-rule/{from}"), rule);
    }
}

fn body(
    draft: &Draft<'_>,
    wanted: &Database,
    subnets: &Handle<DbSubnetGroup>,
    group: &Handle<SecurityGroup>,
) -> database::Database {
    database::Database {
        identifier: names::database(draft.name()),
        engine: wanted.engine.as_str().to_owned(),
        version: wanted.version.clone(),
        instance_class: wanted.instance_class.clone(),
        storage: Storage { size: wanted.storage.0, grows_to: wanted.max_storage.map(|size| size.0) },
        storage_type: wanted.storage_type.as_str().to_owned(),
        database_name: wanted.name.clone(),
        username: wanted.username().to_owned(),
        port: wanted.port(),
        subnet_group: subnets.name(),
        security_groups: BTreeSet::from([group.id()]),
        multi_az: wanted.multi_az,
        public: false,
        backup_retention_days: wanted.backup_retention_days,
        deletion_protection: wanted.deletion_protection,
        final_snapshot: wanted.final_snapshot,
        encrypted: wanted.encrypted,
        kms_key_id: wanted.kms_key_id.clone(),
        managed_password: true,
        minor_upgrades: !names_patch_level(wanted.engine, &wanted.version),
        copy_tags: true,
        apply_immediately: wanted.apply_immediately,
        pending: wanted.apply_immediately.then(BTreeMap::new),
    }
}

/// Whether a version says which patch level. RDS would move the database past it by itself.
fn names_patch_level(engine: DatabaseEngine, version: &str) -> bool {
    let parts_of_a_series = if engine == DatabaseEngine::Postgres { 1 } else { 2 };
    version.split('.').count() > parts_of_a_series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rds_moves_only_a_database_whose_patch_level_is_left_to_it() {
        assert!(!names_patch_level(DatabaseEngine::Mariadb, "10.11"));
        assert!(names_patch_level(DatabaseEngine::Mariadb, "10.11.6"));
        assert!(!names_patch_level(DatabaseEngine::Postgres, "16"));
        assert!(names_patch_level(DatabaseEngine::Postgres, "16.3"));
    }
}
