//! The promises of the cloud, each checked through boto3 by a module of tests in Python.

use std::collections::BTreeSet;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use sandbox::{go, install};

/// Runs one module of the Python tests in a cloud of its own.
fn run(module: &str) -> Result<()> {
    let mut command = install::python()?.command();
    if module.starts_with("test_kubernetes") {
        // The control plane alone is quicker, where nothing has to run on it.
        let names = if module == "test_kubernetes" { vec!["control-plane".to_owned()] } else { go::programs()? };
        let mut programs = serde_json::Map::new();
        for name in names {
            let path = go::program(&name)?;
            programs.insert(name, serde_json::json!(path));
        }
        command.env("SANDBOX_TEST_PROGRAMS", serde_json::Value::Object(programs).to_string());
    }
    let output = command
        .current_dir(install::source_folder())
        .args(["-m", "unittest", &format!("cloud.{module}")])
        .stdin(Stdio::null())
        .output()
        .context("running the Python tests")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{module} failed:\n{words}");
    ensure!(!words.contains("Ran 0 tests"), "{module} has no tests");
    Ok(())
}

macro_rules! modules {
    ($($module:ident),* $(,)?) => {
        $(
            #[test]
            fn $module() -> Result<()> {
                run(stringify!($module))
            }
        )*
        const MODULES: &[&str] = &[$(stringify!($module)),*];
    };
}

modules! {
    test_access_policies,
    test_ec2_launch,
    test_ec2_network,
    test_ec2_placement,
    test_ec2_reservations,
    test_eks_access,
    test_eks_clusters,
    test_eks_nodes,
    test_eks_updates,
    test_iam_and_queues,
    test_kubernetes,
    test_kubernetes_nodes,
    test_nodes,
    test_processes,
    test_rds,
    test_reads,
    test_stacks,
    test_weather,
}

#[test]
fn every_module_of_python_tests_is_run() -> Result<()> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(install::source_folder().join("cloud"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("test_") {
            found.extend(name.strip_suffix(".py").map(str::to_owned));
        }
    }
    let listed: BTreeSet<String> = MODULES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, listed);
    Ok(())
}
