//! The objects of the add-ons, read by the types that Kubernetes publishes.

use super::*;
use crate::render::testing::assert_known;

fn around(tags: &BTreeMap<String, String>) -> Surroundings<'_> {
    Surroundings {
        name: "aws-load-balancer-controller",
        namespace: "kube-system",
        cluster: "shop",
        region: "eu-central-1",
        vpc: "${output:network/vpc#id}",
        role: Some("${output:addons/role/load-balancer-controller#arn}"),
        authority: "bm8gY2VydGlmaWNhdGU=",
        tags,
        has_way_out: true,
    }
}

fn controller(wanted: Value) -> Vec<Value> {
    let wanted: LoadBalancerController = serde_json::from_value(wanted).expect("a controller");
    let tags = BTreeMap::from([("team".to_owned(), "web".to_owned()), ("odd".to_owned(), "a,b".to_owned())]);
    load_balancer_controller(&wanted, &around(&tags))
}

fn server(wanted: Value) -> Vec<Value> {
    metrics_server(&serde_json::from_value(wanted).expect("a metrics-server"))
}

fn find<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let (first, second) = (found.next().expect("an object of the kind"), found.next());
    assert!(second.is_none(), "there are several of kind {kind}");
    first
}

#[test]
fn every_object_has_the_shape_that_kubernetes_publishes_and_no_field_beside_it() {
    let objects: Vec<Value> =
        controller(json!({ "defaultClass": true })).into_iter().chain(server(json!({}))).collect();
    assert_eq!(objects.len(), 25, "{:#?}", objects.iter().map(|one| &one["kind"]).collect::<Vec<_>>());
    objects.iter().for_each(assert_known);
}

#[test]
fn every_object_has_a_name_a_place_and_the_usual_labels() {
    for object in controller(json!({})).iter().chain(&server(json!({}))) {
        let labels = &object["metadata"]["labels"];
        assert!(object["metadata"]["name"].is_string(), "{object:#}");
        for key in ["name", "instance", "version", "component", "managed-by"] {
            assert!(labels[format!("app.kubernetes.io/{key}")].is_string(), "{object:#}");
        }
        let kind = object["kind"].as_str().unwrap_or_default();
        let of_a_namespace =
            ["Deployment", "PodDisruptionBudget", "Role", "RoleBinding", "Service", "ServiceAccount"].contains(&kind);
        assert_eq!(object["metadata"]["namespace"] == "kube-system", of_a_namespace, "{kind}");
    }
}

#[test]
fn controllers_survive_the_loss_of_a_node() {
    for objects in [controller(json!({})), server(json!({}))] {
        let deployment = find(&objects, "Deployment");
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(deployment["spec"]["replicas"], 2);
        assert_eq!(pod["priorityClassName"], "system-cluster-critical");
        assert_eq!(pod["topologySpreadConstraints"].as_array().map(Vec::len), Some(2), "over hosts and zones");
        assert_eq!(pod["tolerations"], json!([{ "key": "CriticalAddonsOnly", "operator": "Exists" }]));
        let budget = find(&objects, "PodDisruptionBudget");
        assert_eq!(budget["spec"]["selector"], deployment["spec"]["selector"]);
        let container = &pod["containers"][0];
        assert!(container["resources"]["requests"]["cpu"].is_string() && container["readinessProbe"].is_object());
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        let labels = deployment["spec"]["template"]["metadata"]["labels"].as_object().expect("labels");
        for (key, value) in deployment["spec"]["selector"]["matchLabels"].as_object().expect("a selector") {
            assert_eq!(labels.get(key), Some(value));
        }
        assert_eq!(find(&objects, "Service")["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"]);
    }
}

#[test]
fn the_load_balancer_controller_never_has_to_ask_the_metadata_service() {
    let objects = controller(json!({}));
    let arguments = find(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    let arguments: Vec<String> = serde_json::from_value(arguments).expect("texts");
    for argument in ["--cluster-name=shop", "--aws-region=eu-central-1", "--aws-vpc-id=${output:network/vpc#id}"] {
        assert!(arguments.iter().any(|one| one == argument), "{arguments:?}");
    }
    assert!(
        arguments.contains(&"--default-tags=team=web".to_owned()),
        "what cannot be said is left out: {arguments:?}"
    );
}

#[test]
fn a_network_without_a_way_out_asks_neither_shield_nor_waf() {
    let tags = BTreeMap::new();
    let inside = Surroundings { has_way_out: false, ..around(&tags) };
    let arguments = |wanted: &LoadBalancerController| arguments(wanted, &inside).join(" ");
    let quiet = arguments(&LoadBalancerController::default());
    for flag in ["--enable-shield=false", "--enable-waf=false", "--enable-wafv2=false"] {
        assert!(quiet.contains(flag), "{quiet}");
    }
    let loud = LoadBalancerController { waf: Some(true), ..LoadBalancerController::default() };
    assert!(arguments(&loud).contains("--enable-wafv2=true"));
}

#[test]
fn every_webhook_leads_to_the_service_and_trusts_its_authority() {
    let objects = controller(json!({}));
    let webhooks = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"].map(|kind| find(&objects, kind));
    let webhooks: Vec<&Value> = webhooks.iter().filter_map(|one| one["webhooks"].as_array()).flatten().collect();
    assert_eq!(webhooks.len(), 7);
    let service = find(&objects, "Service");
    for webhook in webhooks {
        let client = &webhook["clientConfig"];
        assert_eq!(client["caBundle"], "bm8gY2VydGlmaWNhdGU=");
        assert_eq!(client["service"]["name"], service["metadata"]["name"]);
        assert_eq!(client["service"]["port"], service["spec"]["ports"][0]["port"]);
        assert!(client["service"]["path"].as_str().is_some_and(|path| path.starts_with('/')));
    }
}

#[test]
fn versions_images_and_resources_can_be_changed() {
    let wanted = json!({
        "version": "v3.6.1", "image": "registry.example.com/mirror/lbc", "replicas": 3, "defaultTargetType": "instance",
        "resources": { "requests": { "memory": "1Gi" }, "limits": { "cpu": "2" } },
    });
    let objects = controller(wanted);
    let deployment = find(&objects, "Deployment");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example.com/mirror/lbc:v3.6.1");
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(
        container["resources"],
        json!({ "requests": { "cpu": "100m", "memory": "1Gi" }, "limits": { "cpu": "2" } }),
        "a usual limit could be less than what is requested"
    );
    assert_eq!(deployment["metadata"]["labels"]["app.kubernetes.io/version"], "v3.6.1");
    let selector = &deployment["spec"]["selector"]["matchLabels"];
    assert_eq!(selector.as_object().map(Map::len), Some(2), "a selector cannot be changed: {selector}");
    let objects = server(json!({ "resolution": 30 }));
    let arguments = find(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    assert!(arguments.contains("--metric-resolution=30s"), "{arguments}");
    assert!(!arguments.contains("insecure"), "EKS signs what kubelets serve: {arguments}");
}

#[test]
fn with_pod_identity_no_annotation_names_a_role() {
    let tags = BTreeMap::new();
    let objects =
        load_balancer_controller(&LoadBalancerController::default(), &Surroundings { role: None, ..around(&tags) });
    assert!(find(&objects, "ServiceAccount")["metadata"].get("annotations").is_none());
    let annotated = find(&controller(json!({})), "ServiceAccount")["metadata"]["annotations"].clone();
    assert_eq!(
        annotated,
        json!({ "eks.amazonaws.com/role-arn": "${output:addons/role/load-balancer-controller#arn}" })
    );
}

#[test]
fn nothing_may_do_everything_or_read_secrets() {
    for object in controller(json!({})).iter().chain(&server(json!({}))) {
        for rule in object["rules"].as_array().into_iter().flatten() {
            let text = rule.to_string();
            assert!(!text.contains("\"*\"") && !text.contains("\"secrets\""), "{text}");
        }
    }
}

/// All of it, so that a change of a template is seen.
#[test]
fn the_add_ons_are_what_was_reviewed() {
    let text = |objects: Vec<Value>| objects.iter().map(yaml::write).collect::<Vec<_>>().join("---\n");
    insta::assert_snapshot!("load_balancer_controller", text(controller(json!({}))));
    insta::assert_snapshot!("metrics_server", text(server(json!({}))));
}
