//! A webhook's certificate, in its Secret in the cluster. No key and no certificate is in any plan.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::object;
use super::way::{self, Home};
use super::{object_set, objects, set};
use crate::aws::ids::Text;
use crate::aws::{CloudError, Found, Kind, Made, Reads, Tagged, Work};
use crate::plan::{Address, Describe, Effect, Facts, Handle, Reference, State, Tags};
use crate::render::certificate;
use crate::spec::objects::{ObjectId, ObjectKind};

/// The annotation by which such a Secret is told from those that the stack writes itself.
const MADE_BY_EKSUP: &str = "eksup.dev/certificate";

/// A certificate and the Secret that holds it.
///
/// What stands in the Secret is kept while it is good, so the wish names no certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookCertificate {
    /// The cluster that it is in.
    pub cluster: Home,
    /// The set that it belongs to.
    pub set: Reference<Text>,
    /// The namespace of the Secret.
    pub namespace: String,
    /// The name of the Secret.
    pub name: String,
    /// The labels of the Secret.
    pub labels: BTreeMap<String, String>,
    /// The names that the certificate is for.
    pub names: BTreeSet<String>,
    /// [`certificate::GOOD`], or why it is not: `ends on 2036-11-17`.
    pub state: String,
}

/// What others may refer to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// The Secret's key: `Secret/kube-system/aws-load-balancer-tls`.
    pub id: String,
    /// Tells the Secret from another one of that name.
    pub uid: String,
    /// What a webhook configuration holds as its `caBundle`.
    pub ca_bundle: String,
}

impl Describe for WebhookCertificate {
    const FACTS: Facts = Facts {
        fields: &[
            ("cluster", Effect::Replace),
            ("set", Effect::InPlace),
            ("namespace", Effect::Replace),
            ("name", Effect::Replace),
            ("labels", Effect::InPlace),
            ("names", Effect::InPlace),
            ("state", Effect::InPlace),
        ],
        judge,
        outputs: &["id", "uid", "caBundle"],
        references: &[("cluster", &["cluster"]), ("set", &["object-set"])],
        volatile: &[("caBundle", &["names", "state"])],
        dies_with: Some("cluster"),
        // The controller serves with it until the last object that it looks after has gone.
        outlives: &["object"],
        taggable: false,
        ..Facts::new("webhook-certificate")
    };
}

fn judge(field: &str, before: &Value, after: &Value) -> Option<Effect> {
    match field {
        "cluster" => Some(object_set::of_cluster(before, after)),
        // A certificate may be good for more names than are needed.
        "names" => object_set::holds_all(before, after).then_some(Effect::Same),
        _ => None,
    }
}

impl Handle<WebhookCertificate> {
    /// What a webhook configuration holds as its `caBundle`.
    pub fn ca_bundle(&self) -> Reference<Text> {
        self.output("caBundle")
    }
}

/// Whether a Secret is one of these.
pub fn is_in(object: &Value) -> bool {
    object.pointer("/metadata/annotations").is_some_and(|notes| notes.get(MADE_BY_EKSUP).is_some())
}

impl WebhookCertificate {
    fn id(&self) -> ObjectId {
        ObjectId {
            kind: ObjectKind::new("v1", "Secret"),
            namespace: Some(self.namespace.clone()),
            name: self.name.clone(),
        }
    }

    /// Keeps the certificate that stands while it is good, makes a new one otherwise, and writes the Secret.
    async fn apply(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let connection = self.cluster.connection(work).await?;
        let id = self.id();
        let standing = objects::look(&connection, &id).await?;
        if let Some(standing) = &standing {
            object::refuse_foreign(&id, standing, &work.stack)?;
        }
        let names: Vec<String> = self.names.iter().cloned().collect();
        let (settled, _) = certificate::settle(standing.as_ref(), &names, Timestamp::now())
            .map_err(|failed| CloudError::refused(format!("make a certificate for {id}"), failed.to_string()))?;
        let mut secret = certificate::secret(&self.name, &self.namespace, &self.labels, &settled);
        secret["metadata"]["annotations"][MADE_BY_EKSUP] = "webhook".into();
        let secret = set::marked(&secret, &work.stack, work.address.as_str());
        let made = objects::apply(&connection, &secret).await.map_err(CloudError::missing_is_not_yet)?;
        Ok(Made::ready(outputs_of(&id, &made)))
    }
}

impl Kind for WebhookCertificate {
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
        let connection = found.body.cluster.connection(work).await?;
        let id = found.body.id();
        let served = objects::served(&connection, &id.kind).await?;
        objects::delete(&connection, &format!("delete {id}"), &id.path(&served), &found.outputs.uid).await
    }

    fn tagged(_: &Outputs) -> Tagged {
        Tagged::Nothing
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let Some(way) = way::into_stack(reads).await? else { return Ok(None) };
        let id = self.id();
        let standing = objects::look(&way.connection, &id).await?;
        let foreign = standing.and_then(|standing| object::refuse_foreign(&id, &standing, &reads.stack).err());
        Ok(foreign.map(|error| error.message))
    }
}

async fn look(reads: &Reads) -> Result<Vec<Found<WebhookCertificate>>, CloudError> {
    let Some(way) = way::to_objects(reads).await? else { return Ok(Vec::new()) };
    let live = object::live(reads, &way).await?;
    let set_id = set::id_of(&set::parent_of(&reads.stack));
    let found = live.iter().filter(|object| is_in(object)).filter_map(|secret| {
        let id = ObjectId::of(secret)?;
        let names = certificate::names(secret);
        Some(Found {
            address: Address::new(set::address_of(secret, &reads.stack)?),
            outputs: outputs_of(&id, secret),
            body: WebhookCertificate {
                cluster: way.home.clone(),
                set: Reference::known(set_id.as_str()),
                namespace: id.namespace.clone().unwrap_or_default(),
                name: id.name.clone(),
                labels: labels_of(secret),
                state: certificate::state(Some(secret), &names, Timestamp::now()),
                names: names.into_iter().collect(),
            },
            tags: Tags::new(),
            state: State::Ready,
        })
    });
    Ok(found.collect())
}

fn outputs_of(id: &ObjectId, secret: &Value) -> Outputs {
    let text = |pointer: &str| secret.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    Outputs { id: id.key(), uid: text("/metadata/uid"), ca_bundle: text("/data/ca.crt") }
}

/// The labels of the Secret beside those of the set.
fn labels_of(secret: &Value) -> BTreeMap<String, String> {
    let plain = set::unmarked(secret);
    plain.pointer("/metadata/labels").and_then(|labels| serde_json::from_value(labels.clone()).ok()).unwrap_or_default()
}
