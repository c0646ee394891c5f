//! User data of instances: what they do when they start for the first time.

use std::collections::BTreeSet;

use serde::Serialize;

use super::fill;
use crate::spec::{Architecture, KubernetesVersion, Tool};

/// The release of Helm that a bastion gets.
const HELM: &str = "v4.3.1";

#[derive(Serialize)]
struct Values {
    architecture: &'static str,
    kubectl: Option<String>,
    helm: Option<&'static str>,
    steps: Vec<&'static str>,
}

/// The cloud-config that installs `tools` on a bastion with Amazon Linux 2023; `cluster` is the version that
/// `kubectl` has to fit. Empty where there is nothing to install.
pub fn bastion(tools: &[Tool], architecture: Architecture, cluster: Option<KubernetesVersion>) -> String {
    let tools: BTreeSet<Tool> = tools.iter().copied().collect();
    if tools.is_empty() {
        return String::new();
    }
    let release = cluster.map_or_else(|| "stable".to_owned(), |version| format!("stable-{version}"));
    let values = Values {
        architecture: architecture.as_kubernetes_str(),
        kubectl: tools.contains(&Tool::Kubectl).then_some(release),
        helm: tools.contains(&Tool::Helm).then_some(HELM),
        steps: tools.iter().map(|tool| step(*tool)).collect::<BTreeSet<_>>().into_iter().collect(),
    };
    fill(include_str!("../../templates/bastion.yaml"), values)
}

/// The command of the script that installs a tool; packages from the newest to one that every release of the
/// distribution has.
fn step(tool: Tool) -> &'static str {
    match tool {
        Tool::Kubectl => "kubectl",
        Tool::Helm => "helm",
        Tool::Git => "package git",
        Tool::Jq => "package jq",
        Tool::Mariadb | Tool::Mysql => "package mariadb1011 mariadb105",
        Tool::Postgresql => "package postgresql17 postgresql16 postgresql15",
    }
}

#[cfg(test)]
mod tests {
    use saphyr_parser::{Event, Parser};

    use super::*;

    const EVERY_TOOL: [Tool; 7] =
        [Tool::Kubectl, Tool::Helm, Tool::Git, Tool::Jq, Tool::Mariadb, Tool::Mysql, Tool::Postgresql];

    fn with_everything() -> String {
        bastion(&EVERY_TOOL, Architecture::Arm64, Some(KubernetesVersion { major: 1, minor: 35 }))
    }

    #[test]
    fn everything_fits_into_what_ec2_takes() {
        assert!(with_everything().len() <= 16 * 1024);
    }

    /// The scalars of a YAML document, in their order.
    fn scalars(text: &str) -> Vec<String> {
        let events = Parser::new_from_str(text).map(|event| event.expect("a YAML document").0);
        let scalar = |event| if let Event::Scalar(text, ..) = event { Some(text.into_owned()) } else { None };
        events.filter_map(scalar).collect()
    }

    #[test]
    fn it_is_a_cloud_config_whose_script_is_what_runs() {
        let text = with_everything();
        assert!(text.starts_with("#cloud-config\n"), "{text}");
        let scalars = scalars(&text);
        let [_, _, path, _, _, _, script, _, run] = scalars.as_slice() else { panic!("{scalars:#?}") };
        assert_eq!(path, run);
        assert!(script.starts_with("#!/bin/bash\n") && script.ends_with("exit \"$failed\"\n"), "{script}");
    }

    #[test]
    fn kubectl_has_the_version_of_the_cluster_and_the_architecture_of_the_bastion() {
        let text = with_everything();
        assert!(text.contains("release/stable-1.35.txt") && text.contains("bin/linux/arm64/kubectl"), "{text}");
        assert!(bastion(&[Tool::Kubectl], Architecture::X86_64, None).contains("release/stable.txt"));
    }

    #[test]
    fn only_what_is_asked_for_is_installed_and_nothing_twice() {
        assert_eq!(bastion(&[], Architecture::X86_64, None), "");
        let text = bastion(&[Tool::Mysql, Tool::Mariadb], Architecture::X86_64, None);
        assert_eq!(text.matches("package mariadb1011 mariadb105 ||").count(), 1, "{text}");
        assert!(!text.contains("dl.k8s.io") && !text.contains("get.helm.sh"), "{text}");
    }
}
