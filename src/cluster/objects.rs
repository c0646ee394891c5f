//! Objects in a cluster: applied, foretold, looked for, deleted. Every object is written by server-side apply under one
//! field manager, so that what others set stays theirs.

use http::Method;
use kube::core::Status;
use serde_json::{Value, json};

use super::connection::Connection;
use super::difference;
use super::failure::Purpose;
use super::owned;
use super::readiness::{Beside, Signs, asked_services, beside};
use super::refusal;
use super::takeover::{MANAGER, Verdict, verdict, without};
use crate::aws::{Class, CloudError};
use crate::plan::FieldChange;
use crate::spec::objects::served::Served;
use crate::spec::objects::{ObjectId, ObjectKind};

const APPLY: &str = "application/apply-patch+yaml";

/// What applying a manifest would do to the object that stands.
#[derive(Debug, Clone)]
pub enum Forecast {
    /// These fields would change; none is no change at all.
    Changes(Vec<FieldChange>),
    /// It cannot be changed so as it stands.
    Anew {
        /// Why, in words.
        why: String,
        /// The fields that cannot be changed.
        fields: Vec<String>,
    },
    /// It cannot be applied; the text says why and what to do.
    Refused(String),
    /// The API server cannot try it out.
    Unknown,
}

/// How the kind of `id` is served.
///
/// # Errors
/// The API server does not know the kind, or the question failed.
pub async fn served(connection: &Connection, kind: &ObjectKind) -> Result<Served, CloudError> {
    connection.served(kind).await?.ok_or_else(|| CloudError {
        action: format!("find the kind {}", kind.group_kind()).into(),
        code: Some("NotServed".to_owned()),
        message: format!("the cluster knows no {} in {}", kind.kind, kind.api_version()),
        class: Class::Missing,
        advice: Some("check `apiVersion` and `kind`, or add the CustomResourceDefinition to the manifests".to_owned()),
    })
}

/// The object `id` as it stands.
///
/// # Errors
/// The request failed.
pub async fn look(connection: &Connection, id: &ObjectId) -> Result<Option<Value>, CloudError> {
    let Some(served) = connection.served(&id.kind).await? else { return Ok(None) };
    connection.look(&format!("get {id}"), &id.path(&served)).await
}

/// Applies `manifest`, and gives the object as it stands then.
///
/// # Errors
/// The API server's refusal, sorted; a conflict names the other manager.
pub async fn apply(connection: &Connection, manifest: &Value) -> Result<Value, CloudError> {
    let id = identified(manifest)?;
    let served = served(connection, &id.kind).await?;
    let path = id.path(&served);
    let action = format!("apply {id}");
    let failure = match patch(connection, &path, manifest, &[]).await {
        Ok(object) => return Ok(object),
        Err(error) => error,
    };
    let Some((manifest, force)) = after_conflict(connection, &id, &path, manifest, &failure).await? else {
        return Err(connection.explain(&action, &failure, connection.change_purpose()).await);
    };
    match patch(connection, &path, &manifest, force).await {
        Ok(object) => Ok(object),
        Err(error) => Err(connection.explain(&action, &error, connection.change_purpose()).await),
    }
}

/// The number of pods that stays as it is, where `manifest` no longer says one and the stack has said it so far: to
/// leave a field out would set it to one pod, before whoever scales has taken it over.
fn kept_replicas(manifest: &Value, live: &Value) -> Option<Value> {
    let said = owned::applied_by(live, MANAGER)?.pointer("/spec/replicas").is_some();
    let says = manifest.pointer("/spec/replicas").is_some();
    (said && !says).then(|| live.pointer("/spec/replicas").cloned()).flatten()
}

/// Makes the number of pods somebody else's, so that it stays when the stack stops to say it.
///
/// # Errors
/// The API server's refusal.
pub async fn hand_over(connection: &Connection, manifest: &Value, live: &Value) -> Result<(), CloudError> {
    let Some(replicas) = kept_replicas(manifest, live) else { return Ok(()) };
    let id = identified(manifest)?;
    let served = served(connection, &id.kind).await?;
    let only = json!({
        "apiVersion": id.kind.api_version(), "kind": id.kind.kind,
        "metadata": { "name": id.name, "namespace": id.namespace },
        "spec": { "replicas": replicas },
    });
    let path = format!("{}?fieldManager={HANDED_OVER}&force=true", id.path(&served));
    connection.change(&format!("apply {id}"), Method::PATCH, &path, Some(&only), APPLY).await.map(drop)
}

/// Who has a field until whoever is to have it takes it.
const HANDED_OVER: &str = "eksup-handed-over";

/// What applying `manifest` would do to `live`, by a dry run. Where the object has changed since `live` was read, it is
/// read again: what somebody else has just done is not what applying does.
///
/// # Errors
/// The request failed in a way that says nothing about the manifest.
pub async fn forecast(connection: &Connection, manifest: &Value, live: &Value) -> Result<Forecast, CloudError> {
    let id = identified(manifest)?;
    let Some(served) = connection.served(&id.kind).await? else { return Ok(Forecast::Unknown) };
    let path = id.path(&served);
    let mut live = live.clone();
    let mut manifest = manifest.clone();
    if let Some(replicas) = kept_replicas(&manifest, &live) {
        manifest["spec"]["replicas"] = replicas;
    }
    let manifest = &manifest;
    for _ in 0..LOOKS {
        match tried(connection, &path, manifest, &live).await {
            Tried::Would(after) if version_of(&after) == version_of(&live) => {
                return Ok(Forecast::Changes(difference::changes(&live, &after)));
            }
            Tried::Would(_) => match connection.look(&format!("get {id}"), &path).await? {
                Some(now) => live = now,
                None => return Ok(Forecast::Unknown),
            },
            Tried::Conflicts(conflict) => {
                return Ok(Forecast::Refused(format!("{conflict}; {}", conflict.way_out())));
            }
            Tried::Failed(failure) => return of_refusal(connection, &id, &failure).await,
        }
    }
    Ok(Forecast::Unknown)
}

/// How often an object is read that changes all the time.
const LOOKS: usize = 3;

fn version_of(object: &Value) -> Option<&str> {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str)
}

/// What came of a dry run.
enum Tried {
    Would(Value),
    Conflicts(refusal::Conflict),
    Failed(kube::Error),
}

async fn tried(connection: &Connection, path: &str, manifest: &Value, live: &Value) -> Tried {
    let failure = match patch(connection, path, manifest, &["dryRun=All"]).await {
        Ok(after) => return Tried::Would(after),
        Err(error) => error,
    };
    match resolved(manifest, live, &failure) {
        Some(Ok((manifest, force))) => {
            let options: Vec<&str> = std::iter::once("dryRun=All").chain(force.iter().copied()).collect();
            patch(connection, path, &manifest, &options).await.map_or_else(Tried::Failed, Tried::Would)
        }
        Some(Err(conflict)) => Tried::Conflicts(conflict),
        None => Tried::Failed(failure),
    }
}

/// What a refused dry run says about the manifest.
async fn of_refusal(connection: &Connection, id: &ObjectId, failure: &kube::Error) -> Result<Forecast, CloudError> {
    if let kube::Error::Api(status) = failure {
        if let Some(fields) = refusal::immutable(status) {
            let fields: Vec<String> =
                fields.into_iter().filter(|field| !field.is_empty() && field != "<nil>").collect();
            let named: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
            let why = match named.is_empty() {
                true => format!("a {} cannot be changed so as it stands", id.kind.kind),
                false => format!("{} of a {} cannot be changed", named.join(", "), id.kind.kind),
            };
            return Ok(Forecast::Anew { why, fields });
        }
        if status.message.contains("does not support dry run") || refusal::webhook(&status.message).is_some() {
            return Ok(Forecast::Unknown);
        }
        if [400, 422].contains(&status.code) || refusal::misfits(&status.message).is_some() {
            let words = refusal::reasons(status).unwrap_or_else(|| status.message.clone());
            return Ok(Forecast::Refused(format!("the API server does not take it: {words}")));
        }
    }
    Err(connection.explain(&format!("try out {id}"), failure, Purpose::Look).await)
}

/// Tries out a manifest of which nothing stands yet.
///
/// # Errors
/// The request failed in a way that says nothing about the manifest.
pub async fn objection(connection: &Connection, manifest: &Value) -> Result<Option<String>, CloudError> {
    let id = identified(manifest)?;
    let Some(served) = connection.served(&id.kind).await? else { return Ok(None) };
    let Err(failure) = patch(connection, &id.path(&served), manifest, &["dryRun=All"]).await else { return Ok(None) };
    match of_refusal(connection, &id, &failure).await {
        Ok(Forecast::Refused(why)) => Ok(Some(why)),
        // Its namespace or its kind may be made by the same plan.
        Err(error) if error.class != Class::Missing && error.class != Class::Denied => Err(error),
        _ => Ok(None),
    }
}

type Again = (Value, &'static [&'static str]);

/// The manifest and the options with which a refused apply is done again.
async fn after_conflict(
    connection: &Connection,
    id: &ObjectId,
    path: &str,
    manifest: &Value,
    failure: &kube::Error,
) -> Result<Option<Again>, CloudError> {
    if !matches!(failure, kube::Error::Api(status) if refusal::conflict(status).is_some()) {
        return Ok(None);
    }
    let live = connection.look(&format!("get {id}"), path).await?.unwrap_or_default();
    match resolved(manifest, &live, failure) {
        Some(Ok(again)) => Ok(Some(again)),
        _ => Ok(None),
    }
}

/// What to apply instead after a conflict; the conflict, where others are not to be overruled.
fn resolved(manifest: &Value, live: &Value, failure: &kube::Error) -> Option<Result<Again, refusal::Conflict>> {
    let kube::Error::Api(status) = failure else { return None };
    let status: &Status = status;
    Some(match verdict(status, live)? {
        Verdict::Go { leave, take_from } => {
            let force: &[&str] = if take_from.is_empty() { &[] } else { &["force=true"] };
            Ok((without(manifest, &leave), force))
        }
        Verdict::Refuse(conflict) => Err(conflict),
    })
}

async fn patch(connection: &Connection, path: &str, manifest: &Value, options: &[&str]) -> Result<Value, kube::Error> {
    let options: String = options.iter().map(|option| format!("&{option}")).collect();
    let path = format!("{path}?fieldManager={MANAGER}&fieldValidation=Strict{options}");
    connection.send(Method::PATCH, &path, Some(manifest), APPLY).await
}

/// Deletes the object at `path`, if it is still the one with this `uid`. What is gone already is a success.
///
/// # Errors
/// The API server's refusal.
pub async fn delete(connection: &Connection, action: &str, path: &str, uid: &str) -> Result<(), CloudError> {
    let options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", "preconditions": { "uid": uid },
    });
    match connection.change(action, Method::DELETE, path, Some(&options), "application/json").await {
        Ok(_) => Ok(()),
        Err(error) if error.class == Class::Missing => Ok(()),
        // Another object has its name now: ours is gone.
        Err(error) if error.code.as_deref() == Some("Conflict") && error.message.contains("UID") => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes finalizers from the object at `path`: whoever was to act on them is gone, and there is nothing left to do.
///
/// # Errors
/// The API server's refusal.
pub async fn strip(connection: &Connection, action: &str, path: &str, keep: &[String]) -> Result<(), CloudError> {
    match stripped(connection, path, keep).await {
        Ok(()) => Ok(()),
        Err(error) => Err(connection.explain(action, &error, connection.change_purpose()).await),
    }
}

/// The same; a failure as kube tells it, for those who look into the answer themselves.
///
/// # Errors
/// The API server's refusal; an object that is gone itself is a success.
pub async fn stripped(connection: &Connection, path: &str, keep: &[String]) -> Result<(), kube::Error> {
    let change = json!({ "metadata": { "finalizers": keep } });
    match connection.send(Method::PATCH, path, Some(&change), "application/merge-patch+json").await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}

/// What tells why `object` is not ready yet.
///
/// # Errors
/// A request failed.
pub async fn signs(connection: &Connection, object: &Value) -> Result<Signs, CloudError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let namespace = text("/metadata/namespace");
    let mut signs = Signs::default();
    match beside(object) {
        Beside::Nothing => {}
        Beside::Pods => {
            let selector = selector_of(object);
            let path = format!("/api/v1/namespaces/{namespace}/pods");
            signs.pods = connection.list("list Pods", &path, &selector).await?;
            let names: Vec<String> = signs.pods.iter().map(|pod| name_of(pod).to_owned()).collect();
            signs.events = events(connection, &namespace).await?;
            let own = text("/metadata/name");
            signs.events.retain(|event| {
                let about = event.pointer("/involvedObject/name").and_then(Value::as_str).unwrap_or_default();
                names.iter().any(|name| name == about) || about == own
            });
        }
        Beside::Events => {
            let (kind, name) = (text("/kind"), text("/metadata/name"));
            signs.events = events(connection, &namespace).await?;
            signs.events.retain(|event| {
                let is = |pointer: &str, wanted: &str| event.pointer(pointer).and_then(Value::as_str) == Some(wanted);
                is("/involvedObject/name", &name) && is("/involvedObject/kind", &kind)
            });
        }
        Beside::Endpoints => {
            for (namespace, service) in asked_services(object) {
                let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
                let selector = format!("kubernetes.io/service-name={service}");
                signs.endpoints.extend(connection.list("list EndpointSlices", &path, &selector).await?);
            }
        }
    }
    Ok(signs)
}

async fn events(connection: &Connection, namespace: &str) -> Result<Vec<Value>, CloudError> {
    let path = format!("/api/v1/namespaces/{namespace}/events?fieldSelector=type%3DWarning");
    connection.list("list Events", &path, "").await
}

fn name_of(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// The selector of a workload's pods as a query has it.
fn selector_of(object: &Value) -> String {
    let labels = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object).into_iter().flatten();
    let pairs: Vec<String> = labels.filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    pairs.join(",")
}

fn identified(manifest: &Value) -> Result<ObjectId, CloudError> {
    ObjectId::of(manifest)
        .ok_or_else(|| CloudError::refused("read a manifest", "it has no `apiVersion`, `kind` or name"))
}
