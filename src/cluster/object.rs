//! An object in the stack's cluster: a resource like any other.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::objects::{self, Forecast};
use super::readiness::{self, Readiness, Signs};
use super::way::{self, Home, Way};
use super::{difference, object_set, owned, removal, set, takeover, webhook_certificate};
use crate::aws::ids::Text;
use crate::aws::{Class, CloudError, Found, Kind, Made, Progress, Reads, Tagged, Work};
use crate::plan::{
    Address, Describe, Effect, Facts, FieldChange, Handle, Loss, Prediction, Reference, State, Tags, is_unknown,
};
use crate::spec::objects::ObjectId;

/// An object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// The cluster that it is in.
    pub cluster: Home,
    /// The set that it belongs to.
    pub set: Reference<Text>,
    /// What the stack says about it.
    pub manifest: Value,
    /// How many pods it begins with, where an autoscaler has their number afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_replicas: Option<i64>,
    /// The objects of the stack that it stands on, by their keys: they are taken away after it.
    pub needs: BTreeSet<String>,
}

/// What others may refer to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outputs {
    /// Its key: `Deployment.apps/shop/backend`.
    pub id: String,
    /// Tells it from another one of that name.
    pub uid: String,
    /// The cluster that it is in.
    pub cluster: String,
    /// Its manifest's `apiVersion`.
    pub version: String,
}

impl Describe for Object {
    const FACTS: Facts = Facts {
        fields: &[
            ("cluster", Effect::Replace),
            ("set", Effect::InPlace),
            ("manifest", Effect::InPlace),
            ("firstReplicas", Effect::CreateOnly),
            ("needs", Effect::CreateOnly),
        ],
        judge,
        outputs: &["id", "uid", "cluster", "version"],
        taggable: false,
        loss_of,
        references: &[("cluster", &["cluster"]), ("set", &["object-set"]), ("needs", &["object"])],
        volatile: &[("version", &[])],
        dies_with: Some("cluster"),
        foretold: Some("manifest"),
        shown,
        goes_before: removal::goes_before,
        clears: removal::clears,
        ..Facts::new("object")
    };
}

impl Handle<Object> {
    /// The object's key: what refers to it waits for the object.
    pub fn id(&self) -> Reference<Text> {
        self.output("id")
    }
}

fn judge(field: &str, before: &Value, after: &Value) -> Option<Effect> {
    match field {
        "cluster" => Some(object_set::of_cluster(before, after)),
        "manifest" if !is_unknown(after) && difference::holds(before, after) => Some(Effect::Same),
        _ => None,
    }
}

fn shown(field: &str, value: &Value) -> Value {
    if field == "manifest" { difference::masked(value) } else { value.clone() }
}

fn loss_of(body: &Value) -> Option<Loss> {
    Some(match body.pointer("/manifest/kind").and_then(Value::as_str)? {
        "Namespace" => Loss::Data("everything in the namespace goes with it"),
        "CustomResourceDefinition" => Loss::Data("every object of its kind goes with it"),
        "PersistentVolumeClaim" | "PersistentVolume" => Loss::Data("what is stored on the volume, unless it is kept"),
        "Deployment" | "StatefulSet" | "DaemonSet" => Loss::Outage("its pods stop"),
        "NodePool" => Loss::Outage("its nodes go, and the pods on them look for others"),
        "Ingress" => Loss::Outage("what it leads to cannot be reached, and its load balancer gets another address"),
        _ => Loss::Nothing,
    })
}

impl Object {
    /// Which object it is.
    ///
    /// # Errors
    /// The manifest has no kind or no name.
    pub fn id(&self) -> Result<ObjectId, CloudError> {
        ObjectId::of(&self.manifest)
            .ok_or_else(|| CloudError::refused("read a manifest", "it has no `apiVersion`, `kind` or name"))
    }

    async fn apply(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let connection = self.cluster.connection(work).await?;
        let id = self.id()?;
        let mut manifest = set::marked(&self.manifest, &work.stack, work.address.as_str());
        match (objects::look(&connection, &id).await?, self.first_replicas) {
            (Some(standing), _) => {
                refuse_foreign(&id, &standing, &work.stack)?;
                objects::hand_over(&connection, &self.manifest, &standing).await?;
            }
            (None, Some(first)) => manifest["spec"]["replicas"] = first.into(),
            (None, None) => {}
        }
        let object = objects::apply(&connection, &manifest).await.map_err(early)?;
        let outputs = outputs_of(&id, &object, &connection.whom().cluster);
        Ok(if readiness::takes_time(&object) { Made::settling(outputs) } else { Made::ready(outputs) })
    }
}

/// What an object stands on may have been made a moment ago: its namespace, its kind.
fn early(error: CloudError) -> CloudError {
    error.missing_is_not_yet()
}

pub(super) fn refuse_foreign(id: &ObjectId, standing: &Value, stack: &str) -> Result<(), CloudError> {
    if set::address_of(standing, stack).is_some() || takeover::is_handed_on(standing) {
        return Ok(());
    }
    if standing.pointer("/metadata/deletionTimestamp").is_some() {
        return Err(CloudError {
            action: format!("apply {id}").into(),
            code: Some("Deleting".to_owned()),
            message: format!("another {id} is still being deleted"),
            class: Class::Busy,
            advice: None,
        });
    }
    Err(CloudError::refused(format!("apply {id}"), stranger(id, standing)))
}

fn stranger(id: &ObjectId, standing: &Value) -> String {
    let label = |key: &str| standing.pointer("/metadata/labels")?.get(key)?.as_str();
    let owner = match (label(crate::plan::STACK), label("app.kubernetes.io/managed-by")) {
        (Some(stack), _) => format!("stack `{stack}` has made it"),
        (None, Some(manager)) => format!("`{manager}` looks after it"),
        (None, None) => "it is not this stack's".to_owned(),
    };
    format!("the cluster has a {id} already, and {owner}; delete it, or give yours another name")
}

fn outputs_of(id: &ObjectId, object: &Value, cluster: &str) -> Outputs {
    Outputs {
        id: id.key(),
        uid: object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned(),
        cluster: cluster.to_owned(),
        version: id.kind.api_version(),
    }
}

impl Kind for Object {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        way::forgiven(reads, look(reads).await)
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        self.apply(work).await
    }

    async fn update(&self, _: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        self.apply(work).await
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        removal::begin(&removal::Target::of(found)?, work).await
    }

    fn tagged(_: &Outputs) -> Tagged {
        Tagged::Nothing
    }

    async fn progress(outputs: Outputs, work: &Work) -> Result<Progress<Outputs>, CloudError> {
        let connection = work.cloud.clusters.opened(&outputs.cluster).await?;
        let id = id_in(&outputs)?;
        let Some(object) = objects::look(&connection, &id).await? else {
            return Ok(Progress::Waiting("the API server does not show it yet".to_owned()));
        };
        let mut judged = readiness::judge(&object, &Signs::default());
        if judged != Readiness::Ready {
            judged = readiness::judge(&object, &objects::signs(&connection, &object).await?);
        }
        Ok(match judged {
            Readiness::Ready => Progress::Ready(outputs),
            Readiness::Waiting(what) => match readiness::patience(&object) {
                Some(at_most) => Progress::Hoping { what, at_most },
                None => Progress::Waiting(what),
            },
            Readiness::Failed(why) => Progress::Failed(why),
        })
    }

    async fn remains(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        removal::remains(&removal::Target::of(found)?, work).await
    }

    async fn predict(&self, found: &Found<Self>, reads: &Reads) -> Result<Option<Prediction>, CloudError> {
        let Some(way) = way::into_stack(reads).await? else { return Ok(None) };
        let live = live(reads, &way).await?;
        let id = self.id()?;
        let Some(standing) = live.iter().find(|object| is(&id, object)) else { return Ok(None) };
        let manifest = set::marked(&self.manifest, &reads.stack, found.address.as_str());
        Ok(match objects::forecast(&way.connection, &manifest, standing).await? {
            Forecast::Changes(fields) => Some(Prediction::Changes(fields)),
            Forecast::Anew { why, fields } => {
                Some(Prediction::Anew { why, fields: forcing(&fields, standing, &manifest) })
            }
            Forecast::Refused(why) => Some(Prediction::Refused(why)),
            Forecast::Unknown => None,
        })
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let id = self.id()?;
        let Some(way) = way::into_stack(reads).await? else { return Ok(homeless(&id, &self.needs)) };
        if let Some(unknown) = unknown_kind(&id, &self.needs, &way).await? {
            return Ok(Some(unknown));
        }
        let live = live(reads, &way).await?;
        if live.iter().any(|object| is(&id, object)) {
            return Ok(None);
        }
        if let Some(standing) = objects::look(&way.connection, &id).await? {
            let ours = set::address_of(&standing, &reads.stack).is_some() || takeover::is_handed_on(&standing);
            return Ok((!ours).then(|| stranger(&id, &standing)));
        }
        if let Some(namespace) = &id.namespace
            && let Some(nobody) = homeless(&id, &self.needs)
        {
            let path = format!("/api/v1/namespaces/{namespace}");
            if way.connection.look(&format!("get Namespace {namespace}"), &path).await?.is_none() {
                return Ok(Some(nobody));
            }
        }
        if is_unknown(&self.manifest) {
            return Ok(None);
        }
        let manifest = set::marked(&self.manifest, &reads.stack, "try/out");
        objects::objection(&way.connection, &manifest).await
    }
}

/// What is wrong with an object whose kind the cluster does not know and no manifest defines.
async fn unknown_kind(id: &ObjectId, needs: &BTreeSet<String>, way: &Way) -> Result<Option<String>, CloudError> {
    let is_defined = needs.iter().any(|need| need.starts_with("CustomResourceDefinition."));
    if is_defined || way.connection.served(&id.kind).await?.is_some() {
        return Ok(None);
    }
    Ok(Some(format!(
        "the cluster knows no {} in `{}`, and no manifest defines it; check `apiVersion` and `kind`, or add its \
         CustomResourceDefinition to the manifests",
        id.kind.kind,
        id.kind.api_version()
    )))
}

/// What is wrong with an object whose namespace nobody makes.
fn homeless(id: &ObjectId, needs: &BTreeSet<String>) -> Option<String> {
    const ALWAYS_THERE: &[&str] = &["default", "kube-node-lease", "kube-public", "kube-system"];
    let namespace = id.namespace.as_deref().filter(|namespace| !ALWAYS_THERE.contains(namespace))?;
    (!needs.contains(&format!("Namespace/{namespace}")))
        .then(|| format!("there is no namespace `{namespace}`; add a Namespace object of that name to the manifests"))
}

/// What differs in an object that has to be made anew: what forces that is marked.
fn forcing(fields: &[String], standing: &Value, manifest: &Value) -> Vec<FieldChange> {
    let forces = |path: &str| {
        fields.iter().any(|field| {
            path == field || path.starts_with(&format!("{field}.")) || path.starts_with(&format!("{field}["))
        })
    };
    let differing = difference::unlike(standing, manifest).into_iter();
    differing.map(|change| FieldChange { forces_replacement: forces(&change.field), ..change }).collect()
}

fn is(id: &ObjectId, object: &Value) -> bool {
    ObjectId::of(object).is_some_and(|other| other.key() == id.key())
}

/// The object that outputs speak of.
fn id_in(outputs: &Outputs) -> Result<ObjectId, CloudError> {
    let id = (|| {
        let (group_kind, rest) = outputs.id.split_once('/')?;
        let kind = group_kind.split('.').next()?;
        let (namespace, name) = match rest.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, rest),
        };
        ObjectId::of(&json!({ "apiVersion": outputs.version, "kind": kind,
            "metadata": { "namespace": namespace, "name": name } }))
    })();
    id.ok_or_else(|| CloudError::refused("read the plan", format!("`{}` names no object", outputs.id)))
}

/// Everything of the stack that lives in the cluster, whole: asked for once in a look.
pub(super) async fn live(reads: &Reads, way: &Way) -> Result<Arc<Vec<Value>>, CloudError> {
    reads
        .once("kubernetes: the stack's objects", || async {
            let parent = object_set::parent(reads, way).await?;
            let contents = parent.as_ref().as_ref().and_then(|parent| set::contents_of(parent, &reads.stack));
            match contents {
                Some(contents) => set::members(&way.connection, &reads.stack, &contents).await,
                None => Ok(Vec::new()),
            }
        })
        .await
}

async fn look(reads: &Reads) -> Result<Vec<Found<Object>>, CloudError> {
    let Some(way) = way::to_objects(reads).await? else { return Ok(Vec::new()) };
    let live = live(reads, &way).await?;
    let ours: Vec<(Address, ObjectId, &Value)> = live
        .iter()
        .filter(|object| !webhook_certificate::is_in(object))
        .filter_map(|object| {
            Some((Address::new(set::address_of(object, &reads.stack)?), ObjectId::of(object)?, object))
        })
        .collect();
    let manifests: Vec<Value> = ours.iter().map(|(_, _, object)| own_part(object)).collect();
    let needs = keys_of_needs(&manifests);
    let set_id = set::id_of(&set::parent_of(&reads.stack));
    let found = ours.into_iter().zip(manifests).zip(needs).map(|(((address, id, object), manifest), needs)| Found {
        address,
        outputs: outputs_of(&id, object, &way.connection.whom().cluster),
        body: Object {
            cluster: way.home.clone(),
            set: Reference::known(set_id.as_str()),
            manifest,
            first_replicas: None,
            needs,
        },
        tags: Tags::new(),
        state: state(object),
    });
    Ok(found.collect())
}

/// What the stack has said about an object; all of it where that is not recorded.
fn own_part(object: &Value) -> Value {
    let part = owned::applied_by(object, takeover::MANAGER).unwrap_or_else(|| difference::cleaned(object));
    set::unmarked(&part)
}

/// For each of `manifests` the keys of those that have to stand before it.
pub fn keys_of_needs(manifests: &[Value]) -> Vec<BTreeSet<String>> {
    let key = |at: usize| manifests.get(at).and_then(ObjectId::of).map(|id| id.key());
    super::order::dependencies(manifests).into_iter().map(|needs| needs.into_iter().filter_map(key).collect()).collect()
}

fn state(object: &Value) -> State {
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return State::Deleting;
    }
    match readiness::standing(object) {
        Readiness::Ready => State::Ready,
        Readiness::Waiting(what) => State::Changing(what),
        Readiness::Failed(why) => State::Failed(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_found_again_from_its_outputs() {
        let id = ObjectId::of(&json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "namespace": "shop", "name": "web" } }))
        .expect("an id");
        let outputs = outputs_of(&id, &json!({}), "shop");
        assert_eq!(id_in(&outputs).ok(), Some(id));
    }

    #[test]
    fn an_object_in_a_namespace_that_nobody_makes_is_refused() {
        let id = |namespace: &str| {
            ObjectId::of(&json!({ "apiVersion": "v1", "kind": "Service",
                "metadata": { "namespace": namespace, "name": "a" } }))
            .expect("an id")
        };
        assert!(homeless(&id("shop"), &BTreeSet::new()).is_some_and(|why| why.contains("`shop`")));
        assert_eq!(homeless(&id("shop"), &BTreeSet::from(["Namespace/shop".to_owned()])), None);
        assert_eq!(homeless(&id("kube-system"), &BTreeSet::new()), None);
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = json!({ "kind": "Secret", "data": { "a": "aHVudGVy" } });
        assert!(!(Object::FACTS.shown)("manifest", &secret).to_string().contains("aHVudGVy"));
    }

    #[test]
    fn the_same_cluster_with_a_new_authority_is_the_same_cluster() {
        let home = |endpoint: &str, authority: &str| json!({ "name": "a", "region": "r", "endpoint": endpoint, "certificateAuthority": authority });
        assert_eq!(judge("cluster", &home("https://a", "x"), &home("https://a", "y")), Some(Effect::Same));
        assert_eq!(judge("cluster", &home("https://a", "x"), &home("https://b", "x")), Some(Effect::Replace));
    }
}
