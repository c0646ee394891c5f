//! Formats of ARNs, and of KMS keys, which can be named in other ways too.

use super::aws::is_region;
use super::{Complaint, made_of};

/// The six parts of an ARN: `arn`, partition, service, region, account, resource.
fn arn_parts(text: &str) -> Option<[&str; 6]> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let parts: [&str; 6] = parts.try_into().ok()?;
    let partition = parts[1] == "aws" || parts[1].starts_with("aws-");
    (parts[0] == "arn" && partition && !parts[5].is_empty()).then_some(parts)
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && made_of(text, |digit| digit.is_ascii_digit())
}

pub(super) fn principal_arn(text: &str) -> Result<(), Complaint> {
    let help = "write the ARN of an IAM role or user: `arn:aws:iam::<account>:role/<name>`";
    let Some([_, partition, service, _, account, resource]) = arn_parts(text) else {
        return Err(Complaint::new("not an ARN", help));
    };
    if service == "sts"
        && let Some(role) = resource.strip_prefix("assumed-role/").and_then(|rest| rest.split('/').next())
    {
        return Err(Complaint::new(
            "the ARN of a session, not of a role",
            format!(
                "write the role's own ARN, `arn:{partition}:iam::{account}:role/{role}` (with its path, if it has one)"
            ),
        )
        .because("an access entry belongs to the role, and not to one of its sessions"));
    }
    if resource.starts_with("role/aws-service-role/") {
        return Err(Complaint::new("a service-linked role", "name a role or user of your own")
            .because("EKS refuses access entries for service-linked roles"));
    }
    if resource == "root" {
        return Err(Complaint::new("the root of an account", help).because("an access entry is for one role or user"));
    }
    let named = |prefix: &str| resource.strip_prefix(prefix).is_some_and(|name| !name.is_empty());
    match service == "iam" && is_account(account) && (named("role/") || named("user/")) {
        true => Ok(()),
        false if !is_account(account) && service == "iam" => {
            Err(Complaint::new("an ARN without a 12-digit account number", help))
        }
        false => Err(Complaint::new("not the ARN of an IAM role or user", help)),
    }
}

pub(super) fn policy_arn(text: &str) -> Result<(), Complaint> {
    let help = "write the ARN of a managed policy, such as `arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess`";
    let parts = arn_parts(text);
    let is_policy = parts.is_some_and(|[_, _, service, _, account, resource]| {
        let named = resource.strip_prefix("policy/").is_some_and(|name| !name.is_empty());
        service == "iam" && named && (account == "aws" || is_account(account))
    });
    match is_policy {
        true => Ok(()),
        false if parts.is_some() => Err(Complaint::new("not the ARN of an IAM policy", help)),
        false => Err(Complaint::new("not an ARN", help)),
    }
}

pub(super) fn kms_key_arn(text: &str) -> Result<(), Complaint> {
    let is_key = arn_parts(text).is_some_and(|[_, _, service, region, account, resource]| {
        service == "kms" && is_region(region) && is_account(account) && resource.starts_with("key/")
    });
    match is_key {
        true => Ok(()),
        false => Err(Complaint::new(
            "not the ARN of a KMS key",
            "write the key's own ARN: `arn:aws:kms:<region>:<account>:key/<id>`",
        )
        .because("EKS takes no aliases and no bare key ids")),
    }
}

pub(super) fn kms_key(text: &str) -> Result<(), Complaint> {
    let hexadecimal = |character: char| character.is_ascii_hexdigit() || character == '-';
    let is_id = text.len() == 36 && made_of(text, hexadecimal);
    let is_multi_region = text.strip_prefix("mrk-").is_some_and(|id| made_of(id, hexadecimal));
    let is_alias = text.strip_prefix("alias/").is_some_and(|name| !name.is_empty());
    let is_arn = arn_parts(text).is_some_and(|[_, _, service, region, account, resource]| {
        let kind = resource.starts_with("key/") || resource.starts_with("alias/");
        service == "kms" && is_region(region) && is_account(account) && kind
    });
    match is_id || is_multi_region || is_alias || is_arn {
        true => Ok(()),
        false => {
            Err(Complaint::new("not a KMS key", "write the key's ARN, its id, or an alias such as `alias/database`"))
        }
    }
}
