//! Everything that the autoscaler asks of EC2, IAM, SSM and the price list, behind one door.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::class::{ClassFault, ResolvedClass};
use super::instances::{Instance, InstanceHealth};
use super::launch::{LaunchError, LaunchRequest, Launched};
use super::unavailable::Unavailable;
use crate::autoscaler::api::EC2NodeClass;
use crate::autoscaler::state::instance_types::Catalogue;
use crate::autoscaler::state::names::Names;
use crate::aws::{Cloud, CloudError};

/// Which addresses pods and services have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpFamily {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
}

/// What nodes have to know of their cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The cluster's name.
    pub name: String,
    /// The API server's address.
    pub endpoint: String,
    /// The certificate authority, PEM in base64 as EKS gives it.
    pub certificate_authority: String,
    /// The addresses of services.
    pub service_cidr: String,
    /// The address of the cluster's DNS.
    pub dns_ip: String,
    /// Kubernetes' minor version: 35 of 1.35.
    pub minor: u32,
    /// Which addresses pods and services have.
    pub ip_family: IpFamily,
}

/// Settings of the autoscaler that concern the cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudSettings {
    /// `VM_MEMORY_OVERHEAD_PERCENT`, as a share.
    pub memory_overhead: f64,
    /// `RESERVED_ENIS`.
    pub reserved_interfaces: i64,
    /// `AMI_REFRESH_INTERVAL`.
    pub image_refresh: Duration,
    /// `SUBNET_REFRESH_INTERVAL`.
    pub subnet_refresh: Duration,
    /// `ISOLATED_VPC`: IAM and the price list cannot be reached.
    pub isolated: bool,
    /// `DISABLE_DRY_RUN`.
    pub disable_dry_run: bool,
}

impl Default for CloudSettings {
    fn default() -> Self {
        Self {
            memory_overhead: 0.075,
            reserved_interfaces: 0,
            image_refresh: Duration::from_secs(60),
            subnet_refresh: Duration::from_secs(60),
            isolated: false,
            disable_dry_run: false,
        }
    }
}

/// The cloud's side of the autoscaler.
#[derive(Debug)]
#[allow(dead_code, reason = "its parts follow")]
pub struct Ec2 {
    cloud: Cloud,
    cluster: ClusterFacts,
    settings: CloudSettings,
    unavailable: Unavailable,
}

impl Ec2 {
    /// Asks nothing yet.
    pub fn new(cloud: Cloud, cluster: ClusterFacts, settings: CloudSettings) -> Self {
        Self { cloud, cluster, settings, unavailable: Unavailable::default() }
    }

    /// What the region sells to nodes of a class. Kept for twelve hours; `names` takes up its words.
    ///
    /// # Errors
    /// The first call that fails while nothing is known yet.
    pub async fn catalogue(&self, _names: &mut Names, _class: &ResolvedClass) -> Result<Catalogue, CloudError> {
        Err(not_yet("ec2:DescribeInstanceTypes"))
    }

    /// A number that is another one whenever a catalogue may be: read it, and keep the catalogue until it moves.
    pub fn catalogue_version(&self) -> u64 {
        self.unavailable.sequence(jiff::Timestamp::now())
    }

    /// What cannot be had now.
    pub fn unavailable(&self) -> &Unavailable {
        &self.unavailable
    }

    /// Looks up what the selectors of a class mean, and makes its instance profile. Answers are kept for a while.
    ///
    /// # Errors
    /// What keeps the class from being ready, field by field.
    pub async fn resolve(&self, _class: &EC2NodeClass) -> Result<Arc<ResolvedClass>, Box<ClassFault>> {
        Err(Box::new(ClassFault { found: Default::default(), unmet: Vec::new() }))
    }

    /// Buys an instance for each request, with few calls; requests that are alike share one. `claimed` are the
    /// ids of instances that a claim names. One answer for each request, by claim.
    pub async fn launch(
        &self,
        requests: Vec<LaunchRequest>,
        _claimed: &BTreeSet<String>,
    ) -> Vec<(String, Result<Launched, LaunchError>)> {
        requests.into_iter().map(|request| (request.claim, Err(not_yet("ec2:CreateFleet").into()))).collect()
    }

    /// Whether an instance was given to a claim of this process that may not name it yet: it is no orphan.
    pub fn is_handed_out(&self, _id: &str) -> bool {
        false
    }

    /// Ends instances; those that are gone count as ended.
    ///
    /// # Errors
    /// The call's.
    pub async fn terminate(&self, _ids: &[String]) -> Result<(), CloudError> {
        Err(not_yet("ec2:TerminateInstances"))
    }

    /// Every instance that an autoscaler of this cluster has launched and that EC2 still shows.
    ///
    /// # Errors
    /// The call's.
    pub async fn instances(&self) -> Result<Vec<Instance>, CloudError> {
        Err(not_yet("ec2:DescribeInstances"))
    }

    /// One instance; `None` when EC2 knows it no more. Questions of the same moment share a call.
    ///
    /// # Errors
    /// The call's.
    pub async fn instance(&self, _id: &str) -> Result<Option<Instance>, CloudError> {
        Err(not_yet("ec2:DescribeInstances"))
    }

    /// Instances of ours that fail their checks, or for which something is scheduled.
    ///
    /// # Errors
    /// The call's.
    pub async fn statuses(&self) -> Result<Vec<InstanceHealth>, CloudError> {
        Err(not_yet("ec2:DescribeInstanceStatus"))
    }

    /// Writes the names of node and claim on an instance whose node has registered; at most one call a second.
    ///
    /// # Errors
    /// The call's.
    pub async fn tag_registered(&self, _id: &str, _node: &str, _claim: &str) -> Result<(), CloudError> {
        Err(not_yet("ec2:CreateTags"))
    }

    /// Removes launch templates of the cluster that nobody has used for a while.
    ///
    /// # Errors
    /// The first call that fails.
    pub async fn collect_launch_templates(&self) -> Result<(), CloudError> {
        Ok(())
    }

    /// Removes instance profiles of the cluster that no class and no instance uses; `classes` are those that are.
    ///
    /// # Errors
    /// The first call that fails.
    pub async fn collect_profiles(&self, _classes: &[EC2NodeClass]) -> Result<(), CloudError> {
        Ok(())
    }

    /// Removes what was made for a class that is being deleted: its launch templates and instance profiles.
    ///
    /// # Errors
    /// The first call that fails.
    pub async fn delete_class(&self, _class: &EC2NodeClass) -> Result<(), CloudError> {
        Ok(())
    }
}

fn not_yet(action: &'static str) -> CloudError {
    CloudError::refused(action, "not built yet")
}
