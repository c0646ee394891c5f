//! Any sequence of changes gives the same as building from nothing what is there in the end.

use super::super::*;
use super::observed;
use crate::state::instance_types::Catalogue;
use proptest::prelude::*;
use serde_json::{Value, json};

#[derive(Clone, Debug)]
enum Step {
    Apply(usize, u8),
    Remove(usize),
    Relist(Kind),
    Sweep,
}

/// The kinds of the objects that there can be, some of each.
const KINDS: [Kind; 25] = [
    Kind::Pod,
    Kind::Pod,
    Kind::Pod,
    Kind::Pod,
    Kind::Pod,
    Kind::Pod,
    Kind::Pod,
    Kind::Pod,
    Kind::Node,
    Kind::Node,
    Kind::Node,
    Kind::Claim,
    Kind::Claim,
    Kind::Claim,
    Kind::Pool,
    Kind::Class,
    Kind::Daemon,
    Kind::Budget,
    Kind::Namespace,
    Kind::Volume,
    Kind::VolumeClaim,
    Kind::StorageClass,
    Kind::CsiNode,
    Kind::Attachment,
    Kind::Replicas,
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..KINDS.len(), any::<u8>()).prop_map(|(at, version)| Step::Apply(at, version)),
        3 => (0..KINDS.len()).prop_map(Step::Remove),
        1 => (0..KINDS.len()).prop_map(|at| Step::Relist(KINDS[at])),
        1 => Just(Step::Sweep),
    ]
}

fn key(at: usize) -> String {
    match KINDS[at] {
        Kind::Pod | Kind::Daemon | Kind::Budget | Kind::VolumeClaim | Kind::Replicas => format!("shop/o{at}"),
        Kind::Namespace => "shop".to_owned(),
        Kind::CsiNode => "o8".to_owned(),
        _ => format!("o{at}"),
    }
}

/// An object in one of its versions.
fn object(at: usize, version: u8) -> Value {
    let (one, two, three) = (version & 1 == 1, version & 2 == 2, version & 4 == 4);
    let name = key(at).split('/').next_back().unwrap_or_default().to_owned();
    let namespaced = json!({ "name": name, "namespace": "shop", "uid": format!("u{at}"), "labels": { "app": format!("a{}", version % 3) } });
    let plain = json!({ "name": name, "uid": format!("u{at}"), "labels": { "karpenter.sh/nodepool": "o14", "v": format!("{version}") } });
    match KINDS[at] {
        Kind::Pod => {
            let mut pod = json!({ "kind": "Pod", "metadata": namespaced, "spec": { "containers": [{ "name": "main",
                "resources": { "requests": { "cpu": if three { "1" } else { "250m" } } } }] } });
            if one {
                pod["spec"]["nodeName"] = format!("o{}", 8 + version as usize / 8 % 3).into();
            }
            if two {
                pod["spec"]["volumes"] = json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "o20" } }]);
            }
            if version & 128 == 128 {
                pod["status"] = json!({ "phase": "Succeeded" });
            }
            if version & 64 == 64 {
                pod["spec"]["affinity"] = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
                    "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "a1" } },
                    "namespaceSelector": { "matchLabels": { "team": "a" } } }] } });
            }
            pod
        }
        Kind::Node => {
            json!({ "kind": "Node", "metadata": plain, "spec": { "providerID": if one { format!("aws:///a/i-{}", at % 3) } else { String::new() } },
            "status": { "capacity": { "cpu": if two { "many" } else { "4" } } } })
        }
        Kind::Claim => {
            json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": plain, "spec": { "requirements": [],
                "nodeClassRef": { "group": "g", "kind": "k", "name": "o15" } },
            "status": { "providerID": if one { format!("aws:///a/i-{}", at % 3) } else { String::new() } } })
        }
        Kind::Pool => {
            json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": plain, "spec": { "weight": version % 50 + 1,
            "template": { "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "o15" } } } } })
        }
        Kind::Class => json!({ "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": plain,
            "spec": { "subnetSelectorTerms": [], "securityGroupSelectorTerms": [], "amiSelectorTerms": [], "role": "r" },
            "status": { "conditions": [{ "type": "Ready", "status": if one { "True" } else { "False" }, "reason": "r", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z" }] } }),
        Kind::Daemon => {
            json!({ "kind": "DaemonSet", "metadata": namespaced, "spec": { "selector": {}, "template": { "spec": {
            "containers": [{ "name": "main", "resources": { "requests": { "cpu": format!("{version}m") } } }] } } } })
        }
        Kind::Budget => json!({ "kind": "PodDisruptionBudget", "metadata": namespaced,
            "spec": { "selector": { "matchLabels": { "app": format!("a{}", version % 3) } } } }),
        Kind::Namespace => {
            json!({ "kind": "Namespace", "metadata": { "name": "shop", "labels": { "team": if one { "a" } else { "b" } } } })
        }
        Kind::Volume => {
            json!({ "kind": "PersistentVolume", "metadata": plain, "spec": { "csi": { "driver": "ebs", "volumeHandle": "v" },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [
                { "key": "topology.kubernetes.io/zone", "operator": "In", "values": [format!("z{version}")] }] }] } } } })
        }
        Kind::VolumeClaim => json!({ "kind": "PersistentVolumeClaim", "metadata": namespaced, "spec": if one {
            json!({ "volumeName": "o19" }) } else { json!({ "storageClassName": "o21" }) } }),
        Kind::StorageClass => json!({ "kind": "StorageClass", "metadata": plain, "provisioner": "ebs",
            "volumeBindingMode": if one { "WaitForFirstConsumer" } else { "Immediate" } }),
        Kind::CsiNode => json!({ "kind": "CSINode", "metadata": { "name": "o8" }, "spec": { "drivers": [
            { "name": "ebs", "nodeID": "n", "allocatable": { "count": version } }] } }),
        Kind::Replicas => {
            json!({ "kind": "ReplicaSet", "metadata": namespaced, "spec": { "replicas": version % 3, "selector": {},
            "template": { "spec": { "containers": [{ "name": "main", "resources": { "requests": { "cpu": format!("{version}m") } } }] } } } })
        }
        Kind::Attachment => json!({ "kind": "VolumeAttachment", "metadata": plain, "spec": { "attacher": "ebs",
            "nodeName": format!("o{}", 8 + version % 3), "source": { "persistentVolumeName": "o19" } } }),
    }
}

/// Everything that can be asked, in words: symbols differ from state to state.
fn told(live: &mut Live) -> Vec<String> {
    let snapshot = live.snapshot(&Catalogue::default(), Timestamp::UNIX_EPOCH);
    let cluster = &snapshot.cluster;
    let words = |labels: &Labels| {
        let mut words: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{}={}", cluster.names.text(*key), cluster.names.text(*value)))
            .collect();
        words.sort();
        words.join(",")
    };
    let amounts = |amounts: &Amounts| {
        let mut words: Vec<String> =
            amounts.iter().map(|(id, amount)| format!("{}={amount}", cluster.names.resources.name(id))).collect();
        words.sort();
        words.join(",")
    };
    let symbols = |spec: &PodSpec| {
        let mut texts = Vec::new();
        spec.symbols(&mut |symbol| texts.push(cluster.names.text(symbol).to_owned()));
        texts.sort();
        texts.join(",")
    };
    let mut told = Vec::new();
    for (pod, uid) in cluster.pods.iter().zip(&snapshot.pods) {
        let spec = cluster.spec(pod.spec);
        let node = pod.node.map(|node| cluster.nodes[node as usize].name.to_string());
        let words = words(cluster.label_set(pod.labels));
        told.push(format!("pod {uid} {} {node:?} {words} {} {}", pod.name, amounts(&spec.requests), symbols(spec)));
    }
    told.extend(cluster.unreadable.iter().map(|pod| format!("unreadable {} {}", pod.pod, pod.reason)));
    for (node, member) in cluster.nodes.iter().zip(&snapshot.members) {
        told.push(format!("node {} {} {} {member:?}", node.name, words(&node.labels), amounts(&node.allocatable)));
    }
    told.extend(cluster.pools.iter().map(|pool| format!("pool {} {}", cluster.names.text(pool.name), pool.weight)));
    told.extend(
        cluster
            .daemons
            .iter()
            .map(|daemon| format!("daemon {} {}", daemon.name, amounts(&cluster.spec(daemon.spec).requests))),
    );
    for pod in live.pods() {
        let budgets: Vec<&str> = live.budgets_of(pod).map(|budget| &*budget.name).collect();
        told.push(format!("budgets {} {budgets:?} {:?}", pod.name, live.volumes_of(pod)));
    }
    for at in 0..4 {
        let id = format!("aws:///a/i-{at}");
        let (node, claim) =
            (live.node_of_provider(&id).map(|node| &node.name), live.claim_of_provider(&id).map(|claim| &claim.name));
        told.push(format!("provider {id} {} {}", node.is_some(), claim.is_some()));
    }
    for at in 8..11 {
        let name = format!("o{at}");
        let mut pods: Vec<&str> = live.pods_on(&name).map(LivePod::own_name).collect();
        pods.sort_unstable();
        told.push(format!("on {name} {pods:?} {}", live.attachments(&name).count()));
    }
    told.extend(live.quarantined().map(|(kind, name, why)| format!("quarantine {kind:?} {name} {why}")));
    told.sort();
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_of_changes_gives_what_is_there_in_the_end(steps in prop::collection::vec(step(), 0..80)) {
        let (mut live, mut there) = (Live::default(), BTreeMap::<usize, u8>::new());
        let now = Timestamp::UNIX_EPOCH;
        for step in steps {
            match step {
                Step::Apply(at, version) => {
                    live.apply(observed(&object(at, version)), now);
                    there.insert(at, version);
                }
                Step::Remove(at) => {
                    live.remove(KINDS[at], &key(at), now);
                    there.remove(&at);
                }
                Step::Relist(kind) => {
                    live.begin(kind);
                    for (at, version) in there.iter().filter(|(at, _)| KINDS[**at] == kind) {
                        live.apply(observed(&object(*at, *version)), now);
                    }
                    live.finish(kind, now);
                }
                Step::Sweep => live.sweep(),
            }
        }
        let mut fresh = Live::default();
        for (at, version) in &there {
            fresh.apply(observed(&object(*at, *version)), now);
        }
        prop_assert_eq!(told(&mut live), told(&mut fresh));
    }
}
