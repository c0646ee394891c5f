//! Rules for `database`: what RDS refuses, and what it would do that nobody wants.

use super::reserved::is_reserved;
use super::{Finding, Report};
use crate::spec::document::Path;
use crate::spec::model::{Database, DatabaseEngine, Gibibytes, Stack};
use crate::spec::problem::quoted;

const SMALLEST: Gibibytes = Gibibytes(20);
const LARGEST: Gibibytes = Gibibytes(64 * 1024);

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    let Some(database) = &stack.database else {
        return;
    };
    version_is_of_the_engine(database, report);
    storage_is_possible(database, report);
    storage_can_grow(database, report);
    names_are_allowed(database, report);
    key_has_a_use(stack, database, report);
    networks_are_not_the_world(database, report);
    backups_are_on(database, report);
}

fn place(key: &str) -> Path {
    Path::of("database").key(key)
}

/// MariaDB counts from 10, MySQL ends below: a version tells which of the two was meant.
fn version_is_of_the_engine(database: &Database, report: &mut Report<'_>) {
    let major: Option<u32> = database.version.split('.').next().and_then(|major| major.parse().ok());
    let Some(major) = major else { return };
    let other = match database.engine {
        DatabaseEngine::Mysql if major >= 10 => DatabaseEngine::Mariadb,
        DatabaseEngine::Mariadb if major < 10 => DatabaseEngine::Mysql,
        _ => return,
    };
    report.add(
        Finding::new(
            place("version"),
            format!(
                "{} is a version of {}, not of {}",
                quoted(&database.version),
                other.title(),
                database.engine.title()
            ),
            format!("write `engine: {}`, or a version of {}", other.as_str(), database.engine.title()),
        )
        .see(place("engine"), "the engine"),
    );
}

fn storage_is_possible(database: &Database, report: &mut Report<'_>) {
    if !(SMALLEST..=LARGEST).contains(&database.storage) {
        report.add(Finding::new(
            place("storage"),
            format!("`{}` is not a possible size for an RDS volume", database.storage),
            format!("write a size from `{SMALLEST}` to `{LARGEST}`"),
        ));
    }
}

fn storage_can_grow(database: &Database, report: &mut Report<'_>) {
    let Some(most) = database.max_storage else {
        return;
    };
    let least = Gibibytes(database.storage.0 + database.storage.0.div_ceil(10));
    if most < least {
        report.add(
            Finding::new(
                place("maxStorage"),
                format!("`{most}` leaves the volume no room to grow"),
                format!("write `{least}` or more, or remove `maxStorage`"),
            )
            .because("RDS grows a volume by 10 % or more at a time")
            .see(place("storage"), "the size to begin with"),
        );
    } else if most > LARGEST {
        report.add(Finding::new(
            place("maxStorage"),
            format!("`{most}` is more than an RDS volume can have"),
            format!("write `{LARGEST}` or less"),
        ));
    }
}

fn names_are_allowed(database: &Database, report: &mut Report<'_>) {
    let engine = database.engine;
    let longest_name = if engine == DatabaseEngine::Postgres { 63 } else { 64 };
    if let Some(name) = &database.name {
        name_is_allowed("name", "a database", name, longest_name, engine, report);
    }
    if let Some(name) = &database.username {
        name_is_allowed("username", "the master user", name, 16, engine, report);
    }
}

fn name_is_allowed(key: &str, what: &str, name: &str, longest: usize, engine: DatabaseEngine, report: &mut Report<'_>) {
    let allowed = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let well_formed = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(allowed)
        && name.len() <= longest;
    if !well_formed {
        report.add(
            Finding::new(
                place(key),
                format!("{} cannot name {what}", quoted(name)),
                format!("use up to {longest} letters, digits and `_`, with a letter first"),
            )
            .given(place("engine")),
        );
    } else if is_reserved(engine, name) {
        let other = match key {
            "username" if name.len() > 11 || name.starts_with("rds") => "app_user".to_owned(),
            "username" => format!("{name}_user"),
            _ => format!("{name}_db"),
        };
        report.add(
            Finding::new(
                place(key),
                format!("{} cannot name {what} of {}", quoted(name), engine.title()),
                format!("write another name, such as `{other}`"),
            )
            .because("the engine, or RDS, keeps this word for itself")
            .given(place("engine")),
        );
    }
}

fn key_has_a_use(stack: &Stack, database: &Database, report: &mut Report<'_>) {
    let Some(key) = &database.kms_key_id else {
        return;
    };
    if !database.encrypted {
        report.add(
            Finding::of_key(
                place("kmsKeyId"),
                "`kmsKeyId` means nothing with `encrypted: false`",
                "remove one of the two; `encrypted` cannot be changed later without a new database",
            )
            .see(place("encrypted"), "not encrypted"),
        );
    }
    super::cluster::key_is_in_the_region(stack, key, place("kmsKeyId"), report);
}

fn networks_are_not_the_world(database: &Database, report: &mut Report<'_>) {
    for (index, cidr) in database.allow_from.iter().enumerate() {
        if cidr.prefix() == 0 {
            report.add(
                Finding::new(
                    place("allowFrom").index(index),
                    "this lets every address connect to the database",
                    "write the networks that need it, such as `10.8.0.0/16`; nodes and bastion may connect anyway",
                )
                .because("the database has no public address, but what is peered with the VPC could reach it"),
            );
        }
    }
}

fn backups_are_on(database: &Database, report: &mut Report<'_>) {
    if database.backup_retention_days == 0 {
        report.add(
            Finding::new(
                place("backupRetentionDays"),
                "without backups the database cannot be brought back to a point in time",
                "write a number of days from 1 to 35, unless the data can be lost",
            )
            .warning(),
        );
    }
}
