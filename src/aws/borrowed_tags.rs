//! Tags on something that is not the stack's: a subnet of somebody else's VPC, the security group that EKS
//! makes for a cluster. The thing itself is never changed otherwise, and never deleted.
//!
//! A marker tag on the thing remembers which stack borrows it, at which address, and for which keys; so the
//! tags are found and taken away without the stack file. A key that already had the wanted value belongs to
//! the owner of the thing and stays.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Tag, TagDescription};
use serde::{Deserialize, Serialize};

use super::error::{Class, CloudError, call, existing};
use super::ids::TaggedId;
use super::kind::{Found, Kind, Made, Work};
use super::reads::{Reads, filter};
use super::tagging::{self, Tagged};
use super::{security_group, subnet};
use crate::plan::{Address, Describe, Effect, Facts, Reference, State, Tags};

/// Tags on a subnet or a security group that others own. A stack can borrow a thing once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BorrowedTags {
    /// The thing's id.
    pub target: Reference<TaggedId>,
    /// The tags that it is to have.
    pub tags: Tags,
}

/// Nothing refers to tags.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {}

impl Describe for BorrowedTags {
    const FACTS: Facts = Facts {
        fields: &[("target", Effect::Replace), ("tags", Effect::InPlace)],
        taggable: false,
        references: &[("target", &["cluster"])],
        dies_with: Some("target"),
        ..Facts::new("borrowed-tags")
    };
}

/// The longest value of a tag.
const VALUE_LIMIT: usize = 256;
/// In front of a key that the owner had set to the wanted value before us.
const OWNERS: char = '=';

impl Kind for BorrowedTags {
    type Outputs = Outputs;

    /// What can be borrowed is shown with its tags by the lists that the stack's own things are read from.
    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let (subnets, groups) = tokio::try_join!(subnet::tagged(reads), security_group::tagged(reads))?;
        let subnets = subnets.iter().filter_map(|subnet| Some((subnet.subnet_id()?, subnet.tags())));
        let groups = groups.iter().filter_map(|group| Some((group.group_id()?, group.tags())));
        let borrowed = subnets.chain(groups).filter_map(|(id, tags)| {
            let tags = tagging::from_ec2(tags);
            Some(found(id, Marker::of(&tags, &reads.stack)?, tags))
        });
        Ok(borrowed.collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        self.write(&Marker::new(&work.address), work).await
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let marker = Marker::of(&found.tags, &work.stack).unwrap_or_else(|| Marker::new(&work.address));
        let dropped = marker.ours.iter().filter(|key| !self.tags.contains_key(*key)).cloned().collect();
        remove(self.target.as_str(), dropped, work).await?;
        self.write(&marker, work).await
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let marker = Marker::of(&found.tags, &work.stack).unwrap_or_else(|| Marker::new(&work.address));
        let mut keys: Vec<String> = marker.ours.into_iter().collect();
        keys.push(marker_key(&work.stack));
        existing(remove(found.body.target.as_str(), keys, work).await).map(drop)
    }

    fn tagged(_: &Outputs) -> Tagged {
        Tagged::Nothing
    }

    /// A tag that the owner has set to another value, or a thing that does not exist.
    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let id = self.target.as_str();
        if !id.starts_with("subnet-") {
            return Ok(None);
        }
        let sending = reads.cloud.read.ec2.describe_subnets().subnet_ids(id);
        let answer = match call("ec2:DescribeSubnets", sending.send()).await {
            Err(error) if matches!(error.class, Class::Missing) => {
                return Ok(Some(format!("there is no subnet `{id}` in {}", reads.cloud.region)));
            }
            other => other?,
        };
        let current = answer.subnets().first().map(|subnet| tagging::from_ec2(subnet.tags())).unwrap_or_default();
        let other = self.tags.iter().find_map(|(key, value)| {
            let theirs = current.get(key).filter(|theirs| !means(key, theirs, value))?;
            Some((key, value, theirs))
        });
        Ok(other.map(|(key, value, theirs)| {
            format!(
                "`{id}` has the tag `{key}` = `{theirs}`, which is not this stack's and should be `{value}`: remove the \
                 tag, or use another subnet"
            )
        }))
    }
}

impl BorrowedTags {
    /// Writes what is missing and the marker, in one call.
    async fn write(&self, before: &Marker, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let id = self.target.as_str();
        let pages = work.cloud.read.ec2.describe_tags().filters(filter("resource-id", id)).into_paginator().items();
        let current = call("ec2:DescribeTags", pages.send().collect::<Result<Vec<_>, _>>()).await?;
        let (marker, mut tags) = self.missing(before, &values(id, &current));
        tags.insert(marker_key(&work.stack), marker.text()?);
        let sending = work.cloud.write.ec2.create_tags().resources(id).set_tags(Some(tagging::ec2(&tags)));
        call("ec2:CreateTags", sending.send()).await?;
        Ok(Made::ready(Outputs {}))
    }

    /// The marker that will be true, and the tags to write.
    fn missing(&self, before: &Marker, current: &Tags) -> (Marker, Tags) {
        let mut marker = Marker::new(&before.address);
        let mut tags = Tags::new();
        for (key, value) in &self.tags {
            let there = current.get(key).is_some_and(|theirs| means(key, theirs, value));
            if there && !before.ours.contains(key) {
                marker.owners.insert(key.clone());
                continue;
            }
            marker.ours.insert(key.clone());
            if !there {
                tags.insert(key.clone(), value.clone());
            }
        }
        (marker, tags)
    }
}

/// What the marker tag says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Marker {
    /// The address in the stack that borrows the thing.
    address: Address,
    /// The keys that we have set.
    ours: BTreeSet<String>,
    /// The wanted keys that the owner had set before us.
    owners: BTreeSet<String>,
}

impl Marker {
    fn new(address: &Address) -> Self {
        Self { address: address.clone(), ours: BTreeSet::new(), owners: BTreeSet::new() }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let address = Address::new(words.next().filter(|word| !word.is_empty())?);
        let (owners, ours): (BTreeSet<&str>, BTreeSet<&str>) = words.partition(|word| word.starts_with(OWNERS));
        let owners = owners.into_iter().map(|word| word.trim_start_matches(OWNERS).to_owned()).collect();
        Some(Self { address, ours: ours.into_iter().map(str::to_owned).collect(), owners })
    }

    fn of(tags: &Tags, stack: &str) -> Option<Self> {
        Self::parse(tags.get(&marker_key(stack))?)
    }

    fn text(&self) -> Result<String, CloudError> {
        let owners = self.owners.iter().map(|key| format!("{OWNERS}{key}"));
        let words: Vec<String> =
            std::iter::once(self.address.to_string()).chain(self.ours.iter().cloned()).chain(owners).collect();
        let text = words.join(" ");
        match text.len() <= VALUE_LIMIT {
            true => Ok(text),
            false => Err(CloudError::refused("ec2:CreateTags", "more keys than one marker tag can list")),
        }
    }
}

/// The key of the marker tag of the stack called `stack`.
pub(super) fn marker_key(stack: &str) -> String {
    format!("eksup.dev/borrowed-by/{stack}")
}

/// Whether the owner's value says what `wanted` says: load balancers read an empty role tag as `1`.
fn means(key: &str, theirs: &str, wanted: &str) -> bool {
    theirs == wanted || (key.starts_with("kubernetes.io/role/") && theirs.is_empty() && wanted == "1")
}

fn values(id: &str, tags: &[TagDescription]) -> Tags {
    let of_thing = tags.iter().filter(|tag| tag.resource_id() == Some(id));
    of_thing.filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}

async fn remove(id: &str, keys: Vec<String>, work: &Work) -> Result<(), CloudError> {
    if keys.is_empty() {
        return Ok(());
    }
    let tags = keys.into_iter().map(|key| Tag::builder().key(key).build()).collect();
    let sending = work.cloud.write.ec2.delete_tags().resources(id).set_tags(Some(tags));
    call("ec2:DeleteTags", sending.send()).await.map(drop)
}

fn found(id: &str, marker: Marker, all: Tags) -> Found<BorrowedTags> {
    let listed = marker.ours.iter().chain(&marker.owners);
    let shown = listed.filter_map(|key| {
        let value = all.get(key)?;
        let value = if means(key, value, "1") { "1" } else { value };
        Some((key.clone(), value.to_owned()))
    });
    let body = BorrowedTags { target: Reference::known(id), tags: shown.collect() };
    Found { address: marker.address, body, outputs: Outputs {}, tags: all, state: State::Ready }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn borrowed() -> BorrowedTags {
        let tags = tags(&[("kubernetes.io/role/elb", "1"), ("karpenter.sh/discovery", "shop")]);
        BorrowedTags { target: Reference::known("subnet-1"), tags }
    }

    #[test]
    fn what_the_owner_had_set_stays_the_owners() {
        let before = Marker::new(&"network/borrowed/subnet-1".into());
        let (marker, written) = borrowed().missing(&before, &tags(&[("kubernetes.io/role/elb", "")]));
        assert_eq!(written, tags(&[("karpenter.sh/discovery", "shop")]));
        assert_eq!(marker.owners, BTreeSet::from(["kubernetes.io/role/elb".to_owned()]));
        assert_eq!(marker.ours, BTreeSet::from(["karpenter.sh/discovery".to_owned()]));
    }

    #[test]
    fn a_key_that_we_have_set_stays_ours_and_is_set_again_when_somebody_removed_it() {
        let ours = ["kubernetes.io/role/elb", "karpenter.sh/discovery"].map(str::to_owned);
        let before = Marker { address: "a/b".into(), ours: ours.clone().into(), owners: BTreeSet::new() };
        let (marker, written) = borrowed().missing(&before, &tags(&[("kubernetes.io/role/elb", "1")]));
        assert_eq!(marker.ours, ours.into());
        assert_eq!(written, tags(&[("karpenter.sh/discovery", "shop")]));
    }

    #[test]
    fn the_marker_is_read_as_it_was_written() {
        let marker = Marker {
            address: "network/borrowed/subnet-1".into(),
            ours: BTreeSet::from(["karpenter.sh/discovery".to_owned()]),
            owners: BTreeSet::from(["kubernetes.io/role/elb".to_owned()]),
        };
        assert_eq!(marker.text().ok().as_deref().and_then(Marker::parse), Some(marker));
        assert_eq!(Marker::parse(""), None);
    }

    #[test]
    fn a_marker_that_would_not_fit_is_refused() {
        let ours = (0..9).map(|number| format!("{}{number}", "k".repeat(40))).collect();
        assert!(Marker { address: "a/b".into(), ours, owners: BTreeSet::new() }.text().is_err());
    }
}
