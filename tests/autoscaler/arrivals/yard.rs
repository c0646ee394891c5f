//! A cluster without nodes, a pool and a class.

use std::collections::{BTreeMap, BTreeSet};

use eksup::autoscaler::api::definitions::definitions;
use eksup::aws::Cloud;
use sandbox::{Kind, Weather};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::process::Autoscaler;
use crate::stage::{Somebody, Stage, until};
use crate::support::connect;

/// The cluster's name.
pub const CLUSTER: &str = "yard";
const REGION: &str = "us-east-1";
const ROLE: &str = "yard-nodes";
pub const CLAIMS: &str = "/apis/karpenter.sh/v1/nodeclaims";
/// The pods that a claim was made for.
pub const PLANNED_FOR: &str = "eksup.dev/planned-for";
pub const POOLS: &str = "/apis/karpenter.sh/v1/nodepools";
pub const CLASSES: &str = "/apis/karpenter.k8s.aws/v1/ec2nodeclasses";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PODS: &str = "/api/v1/namespaces/default/pods";

const STACK: &str = "
apiVersion: eksup.dev/v1
kind: Stack
metadata: { name: yard, region: us-east-1 }
network: { cidr: 10.0.0.0/16, zones: [us-east-1a, us-east-1b], nat: none }
cluster: { version: \"VERSION\", addons: [vpc-cni, kube-proxy] }
";
/// In which kube-scheduler keeps room for pods that somebody else has nominated.
const VERSION: &str = "1.35";

/// A cluster without nodes.
pub struct Yard {
    /// The cloud.
    pub stage: Stage,
    /// Somebody with all rights.
    pub hands: Somebody,
    pub cloud: Cloud,
    pub runtime: Runtime,
}

impl Yard {
    /// A cluster into which nodes of a class called `default` may come; nothing acts in it.
    pub fn new() -> Self {
        Self::of("")
    }

    /// The same, with these sections in its stack file.
    pub fn of(sections: &str) -> Self {
        let yard = Self::without_class(sections);
        yard.makes_class();
        yard
    }

    /// The same, of this version of Kubernetes.
    pub fn at(version: &str) -> Self {
        let yard = Self::build(version, "");
        yard.makes_class();
        yard
    }

    /// A cluster into which nodes may come once there is a class, with these sections in its stack file.
    pub fn without_class(sections: &str) -> Self {
        Self::build(VERSION, sections)
    }

    fn build(version: &str, sections: &str) -> Self {
        let stage = Stage::set(&format!("{}{sections}", STACK.replace("VERSION", version)));
        stage.rig.cloud.set_weather(&fine()).expect("fine weather");
        stage.apply();
        let hands = stage.somebody_in(CLUSTER);
        for definition in definitions() {
            let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
            hands.makes(path, &serde_json::to_value(definition).expect("a definition"));
        }
        let runtime = Runtime::new().expect("a runtime");
        let cloud = runtime.block_on(connect(&stage.rig.cloud, REGION));
        let yard = Self { stage, hands, cloud, runtime };
        for path in [CLAIMS, POOLS, CLASSES] {
            until("the kinds are served", || yard.hands.sees(path));
        }
        yard.let_nodes_in();
        yard
    }

    /// Makes the class called `default`.
    pub fn makes_class(&self) {
        self.hands.makes(CLASSES, &self.class());
    }

    /// Whether the class called `default` is ready.
    pub fn class_is_ready(&self) -> Option<()> {
        is_ready(&self.hands.gets(&format!("{CLASSES}/default")))
    }

    /// A cluster in which the autoscaler acts, with a pool called `default`.
    pub fn with_pool(spec: &Value) -> (Self, Autoscaler) {
        let yard = Self::new();
        let autoscaler = yard.autoscaler();
        yard.opens(spec);
        (yard, autoscaler)
    }

    /// Makes a pool called `default`, and waits until something can be bought for it.
    pub fn opens(&self, spec: &Value) {
        self.pool("default", spec);
        until("the class is ready", || self.class_is_ready());
    }

    fn let_nodes_in(&self) {
        let (iam, eks) = (&self.cloud.write.iam, &self.cloud.write.eks);
        self.runtime.block_on(async {
            let trust = json!({ "Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Principal": { "Service": "ec2.amazonaws.com" }, "Action": "sts:AssumeRole" }] });
            let role = iam.create_role().role_name(ROLE).assume_role_policy_document(trust.to_string());
            let role = role.send().await.expect("a role").role.expect("a role");
            for policy in ["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"] {
                let policy = self.cloud.managed_policy(policy);
                iam.attach_role_policy().role_name(ROLE).policy_arn(policy).send().await.expect("a policy");
            }
            let entry = eks.create_access_entry().cluster_name(CLUSTER).principal_arn(role.arn);
            entry.r#type("EC2_LINUX").send().await.expect("an access entry");
        });
    }

    fn class(&self) -> Value {
        let described = self.cloud.read.eks.describe_cluster().name(CLUSTER);
        let described = self.runtime.block_on(described.send()).expect("the cluster");
        let network = described.cluster.and_then(|cluster| cluster.resources_vpc_config).expect("a network");
        let subnets: Vec<Value> = network.subnet_ids().iter().map(|id| json!({ "id": id })).collect();
        json!({
            "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": { "name": "default" },
            "spec": {
                "role": ROLE,
                "amiSelectorTerms": [{ "alias": "al2023@latest" }],
                "subnetSelectorTerms": subnets,
                "securityGroupSelectorTerms": [{ "id": network.cluster_security_group_id }],
            },
        })
    }

    /// Makes a pool of the class; `spec` has requirements, and what else a pool's spec has beside its template.
    pub fn pool(&self, name: &str, spec: &Value) {
        let mut pool = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": name },
            "spec": { "template": { "spec": {
                "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
                "expireAfter": "Never", "requirements": spec["requirements"] } },
                "disruption": { "consolidateAfter": "Never" } },
        });
        for (key, value) in spec.as_object().into_iter().flatten().filter(|(key, _)| *key != "requirements") {
            pool["spec"][key] = value.clone();
        }
        self.hands.makes(POOLS, &pool);
    }

    /// Starts the autoscaler.
    pub fn autoscaler(&self) -> Autoscaler {
        self.autoscaler_with(&[])
    }

    /// Starts the autoscaler with these settings.
    pub fn autoscaler_with(&self, settings: &[(&str, &str)]) -> Autoscaler {
        let alone = [("DISABLE_LEADER_ELECTION", "true")];
        Autoscaler::start(&self.stage.rig, CLUSTER, "autoscaler", None, &[&alone, settings].concat())
    }

    /// Starts one of several autoscalers of which one acts.
    pub fn replica(&self, name: &str) -> Autoscaler {
        let settings = [("POD_NAME", name), ("LEADER_ELECTION_NAMESPACE", "default")];
        Autoscaler::start(&self.stage.rig, CLUSTER, name, None, &settings)
    }

    /// Applies a Deployment of pods that ask for this; `spec` is merged into that of its pods.
    pub fn deployment(&self, name: &str, replicas: u32, requests: &Value, spec: &Value) {
        let mut pod = json!({ "containers": [{ "name": "a", "image": "registry.example/a:1", "resources": { "requests": requests } }] });
        for (key, value) in spec.as_object().into_iter().flatten() {
            pod[key] = value.clone();
        }
        let labels = json!({ "app": name });
        self.hands.makes(
            DEPLOYMENTS,
            &json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
                "spec": { "replicas": replicas, "selector": { "matchLabels": labels },
                    "template": { "metadata": { "labels": labels }, "spec": pod } },
            }),
        );
    }

    /// All pods of the default namespace.
    pub fn pods(&self) -> Vec<Value> {
        items(&self.hands.gets(PODS))
    }

    /// Waits until so many pods run; all of them.
    #[track_caller]
    pub fn running(&self, count: usize) -> Vec<Value> {
        until(&format!("{count} pods run"), || {
            let pods = self.pods();
            (pods.iter().filter(|pod| pod["status"]["phase"] == "Running").count() == count).then_some(pods)
        })
    }

    /// All claims.
    pub fn claims(&self) -> Vec<Value> {
        items(&self.hands.gets(CLAIMS))
    }

    /// The claims, once they are so many and all ready.
    #[track_caller]
    pub fn ready_claims(&self, count: usize) -> Vec<Value> {
        let mut looks = 0;
        until(&format!("{count} claims are ready"), || {
            let claims = self.claims();
            looks += 1;
            if looks == 600 {
                let late = claims.iter().filter(|claim| is_ready(claim).is_none());
                eprintln!("not ready after a long time: {:#}", Value::from(late.cloned().collect::<Vec<_>>()));
            }
            (claims.len() == count && claims.iter().all(|claim| is_ready(claim).is_some())).then_some(claims)
        })
    }

    /// The instances that an autoscaler has launched and that run, with their zone.
    pub fn instances(&self) -> BTreeMap<String, String> {
        self.instances_in(&["pending", "running"])
    }

    /// Every instance that an autoscaler has ever launched, with its zone.
    pub fn ever_launched(&self) -> BTreeMap<String, String> {
        self.instances_in(&["pending", "running", "shutting-down", "terminated", "stopping", "stopped"])
    }

    fn instances_in(&self, states: &[&str]) -> BTreeMap<String, String> {
        use aws_sdk_ec2::types::Filter;
        let filter = |name: &str, values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            Filter::builder().name(name).set_values(Some(values)).build()
        };
        let request = self.cloud.read.ec2.describe_instances();
        let request = request.filters(filter("tag-key", &["karpenter.sh/nodepool"]));
        let request = request.filters(filter("instance-state-name", states));
        let answer = self.runtime.block_on(request.send()).expect("instances");
        let all = answer.reservations().iter().flat_map(|one| one.instances());
        let zone = |one: &aws_sdk_ec2::types::Instance| one.placement()?.availability_zone().map(str::to_owned);
        all.filter_map(|one| Some((one.instance_id()?.to_owned(), zone(one)?))).collect()
    }

    /// How often EC2 was asked for instances.
    pub fn fleets(&self) -> usize {
        self.stage.rig.cloud.calls().expect("the log").iter().filter(|call| call.name() == "ec2:CreateFleet").count()
    }

    /// Whether somebody has said an event with this reason about an object, and what.
    pub fn heard(&self, reason: &str, about: &str) -> Option<String> {
        let events = items(&self.hands.gets("/api/v1/namespaces/default/events"));
        let event = events.iter().find(|event| {
            event["reason"] == reason
                && event["involvedObject"]["name"].as_str().is_some_and(|name| name.starts_with(about))
                && event["source"]["component"] == "karpenter"
        })?;
        event["message"].as_str().map(str::to_owned)
    }

    /// What `eksup autoscaler explain` says of a node or claim.
    #[track_caller]
    pub fn explain(&self, name: &str) -> Value {
        let kubeconfig = self.stage.rig.file("autoscaler.kubeconfig");
        let mut command = self.stage.rig.command(&["autoscaler", "explain", name, "--output", "json"]);
        let ran = command.env("KUBECONFIG", kubeconfig).output().expect("eksup runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        serde_json::from_slice(&ran.stdout).expect("an explanation")
    }

    /// Changes the weather.
    pub fn weather(&self, weather: &Weather) {
        self.stage.rig.cloud.set_weather(weather).expect("the weather");
    }
}

/// Weather in which instances become nodes after a moment, so that what happens until then can be seen.
pub fn fine() -> Weather {
    Weather::default().takes(Kind::Boot, 1.0)
}

/// A pool that buys on demand.
pub fn on_demand() -> Value {
    bought("on-demand")
}

/// A pool that buys so.
pub fn bought(capacity_type: &str) -> Value {
    json!({ "requirements": [
        { "key": "karpenter.sh/capacity-type", "operator": "In", "values": [capacity_type] },
        { "key": "karpenter.k8s.aws/instance-category", "operator": "In", "values": ["c", "m", "r"] },
        { "key": "karpenter.k8s.aws/instance-generation", "operator": "Gt", "values": ["4"] },
        { "key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"] },
    ] })
}

/// The items of a list.
pub fn items(list: &Value) -> Vec<Value> {
    list["items"].as_array().cloned().unwrap_or_default()
}

/// Whether an object says of itself that it is ready.
pub fn is_ready(object: &Value) -> Option<()> {
    condition(object, "Ready").is_some_and(|one| one["status"] == "True").then_some(())
}

/// A condition of an object.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == kind)
}

/// The nodes that pods run on.
pub fn nodes_of(pods: &[Value]) -> BTreeSet<String> {
    pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned)).collect()
}
