//! Which version of an add-on to take, and over which others. Pure.

use std::cmp::Ordering;
use std::collections::BTreeSet;

/// The one add-on that goes up one minor version at a time.
pub const STEPWISE: &str = "vpc-cni";

/// A version that EKS offers for a Kubernetes version.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// As in `v1.20.1-eksbuild.3`.
    pub version: String,
    /// Whether it is the one that EKS recommends.
    pub recommended: bool,
}

/// The version to go to from `current`: what EKS recommends, but never back from one that is newer
/// and fits too. `None` where `current` stays.
pub fn target(current: &str, offers: &[Offer]) -> Option<String> {
    let fits = offers.iter().any(|offer| offer.version == current);
    let recommended = &offers.iter().find(|offer| offer.recommended).or(offers.first())?.version;
    let newer = compare(recommended, current) == Ordering::Greater;
    (newer || (!fits && recommended != current)).then(|| recommended.clone())
}

/// The versions to install one after the other to get from `current` to `target`, `target` last.
///
/// The VPC CNI goes up or down one minor version at a time; everything else goes at once.
pub fn path(addon: &str, current: &str, target: &str, offers: &[Offer]) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    if let (true, Some(from), Some(to)) = (addon == STEPWISE, minor(current), minor(target)) {
        let on_offer: BTreeSet<u32> = offers.iter().filter_map(|offer| minor(&offer.version)).collect();
        let mut between: Vec<u32> =
            on_offer.into_iter().filter(|minor| from.min(to) < *minor && *minor < from.max(to)).collect();
        if to < from {
            between.reverse();
        }
        steps.extend(between.into_iter().filter_map(|minor| newest_of(minor, offers)));
    }
    if current != target {
        steps.push(target.to_owned());
    }
    steps
}

/// The newest version on offer that has this minor version.
fn newest_of(wanted: u32, offers: &[Offer]) -> Option<String> {
    let of_this_minor = offers.iter().map(|offer| &offer.version).filter(|text| minor(text) == Some(wanted));
    of_this_minor.max_by(|one, other| compare(one, other)).cloned()
}

fn compare(one: &str, other: &str) -> Ordering {
    numbers(one).cmp(&numbers(other))
}

/// Every number in a version, in order: `v1.20.1-eksbuild.3` is 1, 20, 1, 3.
fn numbers(version: &str) -> Vec<u32> {
    version.split(|character: char| !character.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

fn minor(version: &str) -> Option<u32> {
    numbers(version).get(1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(versions: &[&str], recommended: &str) -> Vec<Offer> {
        let offer = |text: &&str| Offer { version: (*text).to_owned(), recommended: *text == recommended };
        versions.iter().map(offer).collect()
    }

    #[test]
    fn what_eks_recommends_is_taken_unless_something_newer_fits() {
        let list = offers(&["v1.12.4-eksbuild.10", "v1.12.4-eksbuild.2", "v1.11.0-eksbuild.1"], "v1.12.4-eksbuild.2");
        assert_eq!(target("v1.11.0-eksbuild.1", &list).as_deref(), Some("v1.12.4-eksbuild.2"));
        assert_eq!(target("v1.12.4-eksbuild.10", &list), None);
        assert_eq!(target("v1.12.4-eksbuild.2", &list), None);
        assert_eq!(target("v1.13.0-eksbuild.1", &list).as_deref(), Some("v1.12.4-eksbuild.2"));
        assert_eq!(target("v1.0.0-eksbuild.1", &[]), None);
    }

    #[test]
    fn the_vpc_cni_goes_one_minor_at_a_time() {
        let list =
            offers(&["v1.21.0-eksbuild.1", "v1.20.3-eksbuild.1", "v1.20.3-eksbuild.4", "v1.19.0-eksbuild.1"], "");
        let steps = path("vpc-cni", "v1.19.0-eksbuild.1", "v1.21.0-eksbuild.1", &list);
        assert_eq!(steps, ["v1.20.3-eksbuild.4", "v1.21.0-eksbuild.1"]);
        let steps = path("vpc-cni", "v1.21.0-eksbuild.1", "v1.19.0-eksbuild.1", &list);
        assert_eq!(steps, ["v1.20.3-eksbuild.4", "v1.19.0-eksbuild.1"]);
        let steps = path("coredns", "v1.19.0-eksbuild.1", "v1.21.0-eksbuild.1", &list);
        assert_eq!(steps, ["v1.21.0-eksbuild.1"]);
        assert!(path("vpc-cni", "v1.21.0-eksbuild.1", "v1.21.0-eksbuild.1", &list).is_empty());
    }

    #[test]
    fn strange_versions_do_no_harm() {
        for text in ["", "latest", "v99999999999.1", "v1"] {
            assert_eq!(
                path("vpc-cni", text, "v1.21.0-eksbuild.1", &[]).last().map(String::as_str),
                Some("v1.21.0-eksbuild.1")
            );
        }
    }
}
