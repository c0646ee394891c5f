//! Where a resource stands in its stack: `network/vpc`, `nodes/group/system`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of one resource inside a stack, unique there and stable from run to run.
///
/// The first segment is the phase that declares the resource. The whole address is what the tag
/// `eksup.dev/resource` carries, so it holds only characters that every AWS service takes in a tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// An address from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The phase that declares the resource: the first segment.
    pub fn phase(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// What is left without the phase, with dashes: `subnet/public/a` becomes `subnet-public-a`.
    pub fn slug(&self) -> String {
        match self.0.split_once('/') {
            Some((_, rest)) => rest.replace('/', "-"),
            None => self.0.clone(),
        }
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}
