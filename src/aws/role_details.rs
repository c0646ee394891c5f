//! Many roles at once. Asked one by one a role takes three calls and one more for each policy of its
//! own; IAM can also hand out whole roles by the hundred, but only those of the whole account.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_iam::types::{self, EntityType};

use super::error::{Class, CloudError, call};
use super::policy_document;
use super::reads::Reads;
use super::role;
use super::role_attachments::Attachments;
use super::tagging;
use crate::plan::Tags;

/// What the list of roles does not say of a role.
#[derive(Debug, Clone)]
pub struct Details {
    /// Its tags.
    pub tags: Tags,
    /// What is attached to it.
    pub attachments: Attachments,
}

/// What a few calls have told of the account's roles.
#[derive(Debug, Default)]
pub struct Known {
    /// The stack's own, by name.
    pub ours: BTreeMap<String, Details>,
    /// The ARNs of those that AWS has made for its services, by name.
    pub service_linked: BTreeMap<String, String>,
}

/// The path of the roles that AWS makes for its services.
const SERVICE_LINKED: &str = "/aws-service-role/";

/// From how many roles on it pays to ask for the account's.
const WORTH_IT: usize = 3;
/// How many roles to take at a time.
const PAGE: i32 = 500;
/// How many pages to take at most: in an account with more roles ours are asked one by one.
const PAGES: usize = 2;

const ACTION: &str = "iam:GetAccountAuthorizationDetails";

/// The details of the stack's roles, as many as are found in a few calls. The others, and all of them where
/// the caller may not ask, are left to be asked one by one.
///
/// # Errors
/// A failure other than a denial.
pub async fn known(reads: &Reads) -> Result<Arc<Known>, CloudError> {
    reads
        .once(ACTION, || async {
            let roles = role::list(reads).await?;
            let names: Vec<&str> = roles.iter().map(types::Role::role_name).collect();
            if names.len() < WORTH_IT { Ok(Known::default()) } else { ask(&names, reads).await }
        })
        .await
}

async fn ask(names: &[&str], reads: &Reads) -> Result<Known, CloudError> {
    let mut known = Known::default();
    let mut marker = None;
    for _ in 0..PAGES {
        let sending = reads
            .cloud
            .read
            .iam
            .get_account_authorization_details()
            .filter(EntityType::Role)
            .max_items(PAGE)
            .set_marker(marker);
        let page = match call(ACTION, sending.send()).await {
            Err(error) if error.class == Class::Denied => return Ok(known),
            other => other?,
        };
        for role in page.role_detail_list() {
            let Some(name) = role.role_name() else { continue };
            if names.contains(&name) {
                known.ours.insert(name.to_owned(), details_of(role)?);
            } else if role.path().is_some_and(|path| path.starts_with(SERVICE_LINKED)) {
                known.service_linked.insert(name.to_owned(), role.arn().unwrap_or_default().to_owned());
            }
        }
        marker = page.marker;
        if known.ours.len() == names.len() || !page.is_truncated || marker.is_none() {
            break;
        }
    }
    Ok(known)
}

fn details_of(role: &types::RoleDetail) -> Result<Details, CloudError> {
    let managed = role.attached_managed_policies().iter().filter_map(|policy| policy.policy_arn());
    let mut inline = BTreeMap::new();
    for policy in role.role_policy_list() {
        if let (Some(name), Some(document)) = (policy.policy_name(), policy.policy_document()) {
            inline.insert(name.to_owned(), policy_document::parse(ACTION, document)?);
        }
    }
    let attachments = Attachments { managed: managed.map(str::to_owned).collect(), inline };
    Ok(Details { tags: tagging::from_iam(role.tags()), attachments })
}
