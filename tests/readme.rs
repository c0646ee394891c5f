//! The README's reference against the product: it names every command, flag and field, and none that is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

type Names = BTreeSet<String>;

#[test]
fn every_section_of_the_stack_file_has_a_table_with_all_its_fields() {
    let tables = tables(&section(&readme(), "## The stack file"));
    let mut groups = BTreeSet::new();
    field_groups(&eksup::spec::schema(), &mut groups);
    assert!(groups.len() > 15, "the schema has {} groups of fields: it was not walked", groups.len());
    for group in groups {
        assert!(
            tables.iter().any(|table| table.is_superset(&group)),
            "no table of the README's `The stack file` has these fields together: {group:?}"
        );
    }
}

#[test]
fn the_readme_has_no_field_that_the_stack_file_does_not_know() {
    let mut groups = BTreeSet::new();
    field_groups(&eksup::spec::schema(), &mut groups);
    let known: Names = groups.into_iter().flatten().collect();
    for table in tables(&section(&readme(), "## The stack file")) {
        let unknown: Vec<&String> = table.difference(&known).collect();
        assert!(unknown.is_empty(), "the README's `The stack file` has fields that do not exist: {unknown:?}");
    }
}

#[test]
fn every_command_has_a_section_that_names_its_flags() {
    let readme = readme();
    let general = help(&[]);
    let shared = flags(&general);
    let commands = commands(&general);
    assert!(commands.len() > 5, "`eksup --help` lists {commands:?}");
    let reference = section(&readme, "## Commands");
    for flag in &shared {
        assert!(words(&reference).contains(flag), "the README's `Commands` does not name `{flag}`");
    }
    for command in &commands {
        let heading = format!("### `eksup {command}`");
        let text = section(&readme, &heading);
        assert!(!text.is_empty(), "the README has no section `{heading}`");
        for flag in flags(&whole_help(command)).difference(&shared) {
            assert!(words(&text).contains(flag), "the section `{heading}` does not name `{flag}`");
        }
    }
}

#[test]
fn the_readme_has_no_flag_that_no_command_knows() {
    let general = help(&[]);
    let mut known = flags(&general);
    for command in commands(&general) {
        known.extend(flags(&whole_help(&command)));
    }
    let named = words(&section(&readme(), "## Commands"));
    let unknown: Vec<&String> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "the README's `Commands` has flags that do not exist: {unknown:?}");
}

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    fs::read_to_string(path).expect("a README")
}

/// What stands below the heading that begins so, up to the next heading of its level or a higher one; nothing where
/// there is no such heading.
fn section(text: &str, heading: &str) -> String {
    let level = level_of(heading);
    let below = text.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
    below.take_while(|line| !(1..=level).contains(&level_of(line))).collect::<Vec<_>>().join("\n")
}

/// How deep a heading is, 2 or more; 0 for any other line. (`# ` also begins comments in examples.)
fn level_of(line: &str) -> usize {
    let marks = line.chars().take_while(|character| *character == '#').count();
    if marks >= 2 && line[marks..].starts_with(' ') { marks } else { 0 }
}

/// The names between backticks in the first column of each table.
fn tables(text: &str) -> Vec<Names> {
    let mut tables: Vec<Names> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let row = line.strip_prefix('|');
        if row.is_some() && !inside {
            tables.push(Names::new());
        }
        inside = row.is_some();
        let cell = row.and_then(|row| row.split('|').next()).unwrap_or_default();
        if let Some(table) = tables.last_mut() {
            table.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    tables
}

/// The keys of every `properties` in a schema, one set for each.
fn field_groups(schema: &Value, groups: &mut BTreeSet<Names>) {
    match schema {
        Value::Object(entries) => {
            if let Some(Value::Object(properties)) = entries.get("properties") {
                groups.insert(properties.keys().cloned().collect());
            }
            entries.values().for_each(|value| field_groups(value, groups));
        }
        Value::Array(items) => items.iter().for_each(|item| field_groups(item, groups)),
        _ => {}
    }
}

/// What `eksup ARGUMENTS --help` prints.
fn help(arguments: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_eksup")).args(arguments).arg("--help").output().expect("eksup runs");
    assert!(ran.status.success(), "`eksup {} --help` ended with {}", arguments.join(" "), ran.status);
    String::from_utf8(ran.stdout).expect("text")
}

/// What `eksup COMMAND --help` prints, and the same for each command below it.
fn whole_help(command: &str) -> String {
    let own = help(&[command]);
    let below = commands(&own).into_iter().map(|inner| help(&[command, inner.as_str()]));
    below.fold(own.clone(), |all, text| all + &text)
}

/// The commands that a help text lists, but for `help` itself.
fn commands(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    list.filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .map(str::to_owned)
        .collect()
}

/// The long flags that a help text lists.
fn flags(help: &str) -> Names {
    help.lines().filter(|line| line.trim_start().starts_with('-')).flat_map(words).collect()
}

/// Everything in a text that looks like a long flag.
fn words(text: &str) -> Names {
    text.split(|character: char| !character.is_ascii_alphanumeric() && character != '-')
        .filter(|word| {
            word.strip_prefix("--").is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()))
        })
        .map(str::to_owned)
        .collect()
}
