//! Images of a class: by alias, id, parameter, or tags, name and owner; of each kind the newest that its owner has
//! not withdrawn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::types::{ArchitectureValues, Filter, Image as Shown, ImageState};
use futures::future::try_join_all;
use jiff::Timestamp;

use super::aliases::{exactly, parameters};
use super::selectors::{any_of, tag_filters};
use super::{Family, Image};
use crate::autoscaler::api::ec2_node_class::{AmiSelectorTerm, EC2NodeClassSpec};
use crate::autoscaler::api::requirement::Requirement;
use crate::autoscaler::cloud::Ec2;
use crate::autoscaler::state::names::keys::ARCH;
use crate::aws::{CloudError, call, existing, filter};

/// How long the parameters of AWS are believed.
const PUBLIC_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long parameters of users are believed.
const OWN_KEPT: Duration = Duration::from_secs(300);
/// What image parameters of AWS begin with.
const PUBLIC: &str = "/aws/service/";

/// Why there are no images.
#[derive(Clone, Debug)]
pub enum ImageFault {
    /// The selectors lead nowhere.
    Nothing(String),
    /// A call failed.
    Call(CloudError),
}

impl From<CloudError> for ImageFault {
    fn from(error: CloudError) -> Self {
        Self::Call(error)
    }
}

/// The family of a class: what it says, or what its alias does.
pub fn family_of(spec: &EC2NodeClassSpec) -> Option<Family> {
    let alias = spec.ami_selector_terms.iter().find_map(|term| term.alias.as_deref());
    let named = spec.ami_family.as_deref().or_else(|| alias?.split_once('@').map(|(name, _)| name));
    named.and_then(Family::named)
}

/// An image that was found, with what its selector says of the nodes that it suits.
#[derive(Clone, Debug)]
struct Candidate {
    image: Image,
    created: String,
}

impl Ec2 {
    /// The images of a class.
    pub(super) async fn find_images(&self, spec: &EC2NodeClassSpec) -> Result<Arc<Vec<Image>>, ImageFault> {
        let key = serde_json::to_string(&spec.ami_selector_terms).unwrap_or_default();
        self.images
            .get(&key, self.settings.image_refresh, || async {
                let alias = spec.ami_selector_terms.iter().find_map(|term| term.alias.as_deref());
                let candidates = match alias {
                    Some(alias) => self.of_alias(alias).await?,
                    None => self.of_terms(&spec.ami_selector_terms).await?,
                };
                Ok(Arc::new(newest(candidates)))
            })
            .await
    }

    async fn of_alias(&self, alias: &str) -> Result<Vec<Candidate>, ImageFault> {
        let wanted = parameters(alias, self.cluster.minor)
            .map_err(|fault| ImageFault::Nothing(format!("`spec.amiSelectorTerms[0].alias`: {fault}")))?;
        let values = try_join_all(wanted.iter().map(|parameter| self.parameter(&parameter.path))).await?;
        let mut suited: BTreeMap<String, Vec<Vec<Requirement>>> = BTreeMap::new();
        for (parameter, value) in wanted.iter().zip(&values) {
            if let Some(id) = value {
                suited.entry(id.clone()).or_default().push(parameter.requirements.clone());
            }
        }
        if suited.is_empty() {
            return Err(ImageFault::Nothing(format!(
                "`spec.amiSelectorTerms[0].alias`: AWS publishes no image for `{alias}` and Kubernetes 1.{}: there is no \
                 parameter `{}`; check the version, or write `latest`",
                self.cluster.minor,
                wanted.first().map(|parameter| parameter.path.as_str()).unwrap_or_default()
            )));
        }
        let ids: Vec<&str> = suited.keys().map(String::as_str).collect();
        let shown = self.read_images(any_of("image-id", &ids), &[]).await?;
        if shown.is_empty() {
            // They come and go together only while AWS publishes a release: ask for the parameters anew.
            wanted.iter().for_each(|parameter| self.parameters.forget(&parameter.path));
        }
        let of = |image: &Shown| {
            let variants = image.image_id().and_then(|id| suited.get(id)).cloned().unwrap_or_default();
            variants.into_iter().filter_map(|variant| candidate(image, variant)).collect::<Vec<_>>()
        };
        Ok(shown.iter().flat_map(of).collect())
    }

    async fn of_terms(&self, terms: &[AmiSelectorTerm]) -> Result<Vec<Candidate>, CloudError> {
        let named = terms.iter().filter_map(|term| term.ssm_parameter.as_deref());
        let values = try_join_all(named.map(|path| self.parameter(path))).await?;
        let ids: Vec<&str> = terms
            .iter()
            .filter_map(|term| term.id.as_deref())
            .chain(values.iter().flatten().map(String::as_str))
            .collect();
        let by_tags = terms.iter().filter(|term| term.id.is_none() && term.ssm_parameter.is_none());
        let by_tags = by_tags.map(|term| async move {
            let mut filters = tag_filters(&term.tags);
            filters.extend(term.name.as_deref().map(|name| filter("name", name)));
            self.read_images(vec![filters], &owners(term)).await
        });
        let (by_id, by_tags) =
            tokio::try_join!(self.read_images(any_of("image-id", &ids), &[]), try_join_all(by_tags))?;
        let all: BTreeMap<&str, &Shown> =
            by_id.iter().chain(by_tags.iter().flatten()).filter_map(|image| Some((image.image_id()?, image))).collect();
        Ok(all.into_values().filter_map(|image| candidate(image, Vec::new())).collect())
    }

    /// The value of a parameter; `None` where there is none.
    async fn parameter(&self, path: &str) -> Result<Option<String>, CloudError> {
        let kept = if path.starts_with(PUBLIC) { PUBLIC_KEPT } else { OWN_KEPT };
        self.parameters
            .get(&path.to_owned(), kept, || async {
                let answer =
                    existing(call("ssm:GetParameter", self.cloud.read.ssm.get_parameter().name(path).send()).await)?;
                Ok(answer.and_then(|answer| answer.parameter?.value))
            })
            .await
    }

    async fn read_images(&self, questions: Vec<Vec<Filter>>, owners: &[String]) -> Result<Vec<Shown>, CloudError> {
        let ask = |filters: Vec<Filter>| async move {
            let owners = (!owners.is_empty()).then(|| owners.to_vec());
            let request = self.cloud.read.ec2.describe_images().set_filters(Some(filters)).set_owners(owners);
            let pages = request.include_deprecated(true).into_paginator().items().send();
            call("ec2:DescribeImages", pages.collect::<Result<Vec<_>, _>>()).await
        };
        Ok(try_join_all(questions.into_iter().map(ask)).await?.into_iter().flatten().collect())
    }
}

/// Whose images a term means: by name alone anybody could give us theirs.
fn owners(term: &AmiSelectorTerm) -> Vec<String> {
    match (&term.owner, &term.name) {
        (Some(owner), _) => vec![owner.clone()],
        (None, Some(_)) => vec!["self".to_owned(), "amazon".to_owned()],
        (None, None) => Vec::new(),
    }
}

/// An image that can be started, with the requirements of its architecture and variant.
fn candidate(image: &Shown, variant: Vec<Requirement>) -> Option<Candidate> {
    let architecture = match image.architecture()? {
        ArchitectureValues::X8664 => "amd64",
        ArchitectureValues::Arm64 => "arm64",
        _ => return None,
    };
    if image.state().is_some_and(|state| *state != ImageState::Available) {
        return None;
    }
    let withdrawn = image.deprecation_time().and_then(|moment| moment.parse::<Timestamp>().ok());
    let mut requirements = vec![exactly(ARCH, architecture)];
    requirements.extend(variant);
    let found = Image {
        id: image.image_id()?.to_owned(),
        name: image.name().unwrap_or_default().to_owned(),
        deprecated: withdrawn.is_some_and(|moment| moment <= Timestamp::now()),
        requirements,
    };
    Some(Candidate { image: found, created: image.creation_date().unwrap_or_default().to_owned() })
}

/// Of candidates that suit the same nodes, the newest that is not withdrawn, or the newest of all; newest first.
fn newest(mut candidates: Vec<Candidate>) -> Vec<Image> {
    candidates.sort_by(|a, b| {
        let order = a.image.deprecated.cmp(&b.image.deprecated).then_with(|| b.created.cmp(&a.created));
        order.then_with(|| a.image.name.cmp(&b.image.name)).then_with(|| a.image.id.cmp(&b.image.id))
    });
    let mut chosen: Vec<Image> = Vec::new();
    for Candidate { image, .. } in candidates {
        if !chosen.iter().any(|known| known.requirements == image.requirements) {
            chosen.push(image);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(id: &str, created: &str, architecture: ArchitectureValues, withdrawn: Option<&str>) -> Shown {
        Shown::builder()
            .image_id(id)
            .creation_date(created)
            .architecture(architecture)
            .set_deprecation_time(withdrawn.map(str::to_owned))
            .build()
    }

    #[test]
    fn of_each_kind_the_newest_that_is_not_withdrawn_is_used() {
        let (intel, arm) = (ArchitectureValues::X8664, ArchitectureValues::Arm64);
        let images = [
            shown("ami-old", "2024-01-01T00:00:00.000Z", intel.clone(), None),
            shown("ami-new", "2025-01-01T00:00:00.000Z", intel.clone(), None),
            shown("ami-withdrawn", "2025-06-01T00:00:00.000Z", intel.clone(), Some("2025-07-01T00:00:00.000Z")),
            shown("ami-arm", "2023-01-01T00:00:00.000Z", arm, Some("2024-01-01T00:00:00.000Z")),
            shown("ami-32", "2026-01-01T00:00:00.000Z", ArchitectureValues::I386, None),
        ];
        let chosen = newest(images.iter().filter_map(|image| candidate(image, Vec::new())).collect());
        let told: Vec<(&str, bool)> = chosen.iter().map(|image| (image.id.as_str(), image.deprecated)).collect();
        assert_eq!(told, [("ami-new", false), ("ami-arm", true)]);
    }

    #[test]
    fn a_name_alone_means_images_of_our_own_or_amazons() {
        let term = |name: Option<&str>, owner: Option<&str>| AmiSelectorTerm {
            name: name.map(str::to_owned),
            owner: owner.map(str::to_owned),
            ..AmiSelectorTerm::default()
        };
        assert_eq!(owners(&term(Some("nodes-*"), None)), ["self", "amazon"]);
        assert_eq!(owners(&term(Some("nodes-*"), Some("111122223333"))), ["111122223333"]);
        assert!(owners(&term(None, None)).is_empty());
    }

    #[test]
    fn the_family_is_the_classs_or_its_aliass() {
        let spec = |family: Option<&str>, alias: Option<&str>| EC2NodeClassSpec {
            ami_family: family.map(str::to_owned),
            ami_selector_terms: vec![AmiSelectorTerm { alias: alias.map(str::to_owned), ..AmiSelectorTerm::default() }],
            ..EC2NodeClassSpec::default()
        };
        assert_eq!(family_of(&spec(None, Some("bottlerocket@latest"))), Some(Family::Bottlerocket));
        assert_eq!(family_of(&spec(Some("Custom"), Some("al2023@latest"))), Some(Family::Custom));
        assert_eq!(family_of(&spec(Some("AL2"), None)), Some(Family::Al2));
        assert_eq!(family_of(&spec(None, None)), None);
    }
}
