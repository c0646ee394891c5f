//! The control plane, its role, its logs, and who may use it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cluster, Draft, Network, OidcProvider, names, pod_role, trust};
use crate::aws::access_entry::AccessEntry;
use crate::aws::cluster;
use crate::aws::log_group::{self, LogGroup};
use crate::aws::oidc_provider;
use crate::aws::role::Role;
use crate::plan::{Handle, Reference};
use crate::spec::{self, Cidr, IdentityMode, UpgradePolicy};

/// How long the control plane's logs are kept.
const RETENTION_DAYS: i32 = 90;

/// Declares the cluster of the stack, if it has one.
pub fn declare(draft: &mut Draft<'_>, network: &Network) -> Option<Cluster> {
    let wanted = draft.stack.cluster.as_ref()?;
    let role = declare_role(draft);
    let body = body(draft, wanted, network, &role);
    let logs = (!wanted.logging.is_empty()).then(|| declare_logs(draft));
    let cluster = draft.resources.add("cluster/cluster", body);
    if let Some(logs) = logs {
        draft.resources.order(&cluster, logs.address());
    }
    declare_access(draft, wanted, &cluster);
    let oidc_provider = (pod_role::mode(draft.stack) == IdentityMode::Irsa).then(|| declare_issuer(draft, &cluster));
    Some(Cluster {
        address: cluster.address().clone(),
        name: cluster.name(),
        arn: draft.cluster_arn(),
        security_group: cluster.security_group(),
        issuer: cluster.issuer(),
        oidc_provider,
    })
}

fn declare_role(draft: &mut Draft<'_>) -> Handle<Role> {
    let body = Role {
        name: draft.iam_name("cluster"),
        path: names::iam_path(draft.name(), draft.region()),
        description: format!("EKS control plane of {}", draft.name()),
        trust: trust::service("eks.amazonaws.com"),
        managed_policies: BTreeSet::from([draft.managed_policy("AmazonEKSClusterPolicy")]),
        inline_policies: BTreeMap::new(),
    };
    draft.resources.add("cluster/role/cluster", body)
}

/// EKS would make the log group by itself, without a retention and without tags.
fn declare_logs(draft: &mut Draft<'_>) -> Handle<LogGroup> {
    let body = LogGroup { name: log_group::name_for(draft.name()), retention_days: RETENTION_DAYS };
    draft.resources.add(log_group::ADDRESS, body)
}

fn body(draft: &Draft<'_>, wanted: &spec::Cluster, network: &Network, role: &Handle<Role>) -> cluster::Cluster {
    let subnets = if network.private.is_empty() { &network.public } else { &network.private };
    let endpoint = &wanted.endpoint;
    cluster::Cluster {
        name: draft.name().to_owned(),
        version: wanted.version.to_string(),
        role: role.arn(),
        subnets: subnets.iter().map(|subnet| subnet.id.clone()).collect(),
        security_groups: BTreeSet::new(),
        endpoint_public: endpoint.public,
        endpoint_private: endpoint.private,
        public_cidrs: endpoint.public.then(|| endpoint.public_cidrs.iter().map(Cidr::to_string).collect()),
        logging: wanted.logging.iter().map(|log| log.as_str().to_owned()).collect(),
        upgrade_policy: match wanted.upgrade_policy {
            UpgradePolicy::Standard => "STANDARD".to_owned(),
            UpgradePolicy::Extended => "EXTENDED".to_owned(),
        },
        deletion_protection: wanted.deletion_protection,
        service_cidr: wanted.service_cidr.map(|cidr| cidr.to_string()),
        secrets_key: wanted.secrets_key.clone().unwrap_or_default(),
        authentication_mode: "API".to_owned(),
        bootstrap_self_managed_addons: false,
        bootstrap_cluster_creator_admin_permissions: true,
    }
}

/// One entry for each who is named, with all that it may do.
fn declare_access(draft: &mut Draft<'_>, wanted: &spec::Cluster, cluster: &Handle<cluster::Cluster>) {
    let mut entries: BTreeMap<&str, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for access in &wanted.access {
        let policies = entries.entry(&access.principal).or_default();
        policies.insert(access.policy.policy_name().to_owned(), access.namespaces.iter().cloned().collect());
    }
    for (principal, policies) in entries {
        let body = AccessEntry {
            cluster: cluster.name(),
            principal: Reference::known(principal),
            principal_id: None,
            entry_type: "STANDARD".to_owned(),
            policies,
        };
        draft.resources.add(format!("cluster/access-entry/{}", label(principal)), body);
    }
}

/// A principal in an address: its account, whether it is a user or a role, and its name.
fn label(principal: &str) -> String {
    let mut parts = principal.splitn(6, ':').skip(4);
    let (account, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or(principal));
    let allowed = |character: char| character.is_ascii_alphanumeric() || "+-=._:/@".contains(character);
    let text = format!("{account}/{name}").replace(|character: char| !allowed(character), "-");
    names::shortened(text, 120)
}

fn declare_issuer(draft: &mut Draft<'_>, cluster: &Handle<cluster::Cluster>) -> OidcProvider {
    let client_ids = BTreeSet::from(["sts.amazonaws.com".to_owned()]);
    let body = oidc_provider::OidcProvider { url: cluster.issuer(), client_ids };
    let provider = draft.resources.add("cluster/oidc-provider", body);
    OidcProvider { arn: provider.arn(), issuer: provider.issuer() }
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn a_principal_is_named_by_account_kind_and_name() {
        assert_eq!(label("arn:aws:iam::111122223333:role/people/admin"), "111122223333/role/people/admin");
        assert_eq!(label("arn:aws:iam::111122223333:user/ann"), "111122223333/user/ann");
        assert_eq!(label("arn:aws:iam::111122223333:user/a,b"), "111122223333/user/a-b");
        assert!(label(&format!("arn:aws:iam::111122223333:role/{}", "x".repeat(500))).len() <= 120);
    }
}
