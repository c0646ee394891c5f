//! The tags that say whose a resource is, and how they are compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Address;

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// Carries the stack's name: whatever has it belongs to the stack.
pub const STACK: &str = "eksup.dev/stack";
/// Carries the resource's address inside the stack.
pub const RESOURCE: &str = "eksup.dev/resource";
/// Lists the further keys that eksup has set, so that one can be taken away that is no longer wanted
/// while the tags of others stay.
pub const KEYS: &str = "eksup.dev/tag-keys";

const VALUE_LIMIT: usize = 256;

/// The tags of a resource: whose it is, its display name, and `extra`.
pub fn of_resource(stack: &str, address: &Address, extra: &Tags) -> Tags {
    let mut tags = Tags::from([
        (STACK.to_owned(), stack.to_owned()),
        (RESOURCE.to_owned(), address.to_string()),
        ("Name".to_owned(), format!("{stack}-{}", address.slug())),
    ]);
    tags.extend(extra.clone());
    let keys = key_list(extra);
    if !keys.is_empty() {
        tags.insert(KEYS.to_owned(), keys);
    }
    tags
}

/// What of `tags` was set by eksup beside the three that every resource has.
pub fn own_keys(tags: &Tags) -> impl Iterator<Item = &str> {
    tags.get(KEYS).into_iter().flat_map(|keys| keys.split(' ')).filter(|key| !key.is_empty())
}

/// The difference between two sets of tags.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagChange {
    /// Tags to write.
    pub set: Tags,
    /// Keys to remove.
    pub unset: Vec<String>,
}

impl TagChange {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.unset.is_empty()
    }
}

/// What has to be written so that `observed` has everything that `desired` says.
///
/// Tags that others have set stay: only keys that eksup listed as its own are ever removed.
pub fn change(desired: &Tags, observed: &Tags) -> TagChange {
    let set = desired.iter().filter(|(key, value)| observed.get(*key) != Some(value));
    let gone = own_keys(observed).filter(|key| !desired.contains_key(*key) && observed.contains_key(*key));
    let stale_list = (observed.contains_key(KEYS) && !desired.contains_key(KEYS)).then_some(KEYS);
    TagChange {
        set: set.map(|(key, value)| (key.clone(), value.clone())).collect(),
        unset: gone.chain(stale_list).map(str::to_owned).collect(),
    }
}

/// The keys of `extra`, as many as one tag value holds.
fn key_list(extra: &Tags) -> String {
    let mut list = String::new();
    for key in extra.keys().filter(|key| *key != "Name") {
        if list.len() + key.len() + 1 > VALUE_LIMIT {
            break;
        }
        if !list.is_empty() {
            list.push(' ');
        }
        list.push_str(key);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_tag_that_left_the_file_is_removed_and_a_strangers_tag_stays() {
        let address = Address::from("network/vpc");
        let mut observed = of_resource("shop", &address, &tags(&[("team", "web"), ("cost", "7")]));
        observed.insert("scanner".into(), "seen".into());
        let desired = of_resource("shop", &address, &tags(&[("team", "web")]));
        let change = change(&desired, &observed);
        assert_eq!(change.unset, ["cost"]);
        assert_eq!(change.set, tags(&[(KEYS, "team")]));
    }

    #[test]
    fn nothing_is_written_where_nothing_differs() {
        let tags = of_resource("shop", &Address::from("nat/gateway/a"), &tags(&[("team", "web")]));
        assert!(change(&tags, &tags).is_empty());
    }
}
