//! Claims on volumes, whoever made them. A volume that a driver made for one goes with it: while the driver runs, and
//! only where the user asks for data to be deleted.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::held::every;
use super::objects;
use super::removal::{self, Target};
use super::way::{self, Home, Way};
use crate::aws::leftovers::{Identity, Leftover};
use crate::aws::{CloudError, Found, Reads, Work};
use crate::plan::{Address, Describe, Effect, Facts, Keeping, Loss, State, Tags};
use crate::spec::objects::{ObjectId, ObjectKind};

/// A claim on a volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The cluster that it is in.
    pub cluster: Home,
    /// Which object it is.
    pub object: ObjectId,
    /// Tells it from another one of its name.
    pub uid: String,
    /// The volume that it is bound to.
    pub volume: Option<String>,
    /// The EBS volume that a driver has made for it.
    #[serde(default)]
    pub disk: Option<String>,
}

/// What has to stay until a claim has gone.
const TAKERS: &[&str] =
    &["addon", "cluster", "node-group", "autoscaled-instance", "pod-identity-association", "role", "volume"];

impl Describe for Claim {
    const FACTS: Facts = Facts {
        fields: &[
            ("cluster", Effect::Replace),
            ("object", Effect::Replace),
            ("uid", Effect::Replace),
            ("volume", Effect::Replace),
            ("disk", Effect::Replace),
        ],
        outputs: &["id"],
        taggable: false,
        loss: Loss::Data("everything on the volume"),
        keeping: Some(Keeping::UnlessAsked {
            why: "its volume holds data, and stays when the cluster goes",
            by_hand: |found| {
                let text = |pointer: &str| found.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                match text("/disk") {
                    "" => format!("kubectl delete pvc -n {} {}", text("/object/namespace"), text("/object/name")),
                    disk => format!("aws ec2 delete-volume --volume-id {disk}"),
                }
            },
        }),
        references: &[("cluster", &["cluster"])],
        goes_before: |_| TAKERS,
        ..Facts::new("volume-claim")
    };
}

impl Claim {
    fn target(&self) -> Target {
        Target { id: self.object.clone(), uid: self.uid.clone(), home: self.cluster.clone() }
    }
}

impl Leftover for Claim {
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        way::forgiven(reads, look(reads).await)
    }

    /// What runs on the volume goes first: a claim stays as long as a pod uses it.
    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        removal::begin(&found.body.target(), work).await?;
        let connection = found.body.cluster.connection(work).await?;
        let namespace = found.body.object.namespace.clone().unwrap_or_default();
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let pods = connection.list("list Pods", &path, "").await?;
        let using = pods.iter().filter(|pod| uses(pod, &found.body.object.name));
        let mut owners: BTreeSet<(ObjectId, String)> = BTreeSet::new();
        for pod in using {
            owners.insert(top_owner(&connection, pod, &namespace).await?);
        }
        for (id, uid) in owners {
            let Some(served) = connection.served(&id.kind).await? else { continue };
            objects::delete(&connection, &format!("delete {id}"), &id.path(&served), &uid).await?;
        }
        Ok(())
    }

    async fn still_there(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        removal::remains(&found.body.target(), work).await
    }
}

fn uses(pod: &Value, claim: &str) -> bool {
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array).into_iter().flatten();
    volumes
        .filter_map(|volume| volume.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str))
        .any(|name| name == claim)
}

/// What would make the pod anew: the last in the chain of its owners, or the pod itself.
async fn top_owner(
    connection: &super::connection::Connection,
    pod: &Value,
    namespace: &str,
) -> Result<(ObjectId, String), CloudError> {
    let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let uid = pod.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = ObjectKind::new("v1", "Pod");
    let mut top = (ObjectId { kind, namespace: Some(namespace.to_owned()), name }, uid);
    let mut object = pod.clone();
    while let Some((owner, uid)) = controller_of(&object, namespace) {
        let Some(next) = objects::look(connection, &owner).await? else { break };
        top = (owner, uid);
        object = next;
    }
    Ok(top)
}

fn controller_of(object: &Value, namespace: &str) -> Option<(ObjectId, String)> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner.get("controller") == Some(&Value::Bool(true)))?;
    let text = |key: &str| owner.get(key)?.as_str();
    let kind = ObjectKind::new(text("apiVersion")?, text("kind")?);
    let id = ObjectId { kind, namespace: Some(namespace.to_owned()), name: text("name")?.to_owned() };
    Some((id, text("uid")?.to_owned()))
}

async fn look(reads: &Reads) -> Result<Vec<Found<Claim>>, CloudError> {
    let Some(way) = way::into_stack(reads).await? else { return Ok(Vec::new()) };
    let (claims, volumes) =
        tokio::try_join!(every(&way, ObjectKind::new("v1", "PersistentVolumeClaim")), volumes(reads, &way))?;
    let found = claims.iter().filter_map(|claim| {
        let text = |pointer: &str| claim.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let id = ObjectId::of(claim)?;
        let volume = text("/spec/volumeName");
        let disk =
            volumes.iter().find(|one| one.pointer("/metadata/name").and_then(Value::as_str) == volume.as_deref());
        let deleting = claim.pointer("/metadata/deletionTimestamp").is_some();
        Some(Found {
            address: Address::new(format!("leftovers/volume-claim/{}", id.key())),
            outputs: Identity { id: id.key() },
            body: Claim {
                cluster: way.home.clone(),
                uid: text("/metadata/uid").unwrap_or_default(),
                disk: disk.and_then(disk_of).map(str::to_owned),
                volume,
                object: id,
            },
            tags: Tags::new(),
            state: if deleting { State::Deleting } else { State::Ready },
        })
    });
    Ok(found.collect())
}

/// The volumes in the cluster: asked for once in a look.
async fn volumes(reads: &Reads, way: &Way) -> Result<Arc<Vec<Value>>, CloudError> {
    reads.once("kubernetes: volumes", || every(way, ObjectKind::new("v1", "PersistentVolume"))).await
}

/// The EBS volumes that a driver has made for claims in the stack's cluster, by their ids.
///
/// # Errors
/// The request failed, and that matters.
pub async fn disks(reads: &Reads) -> Result<BTreeSet<String>, CloudError> {
    let looked = async {
        let Some(way) = way::into_stack(reads).await? else { return Ok(Vec::new()) };
        let volumes = volumes(reads, &way).await?;
        Ok(volumes.iter().filter_map(disk_of).map(str::to_owned).collect())
    };
    Ok(way::forgiven(reads, looked.await)?.into_iter().collect())
}

/// The EBS volume behind a volume that a driver has made; none behind one that somebody wrote down by hand, which was
/// there before.
fn disk_of(volume: &Value) -> Option<&str> {
    const DRIVER: &str = "ebs.csi.aws.com";
    let made_by = volume.pointer("/metadata/annotations")?.get("pv.kubernetes.io/provisioned-by")?.as_str()?;
    let driver = volume.pointer("/spec/csi/driver")?.as_str()?;
    let handle = volume.pointer("/spec/csi/volumeHandle")?.as_str()?;
    (made_by == DRIVER && driver == DRIVER && handle.starts_with("vol-")).then_some(handle)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_volume_that_the_driver_made_has_a_disk_of_the_cluster() {
        let volume = |made_by: &str| {
            json!({ "metadata": { "annotations": { "pv.kubernetes.io/provisioned-by": made_by } },
                "spec": { "csi": { "driver": "ebs.csi.aws.com", "volumeHandle": "vol-1" } } })
        };
        assert_eq!(disk_of(&volume("ebs.csi.aws.com")), Some("vol-1"));
        assert_eq!(disk_of(&volume("somebody")), None);
        assert_eq!(
            disk_of(&json!({ "spec": { "csi": { "driver": "ebs.csi.aws.com", "volumeHandle": "vol-1" } } })),
            None
        );
    }
}
