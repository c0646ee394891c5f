//! From a stack to the API server of its cluster.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::connection::{Connection, Target};
use crate::aws::ids::{ClusterName, Text};
use crate::aws::{Class, Cloud, CloudError, Reads, Tagged, Work, eks, tagging};
use crate::plan::{Reference, TagChange, Tags};

/// The tag of a cluster in which its stack has objects.
pub const OBJECTS: &str = "eksup.dev/objects";

/// The cluster that an object is in: what it refers to is what makes it wait for the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Home {
    /// The cluster's name.
    pub name: Reference<ClusterName>,
    /// Its region.
    pub region: String,
    /// Where its API answers.
    pub endpoint: Reference<Text>,
    /// The certificate authority of its API, PEM in base64.
    pub certificate_authority: Reference<Text>,
}

impl Home {
    /// The connection to the cluster.
    ///
    /// # Errors
    /// It cannot be opened.
    pub async fn connection(&self, work: &Work) -> Result<Arc<Connection>, CloudError> {
        work.cloud.clusters.to(&self.target()).await
    }

    /// Where the API server is.
    pub fn target(&self) -> Target {
        Target {
            name: self.name.as_str().to_owned(),
            region: self.region.clone(),
            endpoint: self.endpoint.as_str().to_owned(),
            certificate_authority: self.certificate_authority.as_str().to_owned(),
        }
    }

    /// The cluster of which `target` was opened.
    pub fn of(target: &Target) -> Self {
        Self {
            name: Reference::known(target.name.as_str()),
            region: target.region.clone(),
            endpoint: Reference::known(target.endpoint.as_str()),
            certificate_authority: Reference::known(target.certificate_authority.as_str()),
        }
    }
}

/// A way into the stack's own cluster.
#[derive(Debug, Clone)]
pub struct Way {
    /// The connection.
    pub connection: Arc<Connection>,
    /// Where it leads.
    pub home: Home,
}

/// The way into the cluster of the stack; nothing where it has none that answers yet or any more.
///
/// # Errors
/// AWS or the kubeconfig refuse; that nobody answers is found out by asking.
pub async fn into_stack(reads: &Reads) -> Result<Option<Way>, CloudError> {
    if !eks::has_cluster(reads).await? {
        return Ok(None);
    }
    let shown = eks::cluster(reads).await?;
    let Some(cluster) = shown.as_ref() else { return Ok(None) };
    let authority = cluster.certificate_authority().and_then(|authority| authority.data());
    let (Some(endpoint), Some(authority)) = (cluster.endpoint(), authority) else { return Ok(None) };
    if eks::is_leaving(cluster) {
        return Ok(None);
    }
    let target = Target {
        name: reads.stack.clone(),
        region: reads.cloud.region.clone(),
        endpoint: endpoint.to_owned(),
        certificate_authority: authority.to_owned(),
    };
    let connection = reads.cloud.clusters.to(&target).await?;
    Ok(Some(Way { connection, home: Home::of(&target) }))
}

/// The way to the stack's objects; nothing where it has none, which the cluster's tags tell: a stack that is all AWS is
/// planned without a way into its cluster.
///
/// # Errors
/// Those of [`into_stack`].
pub async fn to_objects(reads: &Reads) -> Result<Option<Way>, CloudError> {
    let shown = eks::cluster(reads).await?;
    let has_objects = shown.as_ref().as_ref().is_some_and(|cluster| eks::tags(cluster.tags()).contains_key(OBJECTS));
    if has_objects { into_stack(reads).await } else { Ok(None) }
}

/// Writes on the cluster of `work` that the stack has objects in it, or takes that away.
///
/// # Errors
/// The failure of the call.
pub async fn mark(home: &Home, has_objects: bool, work: &Work) -> Result<(), CloudError> {
    let Cloud { partition, region, account, .. } = &work.cloud;
    let cluster = Tagged::Eks(format!("arn:{partition}:eks:{region}:{account}:cluster/{}", home.name.as_str()));
    let tags = match has_objects {
        true => TagChange { set: Tags::from([(OBJECTS.to_owned(), "true".to_owned())]), unset: Vec::new() },
        false => TagChange { set: Tags::new(), unset: vec![OBJECTS.to_owned()] },
    };
    tagging::change(&cluster, &tags, work).await
}

/// What a look into a cluster found; nothing, and a note, where the cluster cannot be looked into and `reads` takes
/// that. Every kind looks for itself; what keeps them all out is said once.
///
/// # Errors
/// The look failed, and that matters.
pub fn forgiven<T>(reads: &Reads, looked: Result<Vec<T>, CloudError>) -> Result<Vec<T>, CloudError> {
    const PASSES: &[Class] = &[Class::Unreachable, Class::Denied, Class::Unanswered, Class::Refused];
    match looked {
        Err(error) if reads.forgiving && PASSES.contains(&error.class) => {
            reads.note_first(
                NOT_LOOKED_INTO,
                format!(
                    "{NOT_LOOKED_INTO}, so what runs in it is not taken down one by one; what it left in AWS is found \
                     by its tags: {}",
                    error.message
                ),
            );
            Ok(Vec::new())
        }
        other => other,
    }
}

const NOT_LOOKED_INTO: &str = "the cluster cannot be looked into";
