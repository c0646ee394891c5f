//! Changes an add-on as it stands, over as many versions as that takes.

use aws_sdk_eks::types;

use super::addon::Addon;
use super::addon_versions::{Offer, STEPWISE, path, target};
use super::eks;
use super::error::{CloudError, call};
use super::kind::{Found, Work};
use super::tagging::{self, Tagged};
use crate::plan::TagChange;

/// Carries out what `work.fields` names, and remembers for which Kubernetes version EKS has chosen
/// once its choice is installed.
///
/// # Errors
/// The first step that fails, with EKS's reasons.
pub async fn carry_out(addon: &Addon, found: &Found<Addon>, work: &Work) -> Result<(), CloudError> {
    let configures = work.changes("configuration") || work.changes("serviceAccountRole");
    let mut steps: Vec<Option<String>> =
        versions(addon, &found.outputs.version, work).await?.into_iter().map(Some).collect();
    if steps.is_empty() && configures {
        steps.push(None);
    }
    for version in steps {
        step(addon, version, work).await?;
    }
    if work.changes("kubernetes") {
        let tags = TagChange { set: addon.marker(), unset: Vec::new() };
        tagging::change(&Tagged::Eks(found.outputs.arn.clone()), &tags, work).await?;
    }
    Ok(())
}

/// The versions that the add-on takes one after the other.
async fn versions(addon: &Addon, current: &str, work: &Work) -> Result<Vec<String>, CloudError> {
    if !work.changes("version") && !work.changes("kubernetes") {
        return Ok(Vec::new());
    }
    let offers = match &addon.version {
        Some(version) if addon.name != STEPWISE => return Ok(vec![version.clone()]),
        _ => offers(addon, work).await?,
    };
    let wanted = addon.version.clone().or_else(|| target(current, &offers));
    Ok(wanted.map(|wanted| path(&addon.name, current, &wanted, &offers)).unwrap_or_default())
}

/// What EKS offers for the cluster's Kubernetes version.
async fn offers(addon: &Addon, work: &Work) -> Result<Vec<Offer>, CloudError> {
    let request = work.cloud.read.eks.describe_addon_versions().addon_name(&addon.name);
    let mut pages = request.set_kubernetes_version(addon.kubernetes.clone()).into_paginator().send();
    let mut offers = Vec::new();
    while let Some(page) = pages.next().await {
        let page = call("eks:DescribeAddonVersions", async { page }).await?;
        let versions = page.addons().iter().flat_map(types::AddonInfo::addon_versions);
        offers.extend(versions.map(|version| offer(version, addon.kubernetes.as_deref())));
    }
    Ok(offers)
}

fn offer(shown: &types::AddonVersionInfo, kubernetes: Option<&str>) -> Offer {
    let fits =
        |compatibility: &&types::Compatibility| kubernetes.is_none() || compatibility.cluster_version() == kubernetes;
    let recommended = shown.compatibilities().iter().filter(fits).any(types::Compatibility::default_version);
    Offer { version: shown.addon_version().unwrap_or_default().to_owned(), recommended }
}

async fn step(addon: &Addon, version: Option<String>, work: &Work) -> Result<(), CloudError> {
    const ACTION: &str = "eks:UpdateAddon";
    let payload = format!("{version:?}/{}/{}", addon.configuration, addon.service_account_role);
    let sending = work
        .cloud
        .write
        .eks
        .update_addon()
        .cluster_name(addon.cluster.as_str())
        .addon_name(&addon.name)
        .set_addon_version(version)
        .configuration_values(addon.configuration.to_string())
        .set_service_account_role_arn(addon.role())
        .resolve_conflicts(types::ResolveConflicts::Overwrite)
        .client_request_token(eks::token(work, "update", &payload));
    let answer = call(ACTION, sending.send()).await.map(|answer| answer.update);
    let target = eks::Target { cluster: addon.cluster.as_str(), addon: Some(&addon.name), ..eks::Target::default() };
    eks::finish(ACTION, answer, target, work).await
}
