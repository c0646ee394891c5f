//! Changes of objects: patches, conditions, finalizers.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;

/// The finalizer of nodes and claims.
pub const TERMINATION_FINALIZER: &str = "karpenter.sh/termination";
/// The finalizer of classes.
pub const CLASS_FINALIZER: &str = "karpenter.k8s.aws/termination";

/// Objects that can be read and changed.
pub trait Object: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned {}
impl<K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned> Object for K {}

/// Merges `change` into an object.
///
/// # Errors
/// The API server's.
pub async fn patch<K: Object>(client: &Client, name: &str, change: &Value) -> kube::Result<K> {
    Api::<K>::all(client.clone()).patch(name, &PatchParams::default(), &Patch::Merge(change)).await
}

/// Merges `status` into the status of an object.
///
/// # Errors
/// The API server's.
pub async fn patch_status<K: Object>(client: &Client, name: &str, status: impl Serialize) -> kube::Result<K> {
    let change = json!({ "status": status });
    Api::<K>::all(client.clone()).patch_status(name, &PatchParams::default(), &Patch::Merge(&change)).await
}

/// Merges `status` into the status of an object as it was read: when somebody else has changed it since, nothing
/// happens and the answer is a conflict. Lists such as conditions are replaced whole, so they are written like this.
///
/// # Errors
/// The API server's; [`is_conflict`] tells a change by somebody else.
pub async fn patch_status_of<K: Object>(client: &Client, object: &K, status: impl Serialize) -> kube::Result<K> {
    let change = json!({ "metadata": { "resourceVersion": object.resource_version() }, "status": status });
    Api::<K>::all(client.clone())
        .patch_status(&object.name_any(), &PatchParams::default(), &Patch::Merge(&change))
        .await
}

/// Merges `status` into the status of an object in a namespace.
///
/// # Errors
/// The API server's.
pub async fn patch_status_in<K>(client: &Client, namespace: &str, name: &str, status: &Value) -> kube::Result<K>
where
    K: Object + Resource<Scope = NamespaceResourceScope>,
{
    let change = json!({ "status": status });
    Api::<K>::namespaced(client.clone(), namespace)
        .patch_status(name, &PatchParams::default(), &Patch::Merge(&change))
        .await
}

/// Deletes an object if it is still the one of this id; one that is gone counts as deleted.
///
/// # Errors
/// The API server's.
pub async fn delete<K: Object>(client: &Client, name: &str, uid: Option<String>) -> kube::Result<()> {
    let preconditions = uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None });
    let parameters = DeleteParams { preconditions, ..DeleteParams::default() };
    match Api::<K>::all(client.clone()).delete(name, &parameters).await {
        Err(error) if !is_missing(&error) && !is_conflict(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Adds a finalizer, if the object has not changed since it was read; `None` when it is there already.
///
/// # Errors
/// The API server's.
pub async fn add_finalizer<K: Object>(client: &Client, object: &K, finalizer: &str) -> kube::Result<Option<K>> {
    if has_finalizer(object, finalizer) || object.meta().deletion_timestamp.is_some() {
        return Ok(None);
    }
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(finalizer.to_owned());
    set_finalizers(client, object, &finalizers).await.map(Some)
}

/// Takes a finalizer away, if the object has not changed since it was read; an object that is gone is fine.
///
/// # Errors
/// The API server's.
pub async fn remove_finalizer<K: Object>(client: &Client, object: &K, finalizer: &str) -> kube::Result<()> {
    if !has_finalizer(object, finalizer) {
        return Ok(());
    }
    let finalizers: Vec<String> = object.finalizers().iter().filter(|own| *own != finalizer).cloned().collect();
    match set_finalizers(client, object, &finalizers).await {
        Err(error) if !is_missing(&error) => Err(error),
        _ => Ok(()),
    }
}

async fn set_finalizers<K: Object>(client: &Client, object: &K, finalizers: &[String]) -> kube::Result<K> {
    let change = json!({ "metadata": { "finalizers": finalizers, "resourceVersion": object.resource_version() } });
    patch(client, &object.name_any(), &change).await
}

/// Whether an object carries a finalizer.
pub fn has_finalizer<K: Object>(object: &K, finalizer: &str) -> bool {
    object.finalizers().iter().any(|own| own == finalizer)
}

/// Whether the API server knows no such object.
pub fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether somebody else has changed the object.
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Whether the same request may succeed later.
pub fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 429 || status.code >= 500 || status.code == 409,
        _ => true,
    }
}

/// Sets a condition; whether that changed anything but the time. `lastTransitionTime` moves with the status only.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: Truth,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) -> bool {
    // The API server wants a reason; Karpenter's is the type where there is nothing to say.
    let reason = if reason.is_empty() { kind } else { reason };
    let new = Condition {
        type_: kind.to_owned(),
        status: status.text().to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: Time(now),
    };
    let Some(old) = conditions.iter_mut().find(|condition| condition.type_ == kind) else {
        conditions.push(new);
        return true;
    };
    let since = if old.status == new.status { old.last_transition_time.clone() } else { Time(now) };
    let new = Condition { last_transition_time: since, ..new };
    let changed = *old != new;
    *old = new;
    changed
}

/// Takes a condition away; whether it was there.
pub fn clear_condition(conditions: &mut Vec<Condition>, kind: &str) -> bool {
    let before = conditions.len();
    conditions.retain(|condition| condition.type_ != kind);
    conditions.len() != before
}

/// The status of a condition.
pub fn truth_of(conditions: &[Condition], kind: &str) -> Option<Truth> {
    let condition = conditions.iter().find(|condition| condition.type_ == kind)?;
    Some(match condition.status.as_str() {
        "True" => Truth::True,
        "False" => Truth::False,
        _ => Truth::Unknown,
    })
}

/// What a condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they say")]
pub enum Truth {
    True,
    False,
    Unknown,
}

impl Truth {
    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// A reference from what an object owns.
pub fn owner_reference<K: Resource<DynamicType = ()>>(owner: &ObjectMeta) -> Value {
    json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "name": owner.name,
        "uid": owner.uid,
        "blockOwnerDeletion": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_condition_moves_with_its_status_only() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut conditions = Vec::new();
        assert!(set_condition(&mut conditions, "Ready", Truth::False, "Subnets", "none", Some(1), at(1)));
        assert!(!set_condition(&mut conditions, "Ready", Truth::False, "Subnets", "none", Some(1), at(2)));
        assert!(set_condition(&mut conditions, "Ready", Truth::False, "Images", "none", Some(2), at(3)));
        assert_eq!((conditions[0].last_transition_time.0, conditions[0].observed_generation), (at(1), Some(2)));
        assert!(set_condition(&mut conditions, "Ready", Truth::True, "", "", Some(2), at(4)));
        assert_eq!((conditions[0].last_transition_time.0, conditions[0].reason.as_str()), (at(4), "Ready"));
        assert_eq!(truth_of(&conditions, "Ready"), Some(Truth::True));
        assert!(clear_condition(&mut conditions, "Ready") && !clear_condition(&mut conditions, "Ready"));
    }
}
