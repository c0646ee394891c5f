//! Roles for the service accounts that the user names.

use std::collections::BTreeMap;

use super::pod_role::{self, Purpose};
use super::trust::Account;
use super::{Cluster, Draft};
use crate::spec::ServiceAccount;

/// The name of the policy that a policy file becomes.
const POLICY: &str = "permissions";

/// Declares a role for each service account in the file.
pub fn declare(draft: &mut Draft<'_>, cluster: &Cluster) {
    let accounts: &[ServiceAccount] =
        draft.stack.identity.as_ref().map(|identity| identity.service_accounts.as_slice()).unwrap_or_default();
    for account in accounts {
        let purpose = Purpose {
            phase: "identity",
            name: format!("{}/{}", account.namespace, account.name),
            description: format!("Pods of {}/{} in {}", account.namespace, account.name, draft.name()),
            managed_policies: account.managed_policies.iter().cloned().collect(),
            inline_policies: account
                .policy
                .iter()
                .map(|policy| (POLICY.to_owned(), policy.clone()))
                .collect::<BTreeMap<_, _>>(),
        };
        pod_role::declare(draft, cluster, Account { namespace: &account.namespace, name: &account.name }, purpose);
    }
}
