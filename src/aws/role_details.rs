//! Many roles at once. Asked one by one a role takes three calls and one more for each policy of its
//! own; IAM can also hand out whole roles by the hundred, but only those of the whole account.

use std::collections::BTreeMap;

use aws_sdk_iam::types::{self, EntityType};

use super::error::{Class, CloudError, call};
use super::policy_document;
use super::reads::Reads;
use super::role_attachments::Attachments;
use super::tagging;
use crate::plan::Tags;

/// What the list of roles does not say of a role.
#[derive(Debug)]
pub struct Details {
    /// Its tags.
    pub tags: Tags,
    /// What is attached to it.
    pub attachments: Attachments,
}

/// From how many roles on it pays to ask for the account's.
const WORTH_IT: usize = 3;
/// How many roles to take at a time.
const PAGE: i32 = 500;
/// How many pages to take at most: in an account with more roles ours are asked one by one.
const PAGES: usize = 2;

const ACTION: &str = "iam:GetAccountAuthorizationDetails";

/// The details of the roles called `names`, as many as are found in a few calls. The others, and all
/// of them where the caller may not ask, are left to be asked one by one.
///
/// # Errors
/// A failure other than a denial.
pub async fn of(names: &[&str], reads: &Reads) -> Result<BTreeMap<String, Details>, CloudError> {
    let mut details = BTreeMap::new();
    if names.len() < WORTH_IT {
        return Ok(details);
    }
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
            Err(error) if error.class == Class::Denied => return Ok(details),
            other => other?,
        };
        for role in page.role_detail_list() {
            let Some(name) = role.role_name().filter(|name| names.contains(name)) else { continue };
            details.insert(name.to_owned(), details_of(role)?);
        }
        marker = page.marker;
        if details.len() == names.len() || !page.is_truncated || marker.is_none() {
            break;
        }
    }
    Ok(details)
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
