//! A place in the document, such as `cluster.nodeGroups[0].min`.

use std::fmt;

/// The steps from the root of the document to a place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path(Vec<Step>);

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the value of a key.
    Key(String),
    /// To an item of a list, from 0.
    Index(usize),
}

impl Path {
    /// The document itself.
    pub(crate) fn root() -> Self {
        Self::default()
    }

    /// From dotted keys, such as `cluster.endpoint`.
    pub(crate) fn of(keys: &str) -> Self {
        Self(keys.split('.').map(|key| Step::Key(key.to_owned())).collect())
    }

    /// One key further.
    pub(crate) fn key(&self, key: impl Into<String>) -> Self {
        self.with(Step::Key(key.into()))
    }

    /// One item further.
    pub(crate) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    /// One step back; the root stays.
    pub(crate) fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    pub(crate) fn steps(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.0.iter()
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last key on the way, if any.
    pub(crate) fn last_key(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
    }

    /// Whether one of the two places is the other, or lies in it.
    pub(crate) fn touches(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(one, two)| one == two)
    }

    /// Whether `other` is this place or lies in it.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The path with `[]` for every index: the same for every item of a list.
    pub(crate) fn pattern(&self) -> String {
        self.written(|_| "[]".to_owned())
    }

    fn written(&self, index: impl Fn(usize) -> String) -> String {
        let mut text = String::new();
        for step in &self.0 {
            match step {
                Step::Key(key) if text.is_empty() => text.push_str(key),
                Step::Key(key) => {
                    text.push('.');
                    text.push_str(key);
                }
                Step::Index(number) => text.push_str(&index(*number)),
            }
        }
        text
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.written(|index| format!("[{index}]")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_people_say_it() {
        let path = Path::of("cluster.nodeGroups").index(0).key("min");
        assert_eq!(path.to_string(), "cluster.nodeGroups[0].min");
        assert_eq!(path.pattern(), "cluster.nodeGroups[].min");
        assert_eq!(path.parent().parent(), Path::of("cluster.nodeGroups"));
        assert_eq!(path.parent().last_key(), Some("nodeGroups"));
    }

    #[test]
    fn a_place_touches_what_is_above_and_below_it_and_nothing_beside() {
        let place = Path::of("network.publicSubnets");
        assert!(place.touches(&Path::of("network")));
        assert!(place.touches(&place.index(1)));
        assert!(!place.touches(&Path::of("network.cidr")));
    }
}
