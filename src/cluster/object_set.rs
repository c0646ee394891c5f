//! The record of what a stack has in its cluster: made before the first object, so that a run that is cut off after any
//! request finds again what it has made.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::objects;
use super::set::{self, Contents};
use super::way::{self, Home};
use crate::aws::ids::Text;
use crate::aws::{CloudError, Found, Kind, Made, Reads, Tagged, Work};
use crate::plan::{Address, Describe, Effect, Facts, Handle, RESOURCE, Reference, State, Tags};
use crate::spec::objects::ObjectKind;

/// The parent of an ApplySet. It only ever learns more kinds: it forgets one no earlier than when nothing of it is left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectSet {
    /// The cluster.
    pub cluster: Home,
    /// The kinds of its members: `apps/v1/Deployment`.
    pub kinds: BTreeSet<String>,
    /// The namespaces of its members.
    pub namespaces: BTreeSet<String>,
}

/// What others may refer to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outputs {
    /// The set's id, which its members carry.
    pub id: String,
    /// The cluster that it is in.
    pub cluster: String,
}

impl Describe for ObjectSet {
    const FACTS: Facts = Facts {
        fields: &[("cluster", Effect::Replace), ("kinds", Effect::InPlace), ("namespaces", Effect::InPlace)],
        judge,
        outputs: &["id", "cluster"],
        taggable: false,
        references: &[("cluster", &["cluster"])],
        dies_with: Some("cluster"),
        ..Facts::new("object-set")
    };
}

impl Handle<ObjectSet> {
    /// The set's id.
    pub fn id(&self) -> Reference<Text> {
        self.output("id")
    }
}

fn judge(field: &str, before: &Value, after: &Value) -> Option<Effect> {
    match field {
        "cluster" => Some(of_cluster(before, after)),
        _ => holds_all(before, after).then_some(Effect::Same),
    }
}

/// Whether the list `before` has everything that `after` has.
pub fn holds_all(before: &Value, after: &Value) -> bool {
    let (Some(before), Some(after)) = (before.as_array(), after.as_array()) else { return false };
    after.iter().all(|item| before.contains(item))
}

/// The same cluster is the one whose API answers at the same place: its authority may be renewed.
pub fn of_cluster(before: &Value, after: &Value) -> Effect {
    let same = ["name", "endpoint"].iter().all(|key| before.get(key) == after.get(key));
    if same { Effect::Same } else { Effect::Replace }
}

impl ObjectSet {
    /// The set of a stack that has `manifests` in `cluster`.
    pub fn of<'a>(cluster: Home, manifests: impl IntoIterator<Item = &'a Value>) -> Self {
        Self::with(cluster, &Contents::of(manifests))
    }

    fn with(cluster: Home, contents: &Contents) -> Self {
        let kinds = contents.kinds.iter().map(|kind| format!("{}/{}", kind.api_version(), kind.kind)).collect();
        Self { cluster, kinds, namespaces: contents.namespaces.clone() }
    }

    fn contents(&self) -> Contents {
        let kind = |text: &String| text.rsplit_once('/').map(|(version, kind)| ObjectKind::new(version, kind));
        Contents { kinds: self.kinds.iter().filter_map(kind).collect(), namespaces: self.namespaces.clone() }
    }

    /// Writes the parent with what it knows, what is wanted, and no kind of which nothing is left.
    async fn write(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let connection = self.cluster.connection(work).await?;
        let wanted = self.contents();
        let standing = set::parent(&connection, &work.stack).await?;
        let mut contents = wanted.clone();
        if let Some(known) = standing.as_ref().and_then(|parent| set::contents_of(parent, &work.stack)) {
            let more = Contents { kinds: known.kinds.difference(&wanted.kinds).cloned().collect(), ..known };
            let left = set::members(&connection, &work.stack, &more).await?;
            contents = contents.with(&Contents::of(&left));
        }
        let mut manifest = set::parent_manifest(&work.stack, &contents);
        manifest["metadata"]["annotations"][RESOURCE] = work.address.as_str().into();
        objects::apply(&connection, &manifest).await?;
        Ok(Made::ready(Outputs {
            id: set::id_of(&set::parent_of(&work.stack)),
            cluster: connection.whom().cluster.clone(),
        }))
    }
}

impl Kind for ObjectSet {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        way::forgiven(reads, look(reads).await)
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        way::mark(&self.cluster, true, work).await?;
        self.write(work).await
    }

    async fn update(&self, _: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        self.write(work).await
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let connection = found.body.cluster.connection(work).await?;
        if let Some(parent) = set::parent(&connection, &work.stack).await? {
            let uid = parent.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
            let id = set::parent_of(&work.stack);
            let served = objects::served(&connection, &id.kind).await?;
            objects::delete(&connection, &format!("delete {id}"), &id.path(&served), uid).await?;
        }
        way::mark(&found.body.cluster, false, work).await
    }

    fn tagged(_: &Outputs) -> Tagged {
        Tagged::Nothing
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let Some(way) = way::into_stack(reads).await? else { return Ok(None) };
        let Some(parent) = set::parent(&way.connection, &reads.stack).await? else { return Ok(None) };
        let ours = set::contents_of(&parent, &reads.stack).is_some();
        Ok((!ours).then(|| {
            format!(
                "the cluster has a {} already that is not this stack's; rename or delete it",
                set::parent_of(&reads.stack)
            )
        }))
    }
}

async fn look(reads: &Reads) -> Result<Vec<Found<ObjectSet>>, CloudError> {
    let Some(way) = way::to_objects(reads).await? else { return Ok(Vec::new()) };
    let parent = parent(reads, &way).await?;
    let Some(parent) = parent.as_ref() else { return Ok(Vec::new()) };
    let Some(contents) = set::contents_of(parent, &reads.stack) else { return Ok(Vec::new()) };
    let address = parent.pointer("/metadata/annotations").and_then(|notes| notes.get(RESOURCE)?.as_str());
    Ok(vec![Found {
        address: Address::new(address.unwrap_or("addons/object-set")),
        outputs: Outputs {
            id: set::id_of(&set::parent_of(&reads.stack)),
            cluster: way.connection.whom().cluster.clone(),
        },
        body: ObjectSet::with(way.home, &contents),
        tags: Tags::new(),
        state: State::Ready,
    }])
}

/// The parent of the stack's set: asked for once in a look.
///
/// # Errors
/// The request failed.
pub async fn parent(reads: &Reads, way: &way::Way) -> Result<std::sync::Arc<Option<Value>>, CloudError> {
    reads.once("kubernetes: the stack's set", || set::parent(&way.connection, &reads.stack)).await
}
