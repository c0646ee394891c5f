//! User data: how an instance learns which cluster it belongs to, and as what kind of node.
//!
//! | file | holds |
//! |---|---|
//! | `nodeadm` | Amazon Linux 2023: NodeConfig, in a MIME document |
//! | `bottlerocket` | Bottlerocket: TOML |
//! | `al2`, `windows` | Amazon Linux 2 and Windows: a script that calls EKS's own |
//! | `flags` | the kubelet's flags, for these two |
//! | `mime` | MIME documents of several parts |
//!
//! What the class brings of its own is merged in, each family in its way; what the cluster decides wins.

mod al2;
mod bottlerocket;
mod flags;
mod mime;
mod nodeadm;
mod windows;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;

use super::class::Family;
use super::ec2::ClusterFacts;
use crate::autoscaler::api::ec2_node_class::KubeletConfiguration;

/// The most that EC2 takes, before base64.
pub const LIMIT: usize = 16_384;

/// Everything that user data says.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    /// The cluster.
    pub cluster: &'a ClusterFacts,
    /// What the class says of the kubelet.
    pub kubelet: KubeletConfiguration,
    /// The most pods; `None` leaves it to the image.
    pub max_pods: Option<i64>,
    /// Labels of the node.
    pub labels: BTreeMap<String, String>,
    /// Taints that it registers with.
    pub taints: Vec<Taint>,
    /// Whether its instance stores become one volume.
    pub raid0: bool,
    /// What the class brings.
    pub users: Option<&'a str>,
}

/// What is wrong with user data: the field, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UserDataFault(String);

impl UserDataFault {
    fn in_users(what: impl std::fmt::Display) -> Self {
        Self(format!("`spec.userData` {what}"))
    }
}

/// The user data of a node of `family`, before base64; empty where there is nothing to say.
///
/// # Errors
/// When the class's own part cannot be read, or all of it is too long.
pub fn user_data(family: Family, node: &Node<'_>) -> Result<String, UserDataFault> {
    let text = match family {
        Family::Al2023 => nodeadm::write(node)?,
        Family::Bottlerocket => bottlerocket::write(node)?,
        Family::Al2 => al2::write(node)?,
        Family::Windows2019 | Family::Windows2022 | Family::Windows2025 => windows::write(node),
        Family::Custom => node.users.unwrap_or_default().to_owned(),
    };
    if text.len() > LIMIT {
        let own = node.users.map_or(0, str::len);
        return Err(UserDataFault::in_users(format!(
            "has {own} bytes and makes the user data of a node {} bytes long; EC2 takes {LIMIT}: make it shorter, or \
             load the rest from a bucket",
            text.len()
        )));
    }
    Ok(text)
}

/// A label that a kubelet may give itself: those of Kubernetes' own domains are for others to set.
pub fn is_for_kubelets(key: &str) -> bool {
    const ALLOWED: [&str; 2] = ["node.kubernetes.io", "kubelet.kubernetes.io"];
    let Some((domain, _)) = key.split_once('/') else { return true };
    let under = |parent: &str| domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
    !(under("kubernetes.io") || under("k8s.io")) || ALLOWED.iter().any(|allowed| under(allowed))
}

/// `key=value,key=value`.
fn pairs<'a>(entries: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    entries.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// `key=value:Effect,key:Effect`.
fn taints(node: &Node<'_>) -> String {
    let written = node.taints.iter().map(|taint| match taint.value.as_deref() {
        Some(value) if !value.is_empty() => format!("{}={value}:{}", taint.key, taint.effect),
        _ => format!("{}:{}", taint.key, taint.effect),
    });
    written.collect::<Vec<_>>().join(",")
}

/// The addresses of the DNS that pods ask.
fn dns(node: &Node<'_>) -> Vec<String> {
    match (&node.kubelet.cluster_dns, &node.cluster.dns_ip) {
        (own, _) if !own.is_empty() => own.clone(),
        (_, clusters) if !clusters.is_empty() => vec![clusters.clone()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::cloud::IpFamily;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    pub fn cluster() -> ClusterFacts {
        ClusterFacts {
            name: "shop".into(),
            endpoint: "https://0123.gr7.eu-west-1.eks.amazonaws.com".into(),
            certificate_authority: "LS0tLS1CRUdJTi==".into(),
            service_cidr: "172.20.0.0/16".into(),
            dns_ip: "172.20.0.10".into(),
            minor: 35,
            ip_family: IpFamily::V4,
        }
    }

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn quantities(pairs: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Quantity((*value).to_owned()))).collect()
    }

    fn plain(cluster: &ClusterFacts) -> Node<'_> {
        Node {
            cluster,
            kubelet: KubeletConfiguration::default(),
            max_pods: Some(29),
            labels: texts(&[("karpenter.sh/capacity-type", "spot"), ("karpenter.sh/nodepool", "default")]),
            taints: vec![Taint {
                key: "karpenter.sh/unregistered".into(),
                effect: "NoExecute".into(),
                ..Taint::default()
            }],
            raid0: false,
            users: None,
        }
    }

    fn full<'a>(cluster: &'a ClusterFacts, users: &'a str) -> Node<'a> {
        let mut node = plain(cluster);
        node.labels.insert("team".into(), "web".into());
        node.taints.push(Taint {
            key: "load".into(),
            value: Some("test".into()),
            effect: "NoSchedule".into(),
            ..Taint::default()
        });
        node.raid0 = true;
        node.users = Some(users);
        node.kubelet = KubeletConfiguration {
            cluster_dns: vec!["10.0.0.53".into()],
            max_pods: Some(29),
            pods_per_core: Some(8),
            system_reserved: quantities(&[("cpu", "100m"), ("memory", "200Mi")]),
            kube_reserved: quantities(&[("cpu", "80m"), ("ephemeral-storage", "2Gi")]),
            eviction_hard: texts(&[("memory.available", "5%"), ("nodefs.available", "10%")]),
            eviction_soft: texts(&[("memory.available", "500Mi")]),
            eviction_soft_grace_period: texts(&[("memory.available", "1m30s")]),
            eviction_max_pod_grace_period: Some(60),
            image_gc_high_threshold_percent: Some(85),
            image_gc_low_threshold_percent: Some(80),
            cpu_cfs_quota: Some(false),
        };
        node
    }

    fn shown(family: Family, node: &Node<'_>) -> String {
        user_data(family, node).unwrap_or_else(|fault| fault.to_string())
    }

    #[test]
    fn al2023_gets_a_node_config_and_runs_the_users_script_first() {
        let cluster = cluster();
        insta::assert_snapshot!("al2023_plain", shown(Family::Al2023, &plain(&cluster)));
        insta::assert_snapshot!("al2023_full", shown(Family::Al2023, &full(&cluster, "#!/bin/bash\necho hello\n")));
    }

    #[test]
    fn al2023_keeps_the_parts_of_the_users_document_and_its_node_config() {
        let cluster = cluster();
        let parts = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"BOUNDARY\"\n\n--BOUNDARY\n\
                     Content-Type: text/x-shellscript; charset=\"us-ascii\"\n\n#!/bin/bash\necho one\n\
                     --BOUNDARY\nContent-Type: application/node.eks.aws\n\napiVersion: node.eks.aws/v1alpha1\n\
                     kind: NodeConfig\nspec:\n  featureGates:\n    FastImagePull: true\n--BOUNDARY--\n";
        insta::assert_snapshot!("al2023_parts", shown(Family::Al2023, &Node { users: Some(parts), ..plain(&cluster) }));
        let config = "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: {}\n";
        let written = shown(Family::Al2023, &Node { users: Some(config), ..plain(&cluster) });
        assert_eq!(written.matches("Content-Type: application/node.eks.aws").count(), 2, "{written}");
    }

    #[test]
    fn al2_calls_the_script_of_its_image() {
        let cluster = cluster();
        insta::assert_snapshot!("al2_plain", shown(Family::Al2, &plain(&cluster)));
        insta::assert_snapshot!("al2_full", shown(Family::Al2, &full(&cluster, "#!/bin/bash\necho hello\n")));
    }

    #[test]
    fn windows_calls_the_script_of_its_image_after_the_users() {
        let cluster = cluster();
        insta::assert_snapshot!("windows_plain", shown(Family::Windows2022, &plain(&cluster)));
        let users = "<powershell>\nWrite-Host hello\n</powershell>\n";
        insta::assert_snapshot!("windows_full", shown(Family::Windows2022, &full(&cluster, users)));
    }

    #[test]
    fn bottlerocket_gets_settings_laid_over_the_users() {
        let cluster = cluster();
        insta::assert_snapshot!("bottlerocket_plain", shown(Family::Bottlerocket, &plain(&cluster)));
        let users = "[settings.motd]\ncontent = \"hello\"\n\n[settings.kubernetes]\ncluster-name = \"of-a-liar\"\n\
                     max-pods = 7\nallowed-unsafe-sysctls = [\"net.core.somaxconn\"]\n\n\
                     [settings.kubernetes.node-labels]\nrack = \"r1\"\nteam = \"old\"\n\n\
                     [settings.kubernetes.node-taints]\nload = [\"test:NoSchedule\", \"test:NoExecute\"]\n";
        insta::assert_snapshot!("bottlerocket_full", shown(Family::Bottlerocket, &full(&cluster, users)));
    }

    #[test]
    fn addresses_of_the_sixth_version_are_said_where_a_script_has_to_know() {
        let cluster = ClusterFacts {
            ip_family: IpFamily::V6,
            service_cidr: "fd30:1c53:5f8a::/108".into(),
            dns_ip: "fd30:1c53:5f8a::a".into(),
            ..cluster()
        };
        let written = shown(Family::Al2, &plain(&cluster));
        assert!(written.contains("--ip-family ipv6") && written.contains("--service-ipv6-cidr"), "{written}");
    }

    #[test]
    fn custom_images_get_the_users_text_as_it_is() {
        let cluster = cluster();
        let users = "#cloud-config\nruncmd: [ls]\n";
        assert_eq!(shown(Family::Custom, &full(&cluster, users)), users);
        assert_eq!(shown(Family::Custom, &plain(&cluster)), "");
    }

    #[test]
    fn what_cannot_be_read_or_is_too_long_names_the_field() {
        let cluster = cluster();
        let fault = |family, users: &str| {
            user_data(family, &Node { users: Some(users), ..plain(&cluster) })
                .map_or_else(|fault| fault.to_string(), |text| panic!("{text}"))
        };
        insta::assert_snapshot!("fault_toml", fault(Family::Bottlerocket, "[settings\n"));
        insta::assert_snapshot!(
            "fault_mime",
            fault(Family::Al2023, "MIME-Version: 1.0\nContent-Type: multipart/mixed\n\nx")
        );
        insta::assert_snapshot!("fault_long", fault(Family::Al2023, &format!("#!/bin/sh\n{}", "x".repeat(LIMIT))));
    }

    #[test]
    fn kubelets_do_not_give_themselves_labels_of_kubernetes() {
        for (key, allowed) in [
            ("team", true),
            ("example.com/team", true),
            ("karpenter.sh/nodepool", true),
            ("karpenter.k8s.aws/ec2nodeclass", true),
            ("node.kubernetes.io/exclude-from-external-load-balancers", true),
            ("kubernetes.io/role", false),
            ("node-role.kubernetes.io/worker", false),
            ("topology.kubernetes.io/zone", false),
            ("scheduling.k8s.io/x", false),
        ] {
            assert_eq!(is_for_kubelets(key), allowed, "{key}");
        }
    }
}
