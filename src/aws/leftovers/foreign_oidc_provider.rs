//! The OIDC provider that somebody else registered for the stack's cluster. Without the cluster
//! nobody can use it.

use serde::{Deserialize, Serialize};

use super::{Leftover, Territory, found};
use crate::aws::eks;
use crate::aws::error::{CloudError, call, existing};
use crate::aws::ids::IssuerUrl;
use crate::aws::kind::{Found, Work};
use crate::aws::reads::Reads;
use crate::aws::tagging;
use crate::plan::{Describe, Effect, Facts, Reference, STACK, State};

/// A provider for the issuer of the stack's cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForeignOidcProvider {
    /// The issuer that it believes.
    pub issuer: Reference<IssuerUrl>,
}

impl Describe for ForeignOidcProvider {
    const FACTS: Facts = Facts {
        fields: &[("issuer", Effect::Replace)],
        outputs: &["id"],
        taggable: false,
        references: &[("issuer", &["cluster"])],
        ..Facts::new("foreign-oidc-provider")
    };
}

impl Leftover for ForeignOidcProvider {
    /// Only while the cluster stands can be told which issuer was its own.
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let (territory, cluster) = tokio::try_join!(Territory::of(reads), eks::cluster(reads))?;
        let identity = cluster.as_ref().as_ref().and_then(|cluster| cluster.identity());
        let issuer = identity.and_then(|identity| identity.oidc()).and_then(|oidc| oidc.issuer());
        let (Some(_), Some(issuer)) = (&territory.cluster, issuer) else { return Ok(Vec::new()) };
        let arn = provider_arn(&reads.cloud.partition, &reads.cloud.account, issuer);
        let sending = reads.cloud.read.iam.get_open_id_connect_provider().open_id_connect_provider_arn(&arn);
        let shown = existing(call("iam:GetOpenIDConnectProvider", sending.send()).await)?;
        let tags = shown.map(|shown| tagging::from_iam(shown.tags())).filter(|tags| !tags.contains_key(STACK));
        let name = issuer.rsplit('/').next().unwrap_or(issuer);
        Ok(tags
            .map(|tags| found(name, &arn, Self { issuer: Reference::known(issuer) }, tags, State::Ready))
            .into_iter()
            .collect())
    }

    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let client = &work.cloud.write.iam;
        let sending = client.delete_open_id_connect_provider().open_id_connect_provider_arn(&found.outputs.id);
        existing(call("iam:DeleteOpenIDConnectProvider", sending.send()).await).map(drop)
    }
}

/// The ARN of the provider for an issuer: the issuer's URL is its name.
fn provider_arn(partition: &str, account: &str, issuer: &str) -> String {
    let host_and_path = issuer.strip_prefix("https://").unwrap_or(issuer);
    format!("arn:{partition}:iam::{account}:oidc-provider/{host_and_path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_is_named_by_the_clusters_issuer() {
        let arn = provider_arn("aws", "111122223333", "https://oidc.eks.eu-central-1.amazonaws.com/id/0A1B");
        assert_eq!(arn, "arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/0A1B");
    }
}
