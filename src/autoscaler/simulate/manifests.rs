//! YAML documents, sorted by kind.

use crate::autoscaler::api::{EC2NodeClass, EC2NodeClassSpec, NodePool, NodePoolSpec};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::Value;
use std::collections::BTreeMap;
use thiserror::Error;

/// Why a document cannot be read.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// It is no YAML.
    #[error("input {input} is not valid YAML: {reason}")]
    Yaml {
        /// Which input, from 1.
        input: usize,
        /// What the parser says.
        reason: String,
    },
    /// It does not look like its kind.
    #[error("{kind} `{name}` cannot be read: {reason}")]
    Object {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// What does not fit.
        reason: String,
    },
}

/// A workload that becomes pods.
#[derive(Clone, Debug)]
pub enum Workload {
    /// A Deployment.
    Deployment(Box<Deployment>),
    /// A ReplicaSet.
    ReplicaSet(Box<ReplicaSet>),
    /// A StatefulSet.
    StatefulSet(Box<StatefulSet>),
    /// A Job.
    Job(Box<Job>),
    /// A bare pod.
    Pod(Box<Pod>),
}

/// Everything that simulation looks at.
#[derive(Debug, Default)]
pub struct Manifests {
    /// NodePools by name.
    pub pools: Vec<(String, NodePoolSpec)>,
    /// EC2NodeClasses by name.
    pub classes: Vec<(String, EC2NodeClassSpec)>,
    /// What becomes pods.
    pub workloads: Vec<Workload>,
    /// DaemonSets.
    pub daemons: Vec<DaemonSet>,
    /// Nodes that exist.
    pub nodes: Vec<Node>,
    /// Namespaces with their labels.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Volumes.
    pub volumes: Vec<PersistentVolume>,
    /// Claims.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Storage classes.
    pub storage_classes: Vec<StorageClass>,
}

impl Manifests {
    /// Reads inputs of one or more documents each; kinds that do not matter here are passed over.
    ///
    /// # Errors
    /// When an input is no YAML, or a document does not look like its kind.
    pub fn read(inputs: &[String]) -> Result<Self, ManifestError> {
        let mut manifests = Self::default();
        for (at, input) in inputs.iter().enumerate() {
            let documents: Vec<Value> = serde_saphyr::from_multiple(input)
                .map_err(|error| ManifestError::Yaml { input: at + 1, reason: error.to_string() })?;
            for document in documents {
                manifests.add(document)?;
            }
        }
        Ok(manifests)
    }

    fn add(&mut self, document: Value) -> Result<(), ManifestError> {
        let kind = document["kind"].as_str().unwrap_or_default().to_owned();
        let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let object = Object { kind: &kind, name: &name, document };
        match kind.as_str() {
            "List" => {
                if let Some(Value::Array(items)) = object.document.get("items").cloned() {
                    for item in items {
                        self.add(item)?;
                    }
                }
            }
            "NodePool" => self.pools.push((name.clone(), object.read::<NodePool>()?.spec)),
            "EC2NodeClass" => self.classes.push((name.clone(), object.read::<EC2NodeClass>()?.spec)),
            "Deployment" => self.workloads.push(Workload::Deployment(object.read()?)),
            "ReplicaSet" => self.workloads.push(Workload::ReplicaSet(object.read()?)),
            "StatefulSet" => self.workloads.push(Workload::StatefulSet(object.read()?)),
            "Job" => self.workloads.push(Workload::Job(object.read()?)),
            "Pod" => self.workloads.push(Workload::Pod(object.read()?)),
            "DaemonSet" => self.daemons.push(object.read()?),
            "Node" => self.nodes.push(object.read()?),
            "Namespace" => {
                let namespace: Namespace = object.read()?;
                let mut labels = namespace.metadata.labels.unwrap_or_default();
                labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
                self.namespaces.insert(name.clone(), labels);
            }
            "PersistentVolume" => self.volumes.push(object.read()?),
            "PersistentVolumeClaim" => self.claims.push(object.read()?),
            "StorageClass" => self.storage_classes.push(object.read()?),
            _ => {}
        }
        Ok(())
    }
}

struct Object<'a> {
    kind: &'a str,
    name: &'a str,
    document: Value,
}

impl Object<'_> {
    fn read<T: serde::de::DeserializeOwned>(self) -> Result<T, ManifestError> {
        serde_json::from_value(self.document).map_err(|error| ManifestError::Object {
            kind: self.kind.to_owned(),
            name: self.name.to_owned(),
            reason: error.to_string(),
        })
    }
}
