//! A cluster in the words of the EKS API, and back.

use std::collections::BTreeSet;

use aws_sdk_eks::operation::create_cluster::builders::CreateClusterFluentBuilder;
use aws_sdk_eks::types;

use super::cluster::Cluster;
use super::eks;
use super::error::CloudError;
use super::kind::Work;
use crate::plan::Reference;

/// All control-plane logs that there are.
const LOGS: &[&str] = &["api", "audit", "authenticator", "controllerManager", "scheduler"];

/// The call that makes `cluster`.
///
/// # Errors
/// None in practice: everything that the API requires is given.
pub fn creation(cluster: &Cluster, work: &Work) -> Result<CreateClusterFluentBuilder, CloudError> {
    let access = types::CreateAccessConfigRequest::builder()
        .authentication_mode(cluster.authentication_mode.as_str().into())
        .bootstrap_cluster_creator_admin_permissions(cluster.bootstrap_cluster_creator_admin_permissions)
        .build();
    let network = cluster
        .service_cidr
        .as_ref()
        .map(|cidr| types::KubernetesNetworkConfigRequest::builder().service_ipv4_cidr(cidr).build());
    let encryption = (!cluster.secrets_key.is_empty()).then(|| vec![encryption(&cluster.secrets_key)]);
    Ok(work
        .cloud
        .write
        .eks
        .create_cluster()
        .name(&cluster.name)
        .version(&cluster.version)
        .role_arn(cluster.role.as_str())
        .resources_vpc_config(whole_network(cluster))
        .set_kubernetes_network_config(network)
        .logging(logging(&cluster.logging))
        .client_request_token(eks::token(work, "create", ""))
        .set_tags(eks::tags_of(work))
        .set_encryption_config(encryption)
        .access_config(access)
        .bootstrap_self_managed_addons(cluster.bootstrap_self_managed_addons)
        .upgrade_policy(upgrade_policy(&cluster.upgrade_policy))
        .deletion_protection(cluster.deletion_protection))
}

/// The cluster that EKS shows, in the form in which the stack wants it.
pub fn body_of(shown: &types::Cluster) -> Cluster {
    let network = shown.resources_vpc_config();
    let public = network.is_some_and(types::VpcConfigResponse::endpoint_public_access);
    let access = shown.access_config();
    let creator = access.and_then(|access| access.bootstrap_cluster_creator_admin_permissions());
    Cluster {
        name: shown.name().unwrap_or_default().to_owned(),
        version: shown.version().unwrap_or_default().to_owned(),
        role: Reference::known(shown.role_arn().unwrap_or_default()),
        subnets: references(network.map(types::VpcConfigResponse::subnet_ids)),
        security_groups: references(network.map(types::VpcConfigResponse::security_group_ids)),
        endpoint_public: public,
        endpoint_private: network.is_some_and(types::VpcConfigResponse::endpoint_private_access),
        public_cidrs: network.filter(|_| public).map(|network| network.public_access_cidrs().iter().cloned().collect()),
        logging: enabled_logs(shown.logging()),
        upgrade_policy: shown
            .upgrade_policy()
            .and_then(|policy| policy.support_type())
            .map_or("EXTENDED", types::SupportType::as_str)
            .to_owned(),
        deletion_protection: shown.deletion_protection().unwrap_or_default(),
        service_cidr: shown
            .kubernetes_network_config()
            .and_then(|network| network.service_ipv4_cidr())
            .map(str::to_owned),
        secrets_key: secrets_key(shown.encryption_config()),
        authentication_mode: access
            .and_then(|access| access.authentication_mode())
            .map_or("CONFIG_MAP", types::AuthenticationMode::as_str)
            .to_owned(),
        bootstrap_self_managed_addons: false,
        bootstrap_cluster_creator_admin_permissions: creator.unwrap_or(true),
    }
}

/// Where the API answers, and for whom.
pub fn endpoint(cluster: &Cluster) -> types::VpcConfigRequest {
    let cidrs = cluster.public_cidrs.as_ref().map(|cidrs| cidrs.iter().cloned().collect());
    types::VpcConfigRequest::builder()
        .endpoint_public_access(cluster.endpoint_public)
        .endpoint_private_access(cluster.endpoint_private)
        .set_public_access_cidrs(cidrs)
        .build()
}

/// Where the control plane's interfaces stand.
pub fn subnets(cluster: &Cluster) -> types::VpcConfigRequest {
    types::VpcConfigRequest::builder().set_subnet_ids(Some(texts(&cluster.subnets))).build()
}

/// Which groups they are in.
pub fn security_groups(cluster: &Cluster) -> types::VpcConfigRequest {
    types::VpcConfigRequest::builder().set_security_group_ids(Some(texts(&cluster.security_groups))).build()
}

/// Every log, on or off, as `wanted` says.
pub fn logging(wanted: &BTreeSet<String>) -> types::Logging {
    let setup = |on: bool| {
        let names = LOGS.iter().filter(|name| wanted.contains(**name) == on);
        let types: Vec<types::LogType> = names.map(|name| types::LogType::from(*name)).collect();
        (!types.is_empty()).then(|| types::LogSetup::builder().enabled(on).set_types(Some(types)).build())
    };
    let setups = [true, false].into_iter().filter_map(setup).collect();
    types::Logging::builder().set_cluster_logging(Some(setups)).build()
}

/// What is to happen when the version's standard support ends.
pub fn upgrade_policy(name: &str) -> types::UpgradePolicyRequest {
    types::UpgradePolicyRequest::builder().support_type(name.into()).build()
}

/// Secrets encrypted with `key`.
#[expect(deprecated, reason = "EKS encrypts everything by now, but the API still takes `secrets` and nothing else")]
pub fn encryption(key: &str) -> types::EncryptionConfig {
    types::EncryptionConfig::builder()
        .resources("secrets")
        .provider(types::Provider::builder().key_arn(key).build())
        .build()
}

fn whole_network(cluster: &Cluster) -> types::VpcConfigRequest {
    let cidrs = cluster.public_cidrs.as_ref().map(|cidrs| cidrs.iter().cloned().collect());
    types::VpcConfigRequest::builder()
        .set_subnet_ids(Some(texts(&cluster.subnets)))
        .set_security_group_ids(Some(texts(&cluster.security_groups)).filter(|groups| !groups.is_empty()))
        .endpoint_public_access(cluster.endpoint_public)
        .endpoint_private_access(cluster.endpoint_private)
        .set_public_access_cidrs(cidrs)
        .build()
}

fn enabled_logs(logging: Option<&types::Logging>) -> BTreeSet<String> {
    let setups = logging.map(types::Logging::cluster_logging).unwrap_or_default();
    let enabled = setups.iter().filter(|setup| setup.enabled() == Some(true));
    enabled.flat_map(|setup| setup.types()).map(|log| log.as_str().to_owned()).collect()
}

fn secrets_key(configs: &[types::EncryptionConfig]) -> String {
    let key = configs.iter().find_map(|config| config.provider()?.key_arn());
    key.unwrap_or_default().to_owned()
}

fn references<T>(ids: Option<&[String]>) -> BTreeSet<Reference<T>> {
    ids.unwrap_or_default().iter().map(Reference::known).collect()
}

fn texts<T>(references: &BTreeSet<Reference<T>>) -> Vec<String> {
    references.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_that_are_not_wanted_are_turned_off() {
        let wanted = BTreeSet::from(["audit".to_owned(), "api".to_owned()]);
        let sent = logging(&wanted);
        assert_eq!(enabled_logs(Some(&sent)), wanted);
        let named: usize = sent.cluster_logging().iter().map(|setup| setup.types().len()).sum();
        assert_eq!(named, LOGS.len());
    }
}
