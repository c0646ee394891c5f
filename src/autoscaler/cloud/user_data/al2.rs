//! Amazon Linux 2: a shell script that calls the image's own, in a MIME document after the user's parts.

use super::flags::flags;
use super::mime::{self, Part};
use super::{Node, UserDataFault, dns};
use crate::autoscaler::cloud::IpFamily;

const SCRIPT: &str = "text/x-shellscript; charset=\"us-ascii\"";

/// The user's parts, then the script.
pub fn write(node: &Node<'_>) -> Result<String, UserDataFault> {
    let users = node.users.filter(|text| !text.trim().is_empty());
    let mut parts = users.map(|text| mime::read(text, |_| SCRIPT)).transpose()?.unwrap_or_default();
    parts.push(Part::new(SCRIPT, script(node)));
    Ok(mime::write(&parts))
}

fn script(node: &Node<'_>) -> String {
    let cluster = node.cluster;
    let mut lines = vec![
        format!("/etc/eks/bootstrap.sh '{}'", cluster.name),
        format!("--apiserver-endpoint '{}'", cluster.endpoint),
        format!("--b64-cluster-ca '{}'", cluster.certificate_authority),
    ];
    lines.extend(dns(node).first().map(|address| format!("--dns-cluster-ip '{address}'")));
    if cluster.ip_family == IpFamily::V6 {
        lines.push(format!("--ip-family ipv6 --service-ipv6-cidr '{}'", cluster.service_cidr));
    }
    if node.max_pods.is_some() {
        lines.push("--use-max-pods false".to_owned());
    }
    if node.raid0 {
        lines.push("--local-disks raid0".to_owned());
    }
    lines.push(format!("--kubelet-extra-args '{}'", flags(node)));
    format!("#!/bin/bash\nset -ex\n{}\n", lines.join(" \\\n  "))
}
