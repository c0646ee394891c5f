//! The stack file from outside: what a mistake is answered with, what valid files mean, and that nothing makes the
//! reader panic or hang. A file that is added to `broken`, `warnings` or `valid` is a test that is added.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use eksup::spec::{self, Loaded, Problems, Severity, Stack, Style};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn stack_files(name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(name)).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

fn variables(name: &str) -> Option<String> {
    match name {
        "TEAM" => Some("web".to_owned()),
        "NODES" => Some("3".to_owned()),
        "DB_PASSWORD" => Some("not to be seen".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn load(file: &Path) -> Result<Loaded, Problems> {
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let bytes = std::fs::read(file).unwrap();
    spec::parse_bytes(&bytes, &name, variables, file.parent().unwrap())
}

/// Compares one snapshot per file, and names every file that differs, not only the first.
fn compare_snapshots(folder: &str, draw: impl Fn(&Path) -> String) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("snapshots/{folder}"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut different = Vec::new();
    settings.bind(|| {
        for file in stack_files(folder) {
            let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
            let drawn = draw(&file);
            let compared = catch_unwind(AssertUnwindSafe(|| insta::assert_snapshot!(stem.as_str(), drawn)));
            if compared.is_err() {
                different.push(stem);
            }
        }
    });
    assert!(different.is_empty(), "different from their snapshots: {different:?}");
}

#[test]
fn every_broken_file_gets_the_message_that_a_user_would_want() {
    assert!(stack_files("broken").len() >= 80);
    compare_snapshots("broken", |file| match load(file) {
        Err(problems) => problems.render(Style::default()),
        Ok(_) => panic!("{} is not broken", file.display()),
    });
}

#[test]
fn every_doubtful_file_is_accepted_with_a_warning() {
    compare_snapshots("warnings", |file| match load(file) {
        Ok(loaded) if !loaded.warnings.is_empty() => loaded.warnings.render(Style::default()),
        Ok(_) => panic!("{} has no warning", file.display()),
        Err(problems) => panic!("{}", problems.render(Style::default())),
    });
}

#[test]
fn every_valid_file_means_what_its_snapshot_says() {
    compare_snapshots("valid", |file| match load(file) {
        Ok(loaded) => {
            let warnings = loaded.warnings.render(Style::default());
            assert!(loaded.warnings.is_empty(), "{warnings}");
            serde_json::to_string_pretty(&loaded.stack).unwrap()
        }
        Err(problems) => panic!("{}", problems.render(Style::default())),
    });
}

#[test]
fn every_example_that_is_shipped_is_valid() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks");
    let mut count = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            count += 1;
            spec::read(&path).unwrap_or_else(|problems| panic!("{}", problems.render(Style::default())));
        }
    }
    assert!(count > 0);
}

#[test]
fn every_message_says_what_and_what_to_do_and_where() {
    for file in stack_files("broken") {
        let Err(problems) = load(&file) else { continue };
        assert!(problems.errors() > 0, "{}", file.display());
        for (in_file, problem) in problems.files().flat_map(|file| file.iter().map(move |problem| (file, problem))) {
            let shown = format!("{}: {}", in_file.name(), problem.message);
            assert!(!problem.message.is_empty() && !problem.help.is_empty(), "{shown}");
            assert!(!problem.message.ends_with('.') && !problem.help.ends_with('.'), "{shown}");
            assert!(!problem.message.contains('\n') && !problem.message.contains("``"), "{shown}");
            let text = std::fs::read(folder("broken").join(in_file.name())).unwrap();
            if let Some((line, column)) = in_file.position(problem) {
                let lines = String::from_utf8_lossy(&text).lines().count().max(1);
                assert!(line >= 1 && line <= lines && column >= 1, "{shown}: {line}:{column} of {lines}");
            }
        }
        for record in problems.records() {
            assert!(folder("broken").join(&record.file).is_file(), "{} of {}", record.file, file.display());
        }
    }
}

#[test]
fn no_message_shows_a_secret() {
    for file in stack_files("broken") {
        if let Err(problems) = load(&file) {
            let drawn = problems.render(Style::default());
            assert!(!drawn.contains("not to be seen") && !drawn.contains("shown to nobody"), "{}", file.display());
        }
    }
}

#[test]
fn the_schema_is_the_one_that_was_published() {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.bind(|| {
        insta::assert_snapshot!("schema", serde_json::to_string_pretty(&spec::schema()).unwrap());
    });
}

#[test]
fn programs_get_line_column_path_message_and_help() {
    let text =
        "apiVersion: eksup.dev/v1\nkind: Stack\nmetadata: { name: shop, region: eu-central-1 }\nnetwork:\n  zones: 9\n";
    let problems = spec::parse(text, "stack.yaml", variables, Path::new("")).unwrap_err();
    let records = serde_json::to_value(problems.records()).unwrap();
    assert_eq!(
        records,
        serde_json::json!([{
            "severity": "error",
            "file": "stack.yaml",
            "line": 5,
            "column": 10,
            "path": "network.zones",
            "message": "`zones` is 9, which is too large",
            "why": null,
            "help": "write a number from 1 to 6",
            "related": [],
        }])
    );
}

#[test]
fn programs_get_the_problems_of_every_file_at_once() {
    let problems = load(&folder("broken").join("manifests-twice.yaml")).unwrap_err();
    let places: Vec<_> = problems.records().into_iter().map(|record| (record.file, record.line)).collect();
    let place = |file: &str, line| (file.to_owned(), Some(line));
    assert_eq!(
        places,
        [
            place("manifests-twice.yaml", 13),
            place("manifests-twice.yaml", 14),
            place("manifests-twice.yaml", 14),
            place("k8s/again.yaml", 4),
            place("k8s/again.yaml", 15),
        ]
    );
}

#[test]
fn manifests_are_named_as_they_are_seen_from_where_the_stack_file_is_named() {
    let bytes = std::fs::read(folder("broken").join("manifests-kinds.yaml")).unwrap();
    let problems = spec::parse_bytes(&bytes, "stacks/shop.yaml", variables, &folder("broken")).unwrap_err();
    assert!(problems.records().iter().any(|record| record.file == "stacks/k8s/kinds.yaml"));
}

#[test]
fn a_stack_written_out_with_its_defaults_is_read_back_the_same() {
    for file in stack_files("valid") {
        let stack = load(&file).unwrap().stack;
        let mut json = serde_json::to_value(&stack).unwrap();
        // Keys that only a network of the stack's own may have are written with their defaults too.
        if json.pointer("/network/existing").is_some() {
            json["network"].as_object_mut().unwrap().retain(|key, _| key == "existing");
        }
        if json.pointer("/cluster/endpoint/public") == Some(&false.into()) {
            json["cluster"]["endpoint"].as_object_mut().unwrap().remove("publicCidrs");
        }
        // What was escaped has to be escaped again.
        let text = serde_json::to_string_pretty(&json).unwrap().replace("${env:", "$${env:");
        let again = spec::parse(&text, "again.json", variables, file.parent().unwrap());
        let again = again.unwrap_or_else(|problems| panic!("{}", problems.render(Style::default())));
        assert_eq!(again.stack, stack, "{}", file.display());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_one_clear_problem() {
    let missing = spec::read(Path::new("no/such/stack.yaml")).unwrap_err();
    assert_eq!(missing.len(), 1);
    assert!(missing.render(Style::default()).contains("there is no file `no/such/stack.yaml`"));

    let directory = spec::read(&folder("valid")).unwrap_err();
    assert!(directory.render(Style::default()).contains("is a directory"));

    let huge = "# \n".repeat(300_000);
    let huge = spec::parse(&huge, "stack.yaml", variables, Path::new("")).unwrap_err();
    assert!(huge.render(Style::default()).contains("too large for a stack"));
}

#[test]
fn a_file_is_read_with_its_folder_for_policies_and_manifests() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(self::folder("valid").join("everything.yaml")).unwrap();
    let text = text.replace("${env:TEAM}", "web").replace("${env:NODES}", "3");
    std::fs::write(folder.path().join("stack.yaml"), text).unwrap();
    let problems = spec::read(&folder.path().join("stack.yaml")).unwrap_err();
    assert!(problems.iter().any(|problem| problem.path == "identity.serviceAccounts[0].policyFile"));

    std::fs::create_dir(folder.path().join("policies")).unwrap();
    let policy = self::folder("valid").join("policies/read.json");
    std::fs::copy(policy, folder.path().join("policies/read.json")).unwrap();
    let problems = spec::read(&folder.path().join("stack.yaml")).unwrap_err();
    assert!(problems.iter().any(|problem| problem.path == "workloads.manifests[0]"));

    std::fs::create_dir(folder.path().join("k8s")).unwrap();
    let manifest = self::folder("valid").join("k8s/web.yaml");
    std::fs::copy(manifest, folder.path().join("k8s/web.yaml")).unwrap();
    let loaded = spec::read(&folder.path().join("stack.yaml")).unwrap();
    let identity = loaded.stack.identity.unwrap();
    assert!(identity.service_accounts[0].policy.is_some());
    assert_eq!(loaded.stack.workloads.unwrap().objects().len(), 1);
}

#[test]
fn more_problems_than_anybody_reads_are_counted() {
    let keys: String = (0..80).map(|number| format!("unknown{number}: 1\n")).collect();
    let text =
        format!("apiVersion: eksup.dev/v1\nkind: Stack\nmetadata: {{ name: shop, region: eu-central-1 }}\n{keys}");
    let problems = spec::parse(&text, "stack.yaml", variables, Path::new("")).unwrap_err();
    assert_eq!(problems.errors(), 80);
    let drawn = problems.render(Style::default());
    assert!(drawn.contains("and 30 more") && drawn.ends_with("80 errors in `stack.yaml`\n"));
}

#[test]
fn colours_and_plain_ascii_are_choices() {
    let problems = spec::parse("kind: x\n", "stack.yaml", variables, Path::new("")).unwrap_err();
    let plain = problems.render(Style { colour: false, unicode: false, width: 80 });
    assert!(plain.is_ascii() && !plain.contains('\u{1b}'));
    let coloured = problems.render(Style { colour: true, unicode: true, width: 80 });
    assert!(coloured.contains('\u{1b}'));
    assert!(problems.iter().all(|problem| problem.severity == Severity::Error));
}

#[test]
fn a_stack_without_cluster_has_no_identity_and_one_with_it_has_the_default() {
    let without = load(&folder("valid").join("minimal.yaml")).unwrap().stack;
    assert!(without.identity.is_none());
    let with: Stack = load(&folder("valid").join("defaults.yaml")).unwrap().stack;
    assert_eq!(with.identity, Some(spec::Identity::default()));
}

#[test]
fn a_name_without_a_file_is_checked_like_one_in_a_file() {
    assert_eq!(spec::check_stack_name("shop"), Ok(()));
    assert!(spec::check_stack_name("Shop").unwrap_err().contains("write `shop`"));
    assert_eq!(spec::check_region("eu-central-1"), Ok(()));
    assert!(spec::check_region("eu-central-1a").unwrap_err().contains("write `eu-central-1`"));
}
