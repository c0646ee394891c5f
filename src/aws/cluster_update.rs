//! Changes a cluster as it stands. EKS takes one kind of change per call and one update at a time,
//! so each is waited for before the next.

use std::str::FromStr;

use aws_sdk_eks::operation::update_cluster_config::builders::UpdateClusterConfigFluentBuilder;

use super::cluster::Cluster;
use super::error::{CloudError, call};
use super::kind::{Found, Work};
use super::{cluster_request, eks};
use crate::spec::KubernetesVersion;

/// Carries out what `work.fields` names, in the order in which the steps can follow one another.
///
/// # Errors
/// The first step that fails, with EKS's reasons.
pub async fn carry_out(cluster: &Cluster, found: &Found<Cluster>, work: &Work) -> Result<(), CloudError> {
    let changes = |fields: &[&str]| fields.iter().any(|field| work.changes(field));
    if changes(&["version"]) {
        upgrade(cluster, &found.body.version, work).await?;
    }
    if changes(&["authenticationMode"]) {
        let mode = cluster.authentication_mode.as_str().into();
        let access = aws_sdk_eks::types::UpdateAccessConfigRequest::builder().authentication_mode(mode).build();
        configure(cluster, "access", work, |request| request.access_config(access)).await?;
    }
    if changes(&["secretsKey"]) {
        encrypt(cluster, work).await?;
    }
    if changes(&["logging"]) {
        let logging = cluster_request::logging(&cluster.logging);
        configure(cluster, "logging", work, |request| request.logging(logging)).await?;
    }
    if changes(&["upgradePolicy"]) {
        let policy = cluster_request::upgrade_policy(&cluster.upgrade_policy);
        configure(cluster, "upgrade-policy", work, |request| request.upgrade_policy(policy)).await?;
    }
    if changes(&["endpointPublic", "endpointPrivate", "publicCidrs"]) {
        let endpoint = cluster_request::endpoint(cluster);
        configure(cluster, "endpoint", work, |request| request.resources_vpc_config(endpoint)).await?;
    }
    if changes(&["subnets"]) {
        let subnets = cluster_request::subnets(cluster);
        configure(cluster, "subnets", work, |request| request.resources_vpc_config(subnets)).await?;
    }
    if changes(&["securityGroups"]) {
        let groups = cluster_request::security_groups(cluster);
        configure(cluster, "security-groups", work, |request| request.resources_vpc_config(groups)).await?;
    }
    if changes(&["deletionProtection"]) {
        let on = cluster.deletion_protection;
        configure(cluster, "deletion-protection", work, |request| request.deletion_protection(on)).await?;
    }
    Ok(())
}

async fn configure(
    cluster: &Cluster,
    step: &str,
    work: &Work,
    fill: impl FnOnce(UpdateClusterConfigFluentBuilder) -> UpdateClusterConfigFluentBuilder,
) -> Result<(), CloudError> {
    const ACTION: &str = "eks:UpdateClusterConfig";
    let payload = serde_json::to_string(cluster).unwrap_or_default();
    let request = work.cloud.write.eks.update_cluster_config().name(&cluster.name);
    let sending = fill(request).client_request_token(eks::token(work, step, &payload));
    let answer = call(ACTION, sending.send()).await.map(|answer| answer.update);
    eks::finish(ACTION, answer, target(cluster), work).await
}

/// One minor up: EKS takes no more at a time, and the planner asks for no more.
async fn upgrade(cluster: &Cluster, from: &str, work: &Work) -> Result<(), CloudError> {
    const ACTION: &str = "eks:UpdateClusterVersion";
    if !is_next(from, &cluster.version) {
        return Err(CloudError::refused(
            ACTION,
            format!("Kubernetes goes up one minor version at a time, not from {from} to {}", cluster.version),
        ));
    }
    let sending = work
        .cloud
        .write
        .eks
        .update_cluster_version()
        .name(&cluster.name)
        .version(&cluster.version)
        .client_request_token(eks::token(work, "version", &cluster.version));
    let answer = call(ACTION, sending.send()).await.map(|answer| answer.update);
    eks::finish(ACTION, answer, target(cluster), work).await
}

async fn encrypt(cluster: &Cluster, work: &Work) -> Result<(), CloudError> {
    const ACTION: &str = "eks:AssociateEncryptionConfig";
    let sending = work
        .cloud
        .write
        .eks
        .associate_encryption_config()
        .cluster_name(&cluster.name)
        .encryption_config(cluster_request::encryption(&cluster.secrets_key))
        .client_request_token(eks::token(work, "encryption", &cluster.secrets_key));
    let answer = call(ACTION, sending.send()).await.map(|answer| answer.update);
    eks::finish(ACTION, answer, target(cluster), work).await
}

fn target(cluster: &Cluster) -> eks::Target<'_> {
    eks::Target { cluster: &cluster.name, ..eks::Target::default() }
}

fn is_next(from: &str, to: &str) -> bool {
    match (KubernetesVersion::from_str(from), KubernetesVersion::from_str(to)) {
        (Ok(from), Ok(to)) => from.major == to.major && u32::from(from.minor) + 1 == u32::from(to.minor),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_next;

    #[test]
    fn only_the_next_minor_version_is_taken() {
        assert!(is_next("1.34", "1.35"));
        for (from, to) in [("1.34", "1.36"), ("1.35", "1.35"), ("1.35", "1.34"), ("1.34", "2.35"), ("", "1.35")] {
            assert!(!is_next(from, to), "{from} to {to}");
        }
    }
}
