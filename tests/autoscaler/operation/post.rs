//! A cluster without nodes.

use std::ffi::OsStr;

use eksup::autoscaler::api::definitions::definitions;
use serde_json::{Value, json};

use crate::process::Autoscaler;
use crate::stage::{Somebody, Stage, until};

const CLUSTER: &str = "post";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub const POOLS: &str = "/apis/karpenter.sh/v1/nodepools";
pub const CLASSES: &str = "/apis/karpenter.k8s.aws/v1/ec2nodeclasses";
pub const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/karpenter-leader-election";

const STACK: &str = "
apiVersion: eksup.dev/v1
kind: Stack
metadata: { name: post, region: us-east-1 }
network: { cidr: 10.0.0.0/16, zones: [us-east-1a, us-east-1b], nat: none }
cluster: { version: \"1.35\", addons: [vpc-cni, kube-proxy] }
";

/// A cluster without nodes.
pub struct Post {
    /// The cloud.
    pub stage: Stage,
    /// Somebody with all rights.
    pub hands: Somebody,
}

impl Post {
    /// A cluster that knows none of Karpenter's kinds.
    pub fn bare() -> Self {
        let stage = Stage::set(STACK);
        stage.apply();
        let hands = stage.somebody_in(CLUSTER);
        Self { stage, hands }
    }

    /// A cluster that knows Karpenter's kinds.
    pub fn new() -> Self {
        let post = Self::bare();
        post.define();
        post
    }

    /// Makes the definitions.
    pub fn define(&self) {
        self.make_definitions(|_| {});
    }

    /// Makes the definitions without any rule: as somebody's older or laxer ones might be.
    pub fn define_laxly(&self) {
        self.make_definitions(|version| {
            version["schema"] =
                json!({ "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
        });
    }

    fn make_definitions(&self, change: impl Fn(&mut Value)) {
        for definition in definitions() {
            let mut definition = serde_json::to_value(definition).expect("a definition");
            definition["spec"]["versions"].as_array_mut().expect("versions").iter_mut().for_each(&change);
            self.hands.makes(DEFINITIONS, &definition);
        }
        for path in ["/apis/karpenter.sh/v1/nodeclaims", POOLS, CLASSES] {
            until("the kinds are served", || self.hands.sees(path));
        }
    }

    /// Makes a pool of the class `default`.
    pub fn pool(&self, name: &str) {
        self.hands.makes(POOLS, &pool(name));
    }

    /// A condition of a pool, once it is there: status and reason.
    #[track_caller]
    pub fn told(&self, pool: &str, kind: &str) -> (String, String) {
        let path = format!("{POOLS}/{pool}");
        until(&format!("the pool `{pool}` has the condition `{kind}`"), || self.condition(&path, kind))
    }

    /// A condition of what stands at `path`: status and reason.
    pub fn condition(&self, path: &str, kind: &str) -> Option<(String, String)> {
        let object = self.hands.sees(path)?;
        let found = object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)?;
        Some((found["status"].as_str()?.to_owned(), found["reason"].as_str()?.to_owned()))
    }

    /// Starts an autoscaler.
    pub fn autoscaler(&self, name: &str) -> Autoscaler {
        self.autoscaler_of(None, name)
    }

    /// Starts an autoscaler of another build.
    pub fn autoscaler_of(&self, program: Option<&OsStr>, name: &str) -> Autoscaler {
        Autoscaler::start(&self.stage.rig, CLUSTER, name, program, &[("POD_NAME", name)])
    }

    /// What `eksup autoscaler explain` says, and how it ended.
    pub fn explain(&self, name: &str, more: &[&str]) -> (Option<i32>, String) {
        let kubeconfig = self.stage.rig.file("autoscaler.kubeconfig");
        let mut command = self.stage.rig.command(&["autoscaler", "explain", name]);
        let ran = command.args(more).env("KUBECONFIG", kubeconfig).output().expect("eksup runs");
        let said = [ran.stdout, ran.stderr].concat();
        (ran.status.code(), String::from_utf8_lossy(&said).into_owned())
    }
}

/// A pool of the class `default`.
pub fn pool(name: &str) -> Value {
    json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": name },
        "spec": { "template": { "spec": { "requirements": [],
            "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" } } } },
    })
}
