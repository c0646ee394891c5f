//! What the phases declare inside the cluster.

use super::*;
use crate::phases::{impossible, resources};
use crate::render::testing::assert_known;
use crate::spec::{self, Manifest};

fn shop(mode: &str) -> Stack {
    let mut stack = stack(json!({
        "network": {},
        "database": { "engine": "mariadb", "version": "10.11" },
        "cluster": {
            "version": "1.35",
            "nodeGroups": [{ "name": "system", "instanceTypes": ["t3.medium"], "max": 3 }],
        },
        "identity": {
            "mode": mode,
            "serviceAccounts": [{ "namespace": "shop", "name": "backend",
                                  "managedPolicies": ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"] }],
        },
        "addons": { "loadBalancerController": {}, "metricsServer": {} },
        "workloads": {
            "autoscaling": [{ "target": "deployment/backend", "namespace": "shop", "max": 9, "cpu": 50 }],
        },
    }));
    if let Some(workloads) = &mut stack.workloads {
        workloads.objects =
            Some(vec![deployment("backend", "${output:database/instance#endpoint}"), deployment("batch", "")]);
    }
    stack
}

fn deployment(name: &str, host: &str) -> Manifest {
    let container = json!({ "name": "main", "image": "registry.example.com/main:1",
                            "env": [{ "name": "HOST", "value": host }],
                            "resources": { "requests": { "cpu": "100m" } } });
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": { "replicas": 3, "template": { "spec": { "serviceAccountName": name, "containers": [container] } } },
    });
    Manifest { item: 0, file: format!("k8s/{name}.yaml"), line: 7, object }
}

fn all(stack: &Stack) -> BTreeMap<String, Desired> {
    resources(stack, &surroundings()).into_iter().map(|one| (one.address.to_string(), one)).collect()
}

const CONTROLLER: &str = "addons/load-balancer-controller";

#[test]
fn an_object_names_its_cluster_and_comes_after_what_its_pods_run_on() {
    let declared = all(&shop("irsa"));
    let objects: Vec<&Desired> = declared.values().filter(|one| one.kind == "object").collect();
    assert_eq!(objects.len(), 16 + 9 + 3);
    for object in objects {
        let cluster = &object.body["cluster"];
        assert_eq!(cluster["name"], "${output:cluster/cluster#name}");
        assert_eq!(cluster["endpoint"], "${output:cluster/cluster#endpoint}");
        assert_eq!(cluster["certificateAuthority"], "${output:cluster/cluster#certificateAuthority}");
        assert_eq!(cluster["region"], "eu-central-1");
        for earlier in ["nodes/group/system", "nodes/addon/coredns", "nodes/addon/vpc-cni"] {
            assert!(object.after.contains(&earlier.into()), "{}: {:?}", object.address, object.after);
        }
        assert!(object.tags.is_empty(), "an object has labels and no tags");
    }
}

#[test]
fn every_output_that_an_object_wants_is_one_that_a_resource_has() {
    for mode in ["irsa", "podIdentity"] {
        let declared = all(&shop(mode));
        let objects = declared.values().filter(|one| one.kind == "object");
        for placeholder in objects.flat_map(|object| placeholders(&object.body)) {
            let target = &declared[placeholder.address.as_str()];
            let of_a_kind = Kinds::get(&target.kind).map(|kind| kind.facts().outputs).unwrap_or_default();
            let of_certificate = target.kind == "webhook-certificate" && placeholder.output == "caBundle";
            assert!(of_certificate || of_a_kind.contains(&placeholder.output.as_str()), "{placeholder:?}");
        }
    }
}

#[test]
fn the_controllers_pods_get_their_role_by_annotation_or_association() {
    let account = format!("{CONTROLLER}/serviceaccount/kube-system/aws-load-balancer-controller");
    let pods = format!("{CONTROLLER}/deployment/kube-system/aws-load-balancer-controller");
    let by_annotation = all(&shop("irsa"));
    assert_eq!(
        by_annotation[&account].body["manifest"]["metadata"]["annotations"]["eks.amazonaws.com/role-arn"],
        "${output:addons/role/load-balancer-controller#arn}"
    );
    let by_association = all(&shop("podIdentity"));
    assert!(by_association[&account].body["manifest"]["metadata"].get("annotations").is_none());
    assert!(by_association[&pods].after.contains(&"addons/pod-identity/load-balancer-controller".into()));
}

#[test]
fn webhooks_trust_the_certificate_that_their_pods_serve_and_no_plan_holds_its_key() {
    let declared = all(&shop("irsa"));
    let secret = format!("{CONTROLLER}/secret/kube-system/aws-load-balancer-tls");
    let pods = &declared[&format!("{CONTROLLER}/deployment/kube-system/aws-load-balancer-controller")];
    assert!(pods.after.contains(&secret.as_str().into()), "pods wait for the Secret that they mount");
    for kind in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
        let configuration = &declared[&format!("{CONTROLLER}/{kind}/aws-load-balancer-webhook")];
        let bundle = &configuration.body["manifest"]["webhooks"][0]["clientConfig"]["caBundle"];
        assert_eq!(*bundle, format!("${{output:{secret}#caBundle}}"));
    }
    let body = &declared[&secret].body;
    assert_eq!((&body["state"], &body["name"]), (&json!("good"), &json!("aws-load-balancer-tls")));
    assert!(
        body["names"]
            .as_array()
            .is_some_and(|names| names.contains(&json!("aws-load-balancer-webhook-service.kube-system.svc")))
    );
    assert!(!serde_json::to_string(&declared).expect("JSON").contains("PRIVATE KEY"));
}

#[test]
fn replicas_belong_to_the_autoscaler_where_there_is_one() {
    let declared = all(&shop("irsa"));
    let spec = |name: &str| declared[&format!("workloads/deployment/shop/{name}")].body["manifest"]["spec"].clone();
    assert!(spec("backend").get("replicas").is_none(), "it would undo what the autoscaler does");
    assert_eq!(spec("batch")["replicas"], 3);
    let scaler = &declared["workloads/horizontalpodautoscaler/shop/backend"].body["manifest"];
    assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], "backend");
}

#[test]
fn pods_wait_for_the_association_that_gives_them_their_role() {
    let association = "identity/pod-identity/shop/backend".into();
    let declared = all(&shop("podIdentity"));
    assert!(declared["workloads/deployment/shop/backend"].after.contains(&association));
    assert!(!declared["workloads/deployment/shop/batch"].after.contains(&association));
    assert!(!all(&shop("irsa"))["workloads/deployment/shop/backend"].after.contains(&association));
}

#[test]
fn a_manifest_that_refers_to_nothing_is_said_before_anything_is_made() {
    let with = |host: &str| {
        let mut stack = shop("irsa");
        if let Some(workloads) = &mut stack.workloads {
            workloads.objects = Some(vec![deployment("backend", host)]);
        }
        impossible(&stack, &surroundings())
    };
    assert_eq!(with("${output:database/instance#endpoint}"), None);
    let output = with("${output:database/instance#host}").expect("a complaint");
    assert!(output.contains("`k8s/backend.yaml:7`") && output.contains("`endpoint`"), "{output}");
    let address = with("${output:database/instanze#endpoint}").expect("a complaint");
    assert!(address.contains("`database/instanze`") && address.contains("such as `database/instance`"), "{address}");
}

#[test]
fn the_shop_carries_its_app_whole() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks/shop.yaml");
    let stack = spec::read(&file).expect("the example").stack;
    let around = Surroundings::offline(&stack);
    assert_eq!(impossible(&stack, &around), None);
    let declared = resources(&stack, &around);
    let manifests: Vec<&Value> =
        declared.iter().filter(|one| one.address.phase() == "workloads").map(|one| &one.body["manifest"]).collect();
    manifests.iter().for_each(|manifest| assert_known(manifest));
    let of = |kind: &str| manifests.iter().filter(|manifest| manifest["kind"] == kind).count();
    for (kind, count) in
        [("Namespace", 1), ("Deployment", 2), ("Service", 2), ("Ingress", 1), ("HorizontalPodAutoscaler", 2)]
    {
        assert_eq!(of(kind), count, "{kind}");
    }
    let text = manifests.iter().map(ToString::to_string).collect::<String>();
    assert!(text.contains("${output:database/instance#endpoint}"), "{text}");
    assert!(
        text.contains("${output:database/instance#secretArn}") && !text.to_lowercase().contains("password"),
        "{text}"
    );
}
