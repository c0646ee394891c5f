//! Hashes on objects: written where they are missing, and anew where another version stands.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::hashes::VERSION;
use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::runtime::{Context, writes};
use crate::autoscaler::state::live::{LiveClaim, Observed};

/// The annotations of one hash.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// The key of the hash.
    pub hash: &'static str,
    /// The key of its version.
    pub version: &'static str,
}

impl Stamp {
    /// Whether an object carries this hash in the version of today.
    pub fn is_on(&self, metadata: &ObjectMeta, hash: &str) -> bool {
        self.version_on(metadata) == Some(VERSION) && self.text(metadata, self.hash) == Some(hash)
    }

    fn version_on<'a>(&self, metadata: &'a ObjectMeta) -> Option<&'a str> {
        self.text(metadata, self.version)
    }

    fn text<'a>(&self, metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
        metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The annotations to write.
    pub fn of(&self, hash: &str) -> BTreeMap<&'static str, String> {
        BTreeMap::from([(self.hash, hash.to_owned()), (self.version, VERSION.to_owned())])
    }

    /// What a claim has to be given, if anything: a claim of another version is as its pool and class are today,
    /// unless it is known to have drifted.
    pub fn missing_on(&self, claim: &LiveClaim, hash: &str) -> Option<BTreeMap<&'static str, String>> {
        if self.version_on(&claim.object.metadata) == Some(VERSION) {
            return None;
        }
        let mut annotations = self.of(hash);
        if claim.is("Drifted") {
            annotations.remove(self.hash);
        }
        Some(annotations)
    }

    /// Stamps claims that carry another version, or none.
    ///
    /// # Errors
    /// The API server's.
    pub async fn renew(&self, context: &Context, claims: &[LiveClaim], hash: &str) -> kube::Result<()> {
        for claim in claims {
            let Some(annotations) = self.missing_on(claim, hash) else { continue };
            let change = json!({ "metadata": { "annotations": annotations } });
            match writes::patch::<NodeClaim>(&context.client, &claim.name, &change).await {
                Ok(claim) => context.live.apply(Observed::Claim(Box::new(claim))),
                Err(error) if writes::is_missing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
