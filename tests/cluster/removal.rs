//! A cluster is taken down from the inside out: what has something of AWS behind it goes while somebody takes that away,
//! and goes all the same when nobody does, or when the cluster cannot be looked into.

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use sandbox::{KubernetesWeather, Weather, WhenToKill};
use serde_json::{Value, json};

use crate::killed;
use crate::stage::{Somebody, Stage, until};
use crate::support::{connect, example};

const REGION: &str = "eu-central-1";
const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/app/ingresses";
const BINDINGS: &str = "/apis/elbv2.k8s.aws/v1beta1/namespaces/app/targetgroupbindings";

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: app }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: app }
spec: { selector: { app: web }, ports: [{ name: http, port: 80 }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: app }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: web, image: "registry.example/web:1", ports: [{ containerPort: 80 }] }] }
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  namespace: app
  annotations: { alb.ingress.kubernetes.io/target-type: ip }
spec:
  ingressClassName: alb
  rules:
    - http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: web, port: { name: http } } } }] }
"#;

/// A stack with the load balancer controller and an Ingress, applied.
fn with_an_ingress() -> Stage {
    let addons = "addons: { loadBalancerController: {} }\nworkloads: { manifests: [objects.yaml] }\n";
    let stage = Stage::set(&format!("{}{addons}", example("minimal.yaml")));
    stage.write(MANIFESTS);
    stage.apply();
    stage
}

/// Sees that `earlier` was called before `later` was called for the first time.
fn expect_order(stage: &Stage, earlier: &str, later: &str) {
    let calls: Vec<String> =
        stage.rig.cloud.calls().expect("a log").iter().filter(|call| call.mutating).map(|call| call.name()).collect();
    let first = |name: &str| calls.iter().position(|call| call == name);
    assert!(
        first(earlier).is_some() && first(earlier) < first(later),
        "{earlier} is to come before {later}: {calls:#?}"
    );
}

/// Sees that no subnet was to go while a load balancer still stood in it, which the cloud refuses; one in which none
/// stands may go at any time.
fn expect_no_subnet_too_early(stage: &Stage) {
    let calls = stage.rig.cloud.calls().expect("a log");
    let of_subnets: Vec<_> = calls.iter().filter(|call| call.name() == "ec2:DeleteSubnet").collect();
    assert!(!of_subnets.is_empty() && of_subnets.iter().all(|call| call.succeeded()), "{of_subnets:#?}");
}

/// The names of the load balancers that stand.
fn load_balancers(stage: &Stage) -> Vec<String> {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let cloud = connect(&stage.rig.cloud, REGION).await;
        let shown = cloud.read.elbv2.describe_load_balancers().send().await.expect("an answer");
        shown.load_balancers().iter().filter_map(|one| one.load_balancer_name().map(str::to_owned)).collect()
    })
}

/// How many targets a target group has.
fn targets(stage: &Stage, group: &str) -> usize {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let cloud = connect(&stage.rig.cloud, REGION).await;
        let shown = cloud.read.elbv2.describe_target_health().target_group_arn(group).send().await;
        shown.expect("an answer").target_health_descriptions().len()
    })
}

#[test]
fn what_has_something_of_aws_behind_it_goes_before_the_network_whoever_made_it() {
    let stage = with_an_ingress();
    let somebody = stage.somebody_in("minimal");
    let theirs = Theirs::plant(&stage, &somebody);
    stage.rig.clear_calls();
    let destroyed = stage.rig.eksup(&["destroy", "--yes", stage.path()]).expect(0);
    for named in [
        "held-object/Service/app/balanced",
        "held-object/Ingress.networking.k8s.io/app/theirs",
        "held-object/TargetGroupBinding.elbv2.k8s.aws/app/theirs",
        "nothing is left",
        "Kept on purpose",
    ] {
        assert!(destroyed.stdout.contains(named), "`{named}` is not in\n{}", destroyed.stdout);
    }
    let by_hand = format!("aws ec2 delete-volume --volume-id {}", theirs.disk);
    assert!(destroyed.stdout.contains(&by_hand), "only the cluster knew of that volume: {}", destroyed.stdout);
    expect_no_subnet_too_early(&stage);
    expect_order(&stage, "elbv2:DeleteLoadBalancer", "eks:DeleteNodegroup");
    expect_order(&stage, "elbv2:DeregisterTargets", "eks:DeleteNodegroup");
    theirs.expect_kept_and_remove(&stage);
    stage.rig.expect_nothing_left();
}

/// What somebody else has put beside the stack's things.
struct Theirs {
    /// A target group of their own, to which the cluster's pods belong.
    target_group: String,
    /// A volume that a driver made which was not told the cluster's name.
    disk: String,
}

impl Theirs {
    fn plant(stage: &Stage, somebody: &Somebody) -> Self {
        let target_group = tokio::runtime::Runtime::new().expect("a runtime").block_on(plant_target_group(stage));
        let service = |name: &str, kind: &str| {
            json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
                "spec": { "type": kind, "selector": { "app": "web" }, "ports": [{ "name": "http", "port": 80 }] } })
        };
        somebody.makes("/api/v1/namespaces/app/services", &service("balanced", "LoadBalancer"));
        let backend = json!({ "service": { "name": "web", "port": { "name": "http" } } });
        let by_address = json!({ "alb.ingress.kubernetes.io/target-type": "ip" });
        let ingress = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "name": "theirs", "annotations": by_address },
            "spec": { "ingressClassName": "alb", "rules": [{ "http": { "paths": [
                { "path": "/", "pathType": "Prefix", "backend": backend }] } }] } });
        somebody.makes(INGRESSES, &ingress);
        let binding = json!({ "apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "TargetGroupBinding",
            "metadata": { "name": "theirs" },
            "spec": { "targetGroupARN": target_group, "targetType": "ip", "serviceRef": { "name": "web", "port": 80 } } });
        somebody.makes(BINDINGS, &binding);
        let disk = plant_claim(stage, somebody);
        until("their load balancers and the target", || {
            (load_balancers(stage).len() == 3 && targets(stage, &target_group) == 1).then_some(())
        });
        Self { target_group, disk }
    }

    fn expect_kept_and_remove(&self, stage: &Stage) {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
            let cloud = connect(&stage.rig.cloud, REGION).await;
            cloud.write.ec2.delete_volume().volume_id(&self.disk).send().await.expect("it was kept");
            let sending = cloud.write.elbv2.delete_target_group().target_group_arn(&self.target_group);
            sending.send().await.expect("it is theirs");
        });
    }
}

/// A claim with an EBS volume that a driver has made which was not told the cluster's name; gives the volume's id.
fn plant_claim(stage: &Stage, somebody: &Somebody) -> String {
    let disk = tokio::runtime::Runtime::new().expect("a runtime").block_on(plant_disk(stage));
    somebody.makes("/api/v1/persistentvolumes", &volume(&disk));
    let claim = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data" },
        "spec": { "accessModes": ["ReadWriteOnce"], "volumeName": "pvc-1", "storageClassName": "",
            "resources": { "requests": { "storage": "8Gi" } } } });
    somebody.makes("/api/v1/namespaces/app/persistentvolumeclaims", &claim);
    disk
}

fn volume(disk: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": { "name": "pvc-1", "annotations": { "pv.kubernetes.io/provisioned-by": "ebs.csi.aws.com" } },
        "spec": { "capacity": { "storage": "8Gi" }, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": { "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "app", "name": "data" },
            "csi": { "driver": "ebs.csi.aws.com", "volumeHandle": disk } } })
}

async fn plant_disk(stage: &Stage) -> String {
    let cloud = connect(&stage.rig.cloud, REGION).await;
    let tag = Tag::builder().key("CSIVolumeName").value("pvc-1").build();
    let tags = TagSpecification::builder().resource_type(ResourceType::Volume).tags(tag).build();
    let sending = cloud.write.ec2.create_volume().availability_zone("eu-central-1a").size(8).tag_specifications(tags);
    sending.send().await.expect("a volume").volume_id.expect("an id")
}

async fn plant_target_group(stage: &Stage) -> String {
    use aws_sdk_elasticloadbalancingv2::types::{ProtocolEnum, TargetTypeEnum};
    let cloud = connect(&stage.rig.cloud, REGION).await;
    let vpcs =
        cloud.read.ec2.describe_vpcs().filters(eksup::aws::filter("tag:eksup.dev/stack", "minimal")).send().await;
    let vpc = vpcs.expect("VPCs").vpcs().first().and_then(|vpc| vpc.vpc_id().map(str::to_owned)).expect("a VPC");
    let sending = cloud.write.elbv2.create_target_group().name("theirs").vpc_id(vpc).port(80);
    let made =
        sending.protocol(ProtocolEnum::Http).target_type(TargetTypeEnum::Ip).send().await.expect("a target group");
    made.target_groups().first().and_then(|group| group.target_group_arn()).expect("an ARN").to_owned()
}

/// The requests at which to kill, one run after the other, and whether before or after they are done. The first deletes,
/// the second takes finalizers off: what comes after depends on how far the killed runs have come.
fn kills() -> Vec<(u64, WhenToKill)> {
    let all = [1, 2].into_iter().flat_map(|point| [(point, WhenToKill::Before), (point, WhenToKill::After)]);
    all.skip(if killed::all() { 0 } else { 2 }).collect()
}

/// Its webhooks have to agree to every change of an Ingress, and nobody answers for them. The runs that find that out are
/// killed on the way, too. The claim's volume was asked to go.
#[test]
fn an_ingress_goes_although_its_controller_is_gone_and_the_run_was_killed() {
    let stage = with_an_ingress();
    let somebody = stage.somebody_in("minimal");
    somebody.deletes("/apis/apps/v1/namespaces/kube-system/deployments/aws-load-balancer-controller");
    until("the end of the controller", || {
        let pods =
            "/api/v1/namespaces/kube-system/pods?labelSelector=app.kubernetes.io%2Fname%3Daws-load-balancer-controller";
        somebody.gets(pods)["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    plant_claim(&stage, &somebody);
    stage.rig.clear_calls();
    let arguments = ["destroy", "--yes", "--delete-volumes", "--progress", "json", stage.path()];
    let mut said = String::new();
    for (point, kill_when) in kills() {
        let kubernetes = KubernetesWeather { kill_at: Some(point), kill_when, ..KubernetesWeather::default() };
        stage.rig.weather(&Weather { kubernetes, ..Weather::default() });
        let killed = stage.rig.eksup(&arguments);
        assert_eq!(killed.code, None, "{}\n{}", killed.stdout, killed.stderr);
        said.push_str(&killed.stdout);
    }
    stage.rig.weather(&Weather::default());
    said.push_str(&stage.rig.eksup(&arguments).expect(0).stdout);
    stage.rig.expect_nothing_left();
    for words in [
        "no AWS Load Balancer Controller runs any more: its load balancer",
        "is taken away in its stead",
        "the webhook `vingress.elbv2.k8s.aws` of a controller that is gone had to agree: it was deleted",
        "its finalizers were taken off",
    ] {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
    expect_no_subnet_too_early(&stage);
    expect_order(&stage, "elbv2:DeleteLoadBalancer", "eks:DeleteNodegroup");
}

#[test]
fn a_cluster_that_cannot_be_reached_does_not_stop_a_destroy() {
    let stage = with_an_ingress();
    assert_eq!(load_balancers(&stage).len(), 1);
    stage.rig.clear_calls();
    let unreachable = KubernetesWeather { unreachable: true, ..KubernetesWeather::default() };
    stage.rig.weather(&Weather { kubernetes: unreachable, ..Weather::default() });
    let destroyed = stage.rig.eksup(&["destroy", "--yes", stage.path()]).expect(0);
    assert!(destroyed.stdout.contains("nothing is left"), "{}", destroyed.stdout);
    assert_eq!(
        destroyed.stderr.matches("the cluster cannot be looked into").count(),
        1,
        "it is said once:\n{}",
        destroyed.stderr
    );
    assert!(destroyed.stderr.contains("cannot be reached from here"), "{}", destroyed.stderr);
    stage.rig.expect_nothing_left();
    // As long as its nodes run, the controller makes again what is taken from it.
    expect_order(&stage, "eks:DeleteNodegroup", "elbv2:DeleteLoadBalancer");
    expect_no_subnet_too_early(&stage);
}
