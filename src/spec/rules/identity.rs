//! Rules for `identity`: service accounts, and the policy files that they name.

use std::path::Path as FilePath;

use serde_json::Value as Json;

use super::{Finding, Report, refuse_repetitions};
use crate::spec::document::{Node, Path};
use crate::spec::model::{ServiceAccount, Stack};
use crate::spec::problem::{Problem, quoted};

/// No policy is longer; what is, is another file.
const LARGEST_FILE: u64 = 64 * 1024;

/// What IAM allows all inline policies of a role together, white space not counted.
const LARGEST_POLICY: usize = 10_240;

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    let Some(identity) = &stack.identity else {
        return;
    };
    let accounts = &identity.service_accounts;
    let names: Vec<_> = accounts.iter().map(|account| (&account.namespace, &account.name)).collect();
    for (index, first) in super::repetitions(&names) {
        let (namespace, name) = names[index];
        report.add(
            Finding::new(
                account_path(index).key("name"),
                format!("{} is listed twice", quoted(&format!("{namespace}/{name}"))),
                "put the permissions of both under one; a service account has one role",
            )
            .see(account_path(first).key("name"), "first here")
            .given(account_path(index).key("namespace")),
        );
    }
    for (index, account) in accounts.iter().enumerate() {
        account_has_permissions(index, account, report);
        permissions_are_not_everything(index, account, report);
        let path = account_path(index).key("managedPolicies");
        refuse_repetitions(report, &path, &account.managed_policies, Clone::clone);
    }
}

fn account_path(index: usize) -> Path {
    Path::of("identity.serviceAccounts").index(index)
}

fn account_has_permissions(index: usize, account: &ServiceAccount, report: &mut Report<'_>) {
    if account.policy_file.is_none() && account.managed_policies.is_empty() {
        let path = account_path(index);
        report.add(
            Finding::new(
                path.key("name"),
                format!("the service account {} gets a role without permissions", quoted(&account.name)),
                "add `policyFile: <file>.json`, or `managedPolicies: [<ARN>]`",
            )
            .given(path.key("policyFile"))
            .given(path.key("managedPolicies")),
        );
    }
}

fn permissions_are_not_everything(index: usize, account: &ServiceAccount, report: &mut Report<'_>) {
    let path = account_path(index).key("managedPolicies");
    for (position, arn) in account.managed_policies.iter().enumerate() {
        if arn.ends_with(":policy/AdministratorAccess") {
            report.add(
                Finding::new(
                    path.index(position),
                    "this lets every pod of the service account do everything in the account",
                    "write a policy with what the pods need into a `policyFile`",
                )
                .warning(),
            );
        }
    }
}

/// Reads the policy files that the stack names, relative to `folder`, into the stack.
pub(crate) fn load_policies(stack: &mut Stack, folder: &FilePath, document: &Node, damaged: &[Path]) -> Vec<Problem> {
    let mut report = Report::new(document, damaged);
    let accounts = stack.identity.iter_mut().flat_map(|identity| &mut identity.service_accounts);
    for (index, account) in accounts.enumerate() {
        let Some(file) = &account.policy_file else {
            continue;
        };
        let path = account_path(index).key("policyFile");
        match read_policy(&folder.join(file)) {
            Ok(policy) => {
                if allows_everything(&policy) {
                    report.add(
                        Finding::new(
                            path,
                            format!("the policy {} allows every action on every resource", quoted(file)),
                            "name the actions that the pods need",
                        )
                        .warning(),
                    );
                }
                account.policy = Some(policy);
            }
            Err((what, help)) => {
                report.add(Finding::new(path, format!("the policy file {} {what}", quoted(file)), help));
            }
        }
    }
    report.into_problems()
}

/// A policy document, or what is wrong with the file and what to do.
fn read_policy(file: &FilePath) -> Result<Json, (String, String)> {
    let details = std::fs::metadata(file).map_err(|error| {
        let help = "write the path as it is seen from the stack file's own folder";
        match error.kind() {
            std::io::ErrorKind::NotFound => ("does not exist".to_owned(), help.to_owned()),
            _ => (format!("cannot be read: {error}"), help.to_owned()),
        }
    })?;
    if !details.is_file() {
        return Err(("is not a file".to_owned(), "name a JSON file with an IAM policy".to_owned()));
    }
    if details.len() > LARGEST_FILE {
        return Err((
            format!("has {} bytes, which is too large for a policy", details.len()),
            "name a JSON file with an IAM policy".to_owned(),
        ));
    }
    let text = std::fs::read(file)
        .map_err(|error| (format!("cannot be read: {error}"), "check its permissions".to_owned()))?;
    let policy: Json = serde_json::from_slice(&text).map_err(|error| {
        (
            format!("is not JSON: line {}, column {}: {}", error.line(), error.column(), reason(&error)),
            "correct the file; IAM policies are JSON, without comments or trailing commas".to_owned(),
        )
    })?;
    check_policy(&policy).map_err(|(what, help)| (what, help.to_owned()))?;
    Ok(policy)
}

/// The parser's words without the position that it adds.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

fn statements(policy: &Json) -> Vec<&Json> {
    match policy.get("Statement") {
        Some(Json::Array(statements)) => statements.iter().collect(),
        Some(statement) => vec![statement],
        None => Vec::new(),
    }
}

fn check_policy(policy: &Json) -> Result<(), (String, &'static str)> {
    let shape = "a policy is `{ \"Version\": \"2012-10-17\", \"Statement\": [ … ] }`";
    if !policy.is_object() {
        return Err(("is JSON, but not a policy".to_owned(), shape));
    }
    if policy.get("Version").and_then(Json::as_str) != Some("2012-10-17") {
        return Err((
            "does not say `\"Version\": \"2012-10-17\"`".to_owned(),
            "add it; without it IAM reads the policy by the rules of 2008, which know no variables",
        ));
    }
    let statements = statements(policy);
    if statements.is_empty() {
        return Err(("has no `Statement`".to_owned(), shape));
    }
    for (index, statement) in statements.iter().enumerate() {
        check_statement(statement)
            .map_err(|(what, help)| (format!("is no policy for a role: statement {} {what}", index + 1), help))?;
    }
    let length = policy.to_string().chars().filter(|character| !character.is_whitespace()).count();
    if length > LARGEST_POLICY {
        return Err((
            format!("has {length} characters; IAM allows {LARGEST_POLICY} in a role"),
            "shorten it, or make it a managed policy and name that under `managedPolicies`",
        ));
    }
    Ok(())
}

fn check_statement(statement: &Json) -> Result<(), (&'static str, &'static str)> {
    let has = |key: &str| statement.get(key).is_some_and(|value| !value.is_null());
    if has("Principal") || has("NotPrincipal") {
        return Err(("has a `Principal`", "remove it: it belongs into trust policies, which eksup writes itself"));
    }
    let effect = statement.get("Effect").and_then(Json::as_str);
    if !matches!(effect, Some("Allow" | "Deny")) {
        return Err(("has no `Effect`", "add `\"Effect\": \"Allow\"` or `\"Effect\": \"Deny\"`"));
    }
    if has("Action") == has("NotAction") {
        return Err(("needs `Action` or `NotAction`, and not both", "add `\"Action\": [ … ]`"));
    }
    if has("Resource") == has("NotResource") {
        return Err(("needs `Resource` or `NotResource`, and not both", "add `\"Resource\": [ … ]`"));
    }
    Ok(())
}

fn allows_everything(policy: &Json) -> bool {
    let is_star = |value: Option<&Json>| match value {
        Some(Json::String(text)) => text == "*",
        Some(Json::Array(items)) => items.iter().any(|item| item == "*"),
        _ => false,
    };
    statements(policy).into_iter().any(|statement| {
        statement.get("Effect").is_some_and(|effect| effect == "Allow")
            && is_star(statement.get("Action"))
            && is_star(statement.get("Resource"))
            && statement.get("Condition").is_none()
    })
}
