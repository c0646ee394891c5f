//! Everything that the autoscaler asks of EC2, IAM, SSM and the price list, behind one door. What it does stands
//! in the files of its parts; here is what they share.

use std::sync::Arc;
use std::time::Duration;

use super::batch::Batch;
use super::books::Books;
use super::class::{Image, Reservation, Subnet};
use super::fleet::Ledger;
use super::instances::Instance;
use super::market::Stall;
use super::room::Room;
use super::shelf::Shelf;
use super::template::Templates;
use super::unavailable::Unavailable;
use crate::autoscaler::api::ec2_node_class::FoundGroup;
use crate::aws::Cloud;

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
    /// `FEATURE_GATES: ReservedCapacity`.
    pub reserved_capacity: bool,
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
            reserved_capacity: true,
        }
    }
}

/// The cloud's side of the autoscaler.
#[derive(Debug)]
pub struct Ec2 {
    pub(super) cloud: Cloud,
    pub(super) cluster: ClusterFacts,
    pub(super) settings: CloudSettings,
    pub(super) unavailable: Unavailable,
    /// What the region sells.
    pub(super) stall: Stall,
    /// Answers to the selectors of classes.
    pub(super) subnets: Shelf<String, Arc<Vec<Subnet>>>,
    pub(super) groups: Shelf<String, Arc<Vec<FoundGroup>>>,
    pub(super) images: Shelf<String, Arc<Vec<Image>>>,
    pub(super) reservations: Shelf<String, Arc<Vec<Reservation>>>,
    pub(super) parameters: Shelf<String, Option<String>>,
    pub(super) profiles: Shelf<String, ()>,
    pub(super) authorized: Shelf<String, ()>,
    pub(super) room: Room,
    pub(super) books: Books,
    pub(super) templates: Templates,
    pub(super) ledger: Ledger,
    /// Instances that are being looked at, and ended.
    pub(super) seen: Arc<Batch<Instance>>,
    pub(super) ending: Arc<Batch<()>>,
    /// When an instance was tagged last.
    pub(super) tagged: tokio::sync::Mutex<Option<tokio::time::Instant>>,
}

impl Ec2 {
    /// Asks nothing yet.
    pub fn new(cloud: Cloud, cluster: ClusterFacts, settings: CloudSettings) -> Self {
        Self {
            cloud,
            cluster,
            settings,
            unavailable: Unavailable::default(),
            stall: Stall::default(),
            subnets: Shelf::default(),
            groups: Shelf::default(),
            images: Shelf::default(),
            reservations: Shelf::default(),
            parameters: Shelf::default(),
            profiles: Shelf::default(),
            authorized: Shelf::default(),
            room: Room::default(),
            books: Books::default(),
            templates: Templates::default(),
            ledger: Ledger::default(),
            seen: Arc::default(),
            ending: Arc::default(),
            tagged: tokio::sync::Mutex::default(),
        }
    }

    /// The cluster, as nodes know it.
    pub fn cluster(&self) -> &ClusterFacts {
        &self.cluster
    }

    /// The clients.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// The region of the account that all of this is in.
    pub fn account(&self) -> &Cloud {
        &self.cloud
    }

    /// What cannot be had now.
    pub fn unavailable(&self) -> &Unavailable {
        &self.unavailable
    }

    /// A number that is another one whenever a catalogue may be: keep a catalogue until it moves.
    pub fn catalogue_version(&self) -> u64 {
        (self.stall.version() << 32) + self.unavailable.sequence(jiff::Timestamp::now())
    }

    /// Whether an instance was given to a claim of this process that may not name it yet: it is no orphan.
    pub fn is_handed_out(&self, id: &str) -> bool {
        self.ledger.has(id)
    }
}
