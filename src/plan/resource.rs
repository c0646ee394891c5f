//! A resource as the stack wants it and as the cloud shows it.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::reference::{Reference, placeholders};
use super::tags::{self, Tags};
use super::{Address, Facts};

/// The pure half of a kind of resource: a struct of fields, and the facts about them.
pub trait Describe: Serialize {
    /// What the planner has to know.
    const FACTS: Facts;
}

/// One resource that the stack wants.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Desired {
    /// Its place in the stack.
    pub address: Address,
    /// Its kind's name.
    pub kind: String,
    /// Its fields; what another resource will know is a placeholder. A field that is null is the
    /// cloud's choice and is not compared.
    pub body: Value,
    /// Its tags, empty where the kind has none.
    pub tags: Tags,
    /// What has to stand first although no value flows from it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<Address>,
}

impl Desired {
    /// Every resource that has to stand before this one.
    pub fn needs(&self) -> BTreeSet<Address> {
        let flowing = placeholders(&self.body).into_iter().map(|placeholder| placeholder.address);
        flowing.chain(self.after.iter().cloned()).collect()
    }
}

/// How far along a resource is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "detail", rename_all = "kebab-case")]
pub enum State {
    /// It can be used.
    Ready,
    /// It is on its way there; the text is the cloud's word for where it is.
    Changing(String),
    /// It is on its way out.
    Deleting,
    /// It will never be ready; the text says why.
    Failed(String),
}

/// One resource of the stack that the cloud shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// Its place in the stack.
    pub address: Address,
    /// Its kind's name.
    pub kind: String,
    /// Its fields, in the same shape as the desired ones.
    pub body: Value,
    /// What others may refer to.
    pub outputs: Map<String, Value>,
    /// All tags, also those that others have set.
    pub tags: Tags,
    /// How far along it is.
    pub state: State,
}

impl Observed {
    /// The name by which the cloud knows it: its id, else its name.
    pub fn identity(&self) -> &str {
        ["id", "name", "arn"].iter().find_map(|key| self.outputs.get(*key)?.as_str()).unwrap_or(self.address.as_str())
    }
}

/// A resource that has been declared, to be referred to by others.
pub struct Handle<K> {
    address: Address,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Handle<K> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone(), kind: PhantomData }
    }
}

impl<K: Describe> Handle<K> {
    /// Where the resource stands.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// A reference to its output `name`, for the typed accessors beside each kind.
    pub fn output<T>(&self, name: &'static str) -> Reference<T> {
        debug_assert!(K::FACTS.outputs.contains(&name), "`{}` has no output `{name}`", K::FACTS.name);
        Reference::output(&self.address, name)
    }
}

/// The list of resources that a stack wants: what every phase adds to.
#[derive(Debug)]
pub struct Resources {
    stack: String,
    tags: Tags,
    list: Vec<Desired>,
}

impl Resources {
    /// An empty list for the stack called `stack`, whose resources all get `tags`.
    pub fn new(stack: &str, tags: Tags) -> Self {
        Self { stack: stack.to_owned(), tags, list: Vec::new() }
    }

    /// Declares a resource.
    pub fn add<K: Describe>(&mut self, address: impl Into<String>, body: K) -> Handle<K> {
        self.add_tagged(address, body, Tags::new())
    }

    /// Declares a resource that carries `extra` tags beside the stack's.
    pub fn add_tagged<K: Describe>(&mut self, address: impl Into<String>, body: K, extra: Tags) -> Handle<K> {
        let address = Address::new(address);
        debug_assert!(self.list.iter().all(|other| other.address != address), "`{address}` is declared twice");
        let mut own = self.tags.clone();
        own.extend(extra);
        let tags = if K::FACTS.taggable { tags::of_resource(&self.stack, &address, &own) } else { Tags::new() };
        // A body is a struct of plain fields: writing it as JSON cannot fail.
        let body = serde_json::to_value(&body).unwrap_or_default();
        self.list.push(Desired {
            address: address.clone(),
            kind: K::FACTS.name.to_owned(),
            body,
            tags,
            after: BTreeSet::new(),
        });
        Handle { address, kind: PhantomData }
    }

    /// Makes `later` wait until `earlier` stands, where no value flows between them.
    pub fn order<K: Describe>(&mut self, later: &Handle<K>, earlier: &Address) {
        if let Some(desired) = self.list.iter_mut().find(|desired| desired.address == later.address) {
            desired.after.insert(earlier.clone());
        }
    }

    /// The tags that the stack file asks for on everything.
    pub fn stack_tags(&self) -> &Tags {
        &self.tags
    }

    /// The finished list.
    pub fn finish(self) -> Vec<Desired> {
        self.list
    }
}
