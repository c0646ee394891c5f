//! An OIDC provider of IAM: lets the tokens of a cluster's service accounts stand for roles.

use std::collections::BTreeSet;

use aws_sdk_iam::operation::get_open_id_connect_provider::GetOpenIdConnectProviderOutput;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::cloud::Cloud;
use super::eks;
use super::error::{Class, CloudError, call, existing};
use super::ids::{IssuerUrl, OidcProviderArn, Text};
use super::kind::{Found, Kind, Made, Work};
use super::reads::Reads;
use super::tagging::{self, Tagged};
use crate::plan::{Describe, Effect, Facts, Handle, Reference, State, TagChange};

/// Trust in what the issuer of one cluster signs. IAM knows the certificate authorities of EKS, so
/// no thumbprint is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OidcProvider {
    /// The issuer: `https://…`.
    pub url: Reference<IssuerUrl>,
    /// For whom tokens are taken.
    pub client_ids: BTreeSet<String>,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// Its ARN.
    pub arn: String,
    /// The issuer without `https://`: how trust policies name it.
    pub issuer: String,
}

impl Describe for OidcProvider {
    const FACTS: Facts = Facts {
        fields: &[("url", Effect::Replace), ("clientIds", Effect::InPlace)],
        outputs: &["arn", "issuer"],
        outlives: &["cluster"],
        ..Facts::new("oidc-provider")
    };
}

impl Handle<OidcProvider> {
    /// The ARN.
    pub fn arn(&self) -> Reference<OidcProviderArn> {
        self.output("arn")
    }

    /// The issuer as trust policies name it, without `https://`.
    pub fn issuer(&self) -> Reference<Text> {
        self.output("issuer")
    }
}

impl Kind for OidcProvider {
    type Outputs = Outputs;

    /// The provider of the stack's cluster is known by its issuer. Any other one of the stack, such as that of
    /// a cluster that is gone, is looked for among all.
    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let of_the_cluster = match issuer_of_the_cluster(reads).await? {
            Some(issuer) => read(reads, &arn_for(&reads.cloud, &issuer)).await?,
            None => None,
        };
        if of_the_cluster.is_some() {
            return Ok(of_the_cluster.into_iter().collect());
        }
        let client = &reads.cloud.read.iam;
        let answer = call("iam:ListOpenIDConnectProviders", client.list_open_id_connect_providers().send()).await?;
        let arns = answer.open_id_connect_provider_list().iter().filter_map(|provider| provider.arn());
        let of_eks_here = arns.filter(|arn| is_of_eks(arn, &reads.cloud.region));
        let found = try_join_all(of_eks_here.map(|arn| read(reads, arn))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .iam
            .create_open_id_connect_provider()
            .url(self.url.as_str())
            .set_client_id_list(Some(self.client_ids.iter().cloned().collect()))
            .set_tags(Some(tagging::iam(&work.tags)?));
        let arn = match call("iam:CreateOpenIDConnectProvider", sending.send()).await {
            Ok(answer) => answer
                .open_id_connect_provider_arn
                .ok_or_else(|| CloudError::incomplete("iam:CreateOpenIDConnectProvider", "ARN"))?,
            Err(error) if error.class == Class::Exists => self.adopt(work).await?,
            Err(error) => return Err(error),
        };
        Ok(Made::ready(Outputs { arn, issuer: issuer_of(self.url.as_str()).to_owned() }))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let arn = found.outputs.arn.clone();
        self.write_clients(&arn, &found.body.client_ids, work).await?;
        Ok(Made::ready(Outputs { arn, issuer: found.outputs.issuer.clone() }))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let client = &work.cloud.write.iam;
        let sending = client.delete_open_id_connect_provider().open_id_connect_provider_arn(&found.outputs.arn);
        existing(call("iam:DeleteOpenIDConnectProvider", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::OidcProvider(outputs.arn.clone())
    }
}

impl OidcProvider {
    /// Takes over the provider that somebody has made for this stack's own cluster.
    async fn adopt(&self, work: &Work) -> Result<String, CloudError> {
        let arn = arn_for(&work.cloud, self.url.as_str());
        let sending = work.cloud.read.iam.get_open_id_connect_provider().open_id_connect_provider_arn(&arn);
        let shown = call("iam:GetOpenIDConnectProvider", sending.send()).await?;
        self.write_clients(&arn, &shown.client_id_list().iter().cloned().collect(), work).await?;
        let tags = TagChange { set: work.tags.clone(), unset: Vec::new() };
        tagging::change(&Tagged::OidcProvider(arn.clone()), &tags, work).await?;
        Ok(arn)
    }

    async fn write_clients(&self, arn: &str, standing: &BTreeSet<String>, work: &Work) -> Result<(), CloudError> {
        let client = &work.cloud.write.iam;
        for id in self.client_ids.difference(standing) {
            let sending =
                client.add_client_id_to_open_id_connect_provider().open_id_connect_provider_arn(arn).client_id(id);
            call("iam:AddClientIDToOpenIDConnectProvider", sending.send()).await?;
        }
        for id in standing.difference(&self.client_ids) {
            let sending =
                client.remove_client_id_from_open_id_connect_provider().open_id_connect_provider_arn(arn).client_id(id);
            call("iam:RemoveClientIDFromOpenIDConnectProvider", sending.send()).await?;
        }
        Ok(())
    }
}

/// The issuer of the stack's own cluster, while there is one.
async fn issuer_of_the_cluster(reads: &Reads) -> Result<Option<String>, CloudError> {
    if !eks::has_cluster(reads).await? {
        return Ok(None);
    }
    let cluster = eks::cluster(reads).await?;
    let identity = cluster.as_ref().as_ref().and_then(|cluster| cluster.identity());
    Ok(identity.and_then(|identity| identity.oidc()?.issuer()).map(str::to_owned))
}

/// The ARN of the provider for the issuer with this URL, which is its name.
fn arn_for(cloud: &Cloud, url: &str) -> String {
    format!("arn:{}:iam::{}:oidc-provider/{}", cloud.partition, cloud.account, issuer_of(url))
}

async fn read(reads: &Reads, arn: &str) -> Result<Option<Found<OidcProvider>>, CloudError> {
    let sending = reads.cloud.read.iam.get_open_id_connect_provider().open_id_connect_provider_arn(arn);
    let answer = existing(call("iam:GetOpenIDConnectProvider", sending.send()).await)?;
    Ok(answer.and_then(|provider| found(reads, arn, &provider)))
}

fn found(reads: &Reads, arn: &str, provider: &GetOpenIdConnectProviderOutput) -> Option<Found<OidcProvider>> {
    let tags = tagging::from_iam(provider.tags());
    let address = reads.address_in(&tags)?;
    let issuer = issuer_of(provider.url().unwrap_or_default()).to_owned();
    let body = OidcProvider {
        url: Reference::known(format!("https://{issuer}")),
        client_ids: provider.client_id_list().iter().cloned().collect(),
    };
    Some(Found { address, body, outputs: Outputs { arn: arn.to_owned(), issuer }, tags, state: State::Ready })
}

fn issuer_of(url: &str) -> &str {
    url.strip_prefix("https://").unwrap_or(url)
}

/// Whether an ARN is of a provider for an EKS cluster in `region`: an account can have a hundred.
fn is_of_eks(arn: &str, region: &str) -> bool {
    let Some((_, issuer)) = arn.split_once(":oidc-provider/") else { return false };
    ["oidc.eks.", "oidc-eks."].iter().any(|host| issuer.starts_with(&format!("{host}{region}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_providers_of_eks_in_the_region_are_looked_at() {
        let arn = |issuer: &str| format!("arn:aws:iam::111122223333:oidc-provider/{issuer}");
        assert!(is_of_eks(&arn("oidc.eks.eu-central-1.amazonaws.com/id/AB"), "eu-central-1"));
        assert!(is_of_eks(&arn("oidc-eks.eu-central-1.api.aws/id/AB"), "eu-central-1"));
        assert!(!is_of_eks(&arn("oidc.eks.eu-central-2.amazonaws.com/id/AB"), "eu-central-1"));
        assert!(!is_of_eks(&arn("token.actions.githubusercontent.com"), "eu-central-1"));
    }
}
