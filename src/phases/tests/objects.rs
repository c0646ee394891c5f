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

fn scaled(mode: &str, engine: &str) -> Stack {
    stack(json!({
        "network": {},
        "cluster": {
            "version": "1.35",
            "nodeGroups": [{ "name": "system", "instanceTypes": ["t3.medium"], "max": 3 }],
        },
        "identity": { "mode": mode },
        "interruption": {},
        "autoscaler": {
            "engine": engine,
            "nodePools": [{ "name": "web", "spec": { "limits": { "cpu": 10 }, "template": { "spec": {
                "requirements": [], "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
            } } } }],
            "nodeClasses": [
                { "name": "default", "spec": { "amiSelectorTerms": [{ "alias": "al2023@latest" }] } },
                { "name": "other", "spec": { "role": "mine" } },
            ],
        },
    }))
}

const AUTOSCALER: &str = "autoscaler/deployment/kube-system/eksup-autoscaler";

#[test]
fn the_autoscaler_comes_after_its_kinds_and_before_the_pools_that_it_looks_after() {
    let declared = all(&scaled("podIdentity", "eksup"));
    let after = |address: &str| declared[address].after.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    for needed in [
        "autoscaler/customresourcedefinition/nodepools.karpenter.sh",
        "autoscaler/customresourcedefinition/nodeclaims.karpenter.sh",
        "autoscaler/customresourcedefinition/ec2nodeclasses.karpenter.k8s.aws",
        "autoscaler/pod-identity/autoscaler",
        "autoscaler/clusterrolebinding/eksup-autoscaler",
        "autoscaler/serviceaccount/kube-system/eksup-autoscaler",
    ] {
        assert!(after(AUTOSCALER).contains(needed), "{needed} is not among {:?}", after(AUTOSCALER));
    }
    let class = "autoscaler/ec2nodeclass.karpenter.k8s.aws/default";
    let pool = after("autoscaler/nodepool.karpenter.sh/web");
    assert!(pool.contains(AUTOSCALER) && pool.contains(class), "{pool:?}");
    let class = after(class);
    assert!(class.contains(AUTOSCALER) && class.contains("autoscaler/discovery/security-group"), "{class:?}");
    assert!(after("autoscaler/ec2nodeclass.karpenter.k8s.aws/other").contains("autoscaler/access-entry/mine"));
}

#[test]
fn the_autoscaler_is_told_what_the_rest_of_the_stack_says() {
    let declared = all(&scaled("irsa", "eksup"));
    let manifest = |address: &str| declared[address].body["manifest"].clone();
    let variables = manifest(AUTOSCALER)["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    let value = |name: &str| {
        variables.as_array().and_then(|all| all.iter().find(|one| one["name"] == name)).map(|one| one["value"].clone())
    };
    assert_eq!(value("CLUSTER_NAME"), Some(json!("shop")));
    assert_eq!(value("CLUSTER_ENDPOINT"), Some(json!("${output:cluster/cluster#endpoint}")));
    assert_eq!(value("INTERRUPTION_QUEUE"), Some(json!("${output:interruption/queue#name}")));
    let account = manifest("autoscaler/serviceaccount/kube-system/eksup-autoscaler");
    assert_eq!(
        account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"],
        "${output:autoscaler/role/autoscaler#arn}"
    );
    let class = manifest("autoscaler/ec2nodeclass.karpenter.k8s.aws/default");
    assert_eq!(class["spec"]["role"], "${output:nodes/role/nodes#name}");
    assert_eq!(class["spec"]["tags"], json!({ "team": "web" }));
    assert_eq!(manifest("autoscaler/ec2nodeclass.karpenter.k8s.aws/other")["spec"]["role"], "mine");
    assert_eq!(impossible(&scaled("irsa", "eksup"), &surroundings()), None);
}

#[test]
fn another_engine_gets_its_side_of_aws_and_no_object() {
    let declared = all(&scaled("irsa", "karpenter"));
    assert!(declared.contains_key("autoscaler/role/autoscaler"));
    assert!(!declared.values().any(|one| one.kind == "object"), "{:?}", declared.keys());
}

#[test]
fn a_monitor_is_declared_where_the_cluster_or_the_stack_itself_knows_the_kind() {
    let monitor = "autoscaler/servicemonitor.monitoring.coreos.com/kube-system/eksup-autoscaler";
    let mut stack = scaled("irsa", "eksup");
    let declares = |stack: &Stack, monitors: bool| {
        let around = Surroundings { monitors, ..surroundings() };
        resources(stack, &around).iter().any(|one| one.address.as_str() == monitor)
    };
    assert!(!declares(&stack, false) && declares(&stack, true));
    let definition = json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                             "metadata": { "name": "servicemonitors.monitoring.coreos.com" } });
    let manifest = Manifest { item: 0, file: "crds.yaml".into(), line: 1, object: definition };
    stack.workloads = Some(spec::Workloads { objects: Some(vec![manifest]), ..Default::default() });
    assert!(declares(&stack, false));
}

#[test]
fn a_destroy_takes_workloads_then_pools_while_the_autoscaler_runs() {
    let mut stack = scaled("irsa", "eksup");
    stack.workloads = Some(spec::Workloads {
        objects: Some(vec![deployment("backend", ""), deployment("batch", "")]),
        ..Default::default()
    });
    let declared = all(&stack);
    let changes = tear_down(&standing(&declared), &Kinds).expect("nothing is protected");
    let graph = Graph::of(&changes, &Kinds).expect("no circle");
    let at = |address: &str| {
        let is = |operation: &crate::plan::Operation| changes[operation.change].address.as_str() == address;
        graph.operations.iter().position(is).unwrap_or_else(|| panic!("no operation for {address}"))
    };
    let before = |earlier: &str, later: &str| {
        let (mut open, mut seen) = (vec![at(later)], BTreeSet::new());
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(&graph.operations[next].needs);
            }
        }
        seen.contains(&at(earlier))
    };
    let pool = "autoscaler/nodepool.karpenter.sh/web";
    assert!(before("workloads/deployment/shop/backend", pool));
    assert!(before(pool, "autoscaler/ec2nodeclass.karpenter.k8s.aws/default"));
    for later in
        ["nodes/group/system", "cluster/cluster", "autoscaler/role/autoscaler", "interruption/queue", AUTOSCALER]
    {
        assert!(before(pool, later), "{later} has to stay until the pool is gone");
    }
    assert_eq!(graph.operations[at(AUTOSCALER)].kind, OperationKind::GoesAlong);
    assert_eq!(graph.operations[at("workloads/deployment/shop/backend")].kind, OperationKind::Remove);
}
