//! What changing each field of a database does. Pure.

use serde_json::Value;

use super::{Effect, Mark};

/// Every field and the effect that it has whatever the values are.
pub const FIELDS: &[(&str, Effect)] = &[
    ("identifier", Effect::Replace),
    ("engine", Effect::Replace),
    ("version", Effect::InPlace),
    ("instanceClass", Effect::InPlace),
    ("storage", Effect::InPlace),
    ("storageType", Effect::InPlace),
    ("databaseName", Effect::Replace),
    ("username", Effect::Replace),
    ("port", Effect::InPlace),
    ("subnetGroup", Effect::InPlace),
    ("securityGroups", Effect::InPlace),
    ("multiAz", Effect::InPlace),
    ("public", Effect::InPlace),
    ("backupRetentionDays", Effect::InPlace),
    ("deletionProtection", Effect::InPlace),
    ("finalSnapshot", Effect::InPlace),
    ("encrypted", Effect::Replace),
    ("kmsKeyId", Effect::Replace),
    ("managedPassword", Effect::InPlace),
    ("minorUpgrades", Effect::InPlace),
    ("copyTags", Effect::InPlace),
    ("applyImmediately", Effect::CreateOnly),
    ("pending", Effect::InPlace),
];

const IN_THE_WINDOW: &str = "in its maintenance window, or at once with `applyImmediately: true`";

/// Refines the table where the values matter, or where a person has to be told something.
pub fn judge(field: &str, before: &Value, after: &Value) -> Option<Effect> {
    match field {
        "version" => Some(version(before.as_str()?, after.as_str()?)),
        "storage" => storage(before, after),
        "backupRetentionDays" => backups(before.as_u64()?, after.as_u64()?),
        "kmsKeyId" => same_key(before.as_str()?, after.as_str()?).then_some(Effect::Same),
        "instanceClass" => Some(outage(format!("the database restarts on another machine {IN_THE_WINDOW}"))),
        "subnetGroup" => Some(outage(format!("the database moves to other subnets {IN_THE_WINDOW}"))),
        "port" => Some(outage("the database restarts at once, and clients have to use the new port".to_owned())),
        "pending" => Some(outage("what waited for the maintenance window is done at once".to_owned())),
        _ => None,
    }
}

/// Why a database with this body cannot be deleted, if it cannot.
pub fn protected(body: &Value) -> Option<String> {
    let is_protected = body.get("deletionProtection").and_then(Value::as_bool).unwrap_or_default();
    let identifier = body.get("identifier").and_then(Value::as_str).unwrap_or_default();
    is_protected.then(|| {
        format!(
            "the database `{identifier}` is protected from deletion: set `database.deletionProtection: false` and run \
             `eksup apply`, or without the file `aws rds modify-db-instance --db-instance-identifier {identifier} \
             --no-deletion-protection`, then run this again"
        )
    })
}

fn outage(why: String) -> Effect {
    Effect::Marked(Mark::Outage(why))
}

/// A version may be written without its last parts, and then stands for all that begin with it.
fn version(before: &str, after: &str) -> Effect {
    let (old, new) = (numbers(before), numbers(after));
    if old.starts_with(&new) {
        return Effect::Same;
    }
    if new < old {
        return Effect::Refused(format!(
            "RDS does not take a database from version {before} back to {after}: write `version: \"{before}\"`, or \
             restore a snapshot of the older version by hand"
        ));
    }
    if series(&old) == series(&new) {
        return outage(format!("the database restarts with version {after} {IN_THE_WINDOW}"));
    }
    Effect::Marked(Mark::OneWay(format!(
        "RDS cannot take the database back from {after} to {before}, and it is down for the upgrade: {IN_THE_WINDOW}"
    )))
}

fn numbers(version: &str) -> Vec<u64> {
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    version.split('.').map(|part| digits(part).parse().unwrap_or_default()).collect()
}

/// The part of a version that names its release series: two numbers, and one from PostgreSQL's 12 on.
fn series(numbers: &[u64]) -> &[u64] {
    let length = if numbers.first().is_some_and(|first| *first >= 12) { 1 } else { 2 };
    &numbers[..length.min(numbers.len())]
}

/// RDS grows a volume by a tenth or more, and never shrinks one.
fn storage(before: &Value, after: &Value) -> Option<Effect> {
    let number = |value: &Value, field: &str| value.get(field).and_then(Value::as_u64);
    let (old, new) = (number(before, "size")?, number(after, "size")?);
    let ceiling = number(after, "growsTo");
    if new < old {
        let grown_by_rds = ceiling.is_some_and(|ceiling| old <= ceiling);
        let same_ceiling = number(before, "growsTo") == ceiling;
        return match (grown_by_rds, same_ceiling) {
            (true, true) => Some(Effect::Same),
            (true, false) => Some(Effect::InPlace),
            (false, _) => Some(Effect::Refused(format!(
                "RDS does not shrink a volume: it has {old} GiB; write `storage: {old}Gi` or more"
            ))),
        };
    }
    let least = old.saturating_mul(11).div_ceil(10);
    (new > old && new < least)
        .then(|| Effect::Refused(format!("RDS grows a volume by 10 % or more: write `storage: {least}Gi` or more")))
}

/// The last automated backup goes when their number of days becomes 0.
fn backups(before: u64, after: u64) -> Option<Effect> {
    match (before, after) {
        (0, after) if after > 0 => Some(outage("reading and writing pauses for some seconds".to_owned())),
        (before, 0) if before > 0 => {
            Some(Effect::Marked(Mark::DataLoss("all automated backups, and no way back to a point in time".to_owned())))
        }
        _ => None,
    }
}

/// RDS shows a key's ARN, however the key was named. Where an alias leads cannot be seen from here.
fn same_key(shown: &str, wanted: &str) -> bool {
    let alias = wanted.starts_with("alias/") || wanted.contains(":alias/");
    alias || shown.rsplit('/').next() == wanted.rsplit('/').next()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(field: &str, before: Value, after: Value) -> String {
        match judge(field, &before, &after) {
            None => "as the table says".to_owned(),
            Some(Effect::Marked(mark)) => mark.sentence(),
            Some(Effect::Refused(why)) => format!("refused: {why}"),
            Some(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn a_version_without_its_patch_level_stands_for_every_patch_level() {
        assert_eq!(judged("version", json!("10.11.6"), json!("10.11")), "Same");
        assert_eq!(judged("version", json!("16.3"), json!("16")), "Same");
        assert_ne!(judged("version", json!("10.1.6"), json!("10.11")), "Same");
    }

    #[test]
    fn versions_go_up_with_a_mark_and_never_down() {
        assert!(judged("version", json!("10.11.6"), json!("10.11.8")).starts_with("outage"));
        assert!(judged("version", json!("10.11.6"), json!("11.4")).starts_with("one-way"));
        assert!(judged("version", json!("16.3"), json!("16.4")).starts_with("outage"));
        assert!(judged("version", json!("16.3"), json!("17")).starts_with("one-way"));
        assert!(judged("version", json!("8.0.39"), json!("8.4")).starts_with("one-way"));
        assert!(judged("version", json!("11.4.2"), json!("10.11")).starts_with("refused"));
    }

    #[test]
    fn a_volume_grows_by_a_tenth_and_never_shrinks() {
        let volume = |size: u32, grows_to: Option<u32>| json!({ "size": size, "growsTo": grows_to });
        let judged = |before, after| judged("storage", before, after);
        assert_eq!(judged(volume(20, None), volume(22, None)), "as the table says");
        assert!(judged(volume(20, None), volume(21, None)).contains("22Gi"));
        assert!(judged(volume(50, None), volume(20, None)).contains("50Gi"));
        assert_eq!(judged(volume(50, Some(100)), volume(20, Some(100))), "Same", "RDS has grown it by itself");
        assert_eq!(judged(volume(50, None), volume(20, Some(100))), "InPlace", "only the ceiling is written");
        assert!(judged(volume(200, Some(300)), volume(20, Some(100))).starts_with("refused"));
    }

    #[test]
    fn turning_backups_off_loses_them() {
        assert!(judged("backupRetentionDays", json!(7), json!(0)).starts_with("data loss"));
        assert!(judged("backupRetentionDays", json!(0), json!(7)).starts_with("outage"));
        assert_eq!(judged("backupRetentionDays", json!(7), json!(14)), "as the table says");
    }

    #[test]
    fn a_key_is_the_same_however_it_is_written() {
        let shown = json!("arn:aws:kms:eu-central-1:111122223333:key/0a1b");
        assert_eq!(judged("kmsKeyId", shown.clone(), json!("0a1b")), "Same");
        assert_eq!(judged("kmsKeyId", shown.clone(), json!("alias/database")), "Same");
        assert_eq!(judged("kmsKeyId", shown, json!("ffff")), "as the table says");
    }

    #[test]
    fn a_protected_database_names_the_way_out() {
        let body = json!({ "identifier": "shop-database", "deletionProtection": true });
        assert!(protected(&body).is_some_and(|why| why.contains("database.deletionProtection: false")));
        assert_eq!(protected(&json!({ "deletionProtection": false })), None);
    }
}
