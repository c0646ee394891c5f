//! Windows: PowerShell that calls the image's own script after the user's lines.

use super::flags::flags;
use super::{Node, dns};

const BEGIN: &str = "<powershell>";
const END: &str = "</powershell>";

/// One script: the user's lines, with or without their tags, then ours.
pub fn write(node: &Node<'_>) -> String {
    let users = node.users.unwrap_or_default().replace(BEGIN, "").replace(END, "");
    let cluster = node.cluster;
    let mut call = vec![
        format!("-EKSClusterName '{}'", cluster.name),
        format!("-APIServerEndpoint '{}'", cluster.endpoint),
        format!("-Base64ClusterCA '{}'", cluster.certificate_authority),
    ];
    call.extend(dns(node).first().map(|address| format!("-DNSClusterIP '{address}'")));
    call.push(format!("-KubeletExtraArgs '{}'", flags(node)));
    let mut lines = vec![BEGIN];
    lines.extend(Some(users.trim()).filter(|users| !users.is_empty()));
    let call = format!("& \"$env:ProgramFiles\\Amazon\\EKS\\Start-EKSBootstrap.ps1\" {}", call.join(" "));
    lines.extend([call.as_str(), END]);
    lines.join("\n") + "\n"
}
