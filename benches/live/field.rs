//! The field: a local cloud with an empty cluster, into which every contender comes fresh.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use sandbox::{Kind, Sandbox, Weather};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The cluster's name.
pub const CLUSTER: &str = "live";
/// The region: that of the price list.
pub const REGION: &str = "us-east-1";
/// The role of nodes that autoscalers launch.
const NODE_ROLE: &str = "live-nodes";
/// From an instance that runs to its node.
const BOOT_SECONDS: f64 = 2.0;

const STACK: &str = "
apiVersion: eksup.dev/v1
kind: Stack
metadata: { name: live, region: us-east-1 }
network:
  cidr: 10.0.0.0/16
  zones: [us-east-1a, us-east-1b, us-east-1c]
  publicSubnets: [10.0.0.0/24, 10.0.1.0/24, 10.0.2.0/24]
  privateSubnets: [10.0.64.0/18, 10.0.128.0/18, 10.0.192.0/18]
  nat: none
cluster: { version: \"1.35\", addons: [vpc-cni, kube-proxy] }
";

/// A cloud, its cluster, and a way in.
pub struct Field {
    /// The cloud.
    pub cloud: Sandbox,
    /// Somebody with all rights, whose requests are not in the log.
    pub client: Client,
    /// Hourly prices on demand, by instance type.
    prices: BTreeMap<String, f64>,
    folder: TempDir,
}

impl Field {
    /// Starts a cloud and builds a cluster in it with the program `eksup`.
    ///
    /// # Errors
    /// When any of that fails.
    pub async fn prepare(eksup: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let cloud = Sandbox::start_with_kubernetes(Weather::default().takes(Kind::Boot, BOOT_SECONDS))?;
        let stack = folder.path().join("stack.yaml");
        std::fs::write(&stack, STACK)?;
        let applied = Command::new(eksup)
            .args(["apply", "--yes"])
            .arg(&stack)
            .envs(cloud.environment())
            .stdin(Stdio::null())
            .output()
            .context("running eksup")?;
        if !applied.status.success() {
            bail!("the cluster: {}", String::from_utf8_lossy(&applied.stderr));
        }
        let kubeconfig = cloud.kubeconfig(CLUSTER)?;
        std::fs::write(folder.path().join("kubeconfig"), &kubeconfig)?;
        let config =
            Config::from_custom_kubeconfig(Kubeconfig::from_yaml(&kubeconfig)?, &KubeConfigOptions::default()).await?;
        let field = Self { cloud, client: Client::try_from(config)?, prices: prices()?, folder };
        field.let_nodes_in().await?;
        Ok(field)
    }

    /// A kubeconfig with all rights.
    pub fn kubeconfig(&self) -> PathBuf {
        self.file("kubeconfig")
    }

    /// A file that goes with the field.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The environment of a program that is to use this cloud and its region.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut environment = self.cloud.environment();
        environment.push(("AWS_REGION".to_owned(), REGION.to_owned()));
        environment
    }

    /// A connection to the cloud's AWS.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn aws(&self) -> Result<eksup::aws::Cloud> {
        let credentials = aws_credential_types::Credentials::new("sandbox", "sandbox", None, None, "bench");
        let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::new(REGION))
            .endpoint_url(self.cloud.endpoint())
            .credentials_provider(credentials)
            .load()
            .await;
        Ok(eksup::aws::Cloud::with(config).await?)
    }

    /// A role for nodes, and the cluster's leave for them to join.
    async fn let_nodes_in(&self) -> Result<()> {
        let aws = self.aws().await?;
        let trust = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "ec2.amazonaws.com" }, "Action": "sts:AssumeRole" }] });
        let role = aws.write.iam.create_role().role_name(NODE_ROLE).assume_role_policy_document(trust.to_string());
        let role = role.send().await?.role.context("a role")?;
        for policy in ["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"] {
            let attach = aws.write.iam.attach_role_policy().role_name(NODE_ROLE);
            attach.policy_arn(aws.managed_policy(policy)).send().await?;
        }
        let entry = aws.write.eks.create_access_entry().cluster_name(CLUSTER).principal_arn(role.arn);
        entry.r#type("EC2_LINUX").send().await?;
        Ok(())
    }

    /// The class of nodes, by ids, so that nothing depends on tags.
    ///
    /// # Errors
    /// When the cluster cannot be described.
    pub async fn node_class(&self) -> Result<Value> {
        let aws = self.aws().await?;
        let cluster = aws.read.eks.describe_cluster().name(CLUSTER).send().await?;
        let network = cluster.cluster.and_then(|cluster| cluster.resources_vpc_config).context("a network")?;
        let subnets: Vec<Value> = network.subnet_ids().iter().map(|id| json!({ "id": id })).collect();
        let group = network.cluster_security_group_id.context("a security group")?;
        Ok(json!({
            "apiVersion": "karpenter.k8s.aws/v1",
            "kind": "EC2NodeClass",
            "metadata": { "name": "default" },
            "spec": {
                "role": NODE_ROLE,
                "amiSelectorTerms": [{ "alias": "al2023@latest" }],
                "subnetSelectorTerms": subnets,
                "securityGroupSelectorTerms": [{ "id": group }],
            },
        }))
    }

    /// Puts definitions of custom resources in the place of those that are there, and waits until they are served.
    ///
    /// # Errors
    /// When the API server does not take one.
    pub async fn define(&self, definitions: Vec<CustomResourceDefinition>) -> Result<()> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for mut definition in definitions {
            let name = definition.metadata.name.clone().unwrap_or_default();
            if let Some(present) = api.get_opt(&name).await? {
                definition.metadata.resource_version = present.metadata.resource_version;
                definition.status = present.status;
                api.replace(&name, &PostParams::default(), &definition).await?;
            } else {
                api.create(&PostParams::default(), &definition).await?;
            }
            let established = || async {
                let status = api.get_opt(&name).await?.and_then(|found| found.status);
                let conditions = status.and_then(|status| status.conditions).unwrap_or_default();
                Ok(conditions.iter().any(|one| one.type_ == "Established" && one.status == "True").then_some(()))
            };
            until(&format!("`{name}` is served"), Duration::from_secs(30), established).await?;
        }
        Ok(())
    }

    /// An API of objects that only their manifests describe.
    pub fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match kind {
            "Deployment" | "Pod" => Api::default_namespaced_with(self.client.clone(), &resource),
            _ => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Applies a manifest.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn apply(&self, manifest: &Value) -> Result<DynamicObject> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&manifest["apiVersion"]), text(&manifest["kind"]));
        let name = text(&manifest["metadata"]["name"]);
        let force = PatchParams::apply("bench").force();
        let applied = self.api(&version, &kind).patch(&name, &force, &Patch::Apply(manifest)).await;
        applied.with_context(|| format!("applying {kind} `{name}`"))
    }

    /// Waits until an object says of itself that it is ready.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn ready(&self, api_version: &str, kind: &str, name: &str) -> Result<()> {
        let api = self.api(api_version, kind);
        let ready = || async {
            let found = api.get_opt(name).await?.unwrap_or_else(|| DynamicObject {
                types: None,
                metadata: Default::default(),
                data: Value::Null,
            });
            let conditions = found.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
            Ok(conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True").then_some(()))
        };
        until(&format!("{kind} `{name}` is ready"), Duration::from_secs(60), ready).await
    }

    /// The instances of the cluster that are paid for, by type.
    ///
    /// # Errors
    /// When the cloud is gone.
    pub fn instances(&self) -> Result<Vec<String>> {
        let seen = self.cloud.ask("GET", &format!("nodes?cluster={CLUSTER}"), &Value::Null)?;
        let alive = seen["instances"].as_array().into_iter().flatten().filter(|one| one["stage"] != "down");
        Ok(alive.filter_map(|one| one["type"].as_str().map(str::to_owned)).collect())
    }

    /// What the cluster costs per hour now.
    ///
    /// # Errors
    /// When the cloud is gone.
    pub fn cost(&self) -> Result<f64> {
        Ok(self.instances()?.iter().map(|kind| self.prices.get(kind).copied().unwrap_or(f64::NAN)).sum())
    }
}

/// What is paid on demand, as the local cloud's price list has it.
fn prices() -> Result<BTreeMap<String, f64>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sandbox/cloud/data/prices-us-east-1.csv");
    let text = std::fs::read_to_string(path).context(path)?;
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| head.iter().position(|cell| *cell == name).with_context(|| format!("no `{name}`"));
    let (kind, price) = (column("instance_type")?, column("on_demand_usd_per_hour")?);
    let rows = lines.filter_map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        Some(((*cells.get(kind)?).to_owned(), cells.get(price)?.parse().ok()?))
    });
    Ok(rows.collect())
}

/// Looks until `look` finds something.
///
/// # Errors
/// When it does not within `patience`, or looking fails.
pub async fn until<T, F>(what: &str, patience: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let begun = tokio::time::Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if begun.elapsed() > patience {
            bail!("not within {} s: {what}", patience.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
