//! What people do to a stack after the first day: upgrade it, tag it, take parts away, share a network.

mod support;

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use eksup::aws::Cloud;
use support::{Rig, connect, example, text};

const REGION: &str = "eu-central-1";

#[test]
fn a_cluster_goes_up_one_minor_at_a_time() {
    let rig = Rig::start();
    let at = |version: &str| example("minimal.yaml").replace("\"1.35\"", &format!("\"{version}\""));
    let stack = rig.stack(&at("1.34"));
    rig.apply(&stack);
    rig.stack(&at("1.36"));
    let plan = rig.eksup(&["plan", text(&stack)]).expect(0);
    for round in ["Kubernetes 1.35", "Kubernetes 1.36"] {
        assert!(plan.stdout.contains(round), "{}", plan.stdout);
    }
    rig.clear_calls();
    rig.apply(&stack);
    let mut updates: Vec<String> = rig.mutations().into_iter().filter(|call| call.starts_with("eks:Update")).collect();
    updates.dedup();
    let once = ["eks:UpdateClusterVersion", "eks:UpdateAddon", "eks:UpdateNodegroupVersion"];
    assert_eq!(updates, [once, once].concat(), "control plane, then add-ons, then nodes, and again");
    rig.expect_empty_plan(&stack);
    rig.stack(&at("1.35"));
    let refused = rig.eksup(&["plan", text(&stack)]).expect(1);
    assert!(refused.stderr.contains("cluster/cluster"), "{}", refused.stderr);
    rig.stack(&at("1.36"));
    rig.destroy(&stack);
}

#[test]
fn a_tag_comes_and_goes_with_the_file_and_a_strangers_tag_stays() {
    let rig = Rig::start();
    let with = |tags: &str| {
        example("minimal.yaml")
            .replace("  region: eu-central-1\n", &format!("  region: eu-central-1\n  tags: {tags}\n"))
    };
    let stack = rig.stack(&with("{ team: web, cost: \"7\" }"));
    rig.apply(&stack);
    rig.stack(&with("{ team: shop }"));
    let plan = rig.eksup(&["plan", text(&stack)]).expect(0);
    assert!(plan.stdout.contains("0 to create") && plan.stdout.contains("0 to replace"), "{}", plan.stdout);
    rig.apply(&stack);
    rig.expect_empty_plan(&stack);
    rig.destroy(&stack);
}

#[test]
fn a_section_that_is_taken_out_of_the_file_is_taken_down() {
    let rig = Rig::start();
    let whole = example("shop.yaml");
    let stack = rig.stack(&whole);
    rig.apply(&stack);
    let bastion = whole.find("bastion:").expect("a bastion");
    let cluster = whole.find("cluster:\n").expect("a cluster");
    let identity = whole.find("identity:\n").expect("identities");
    let interruption = whole.find("interruption:\n").expect("an interruption queue");
    rig.stack(&format!("{}{}", &whole[..bastion], &whole[cluster..]));
    let refused = rig.eksup(&["plan", text(&stack)]).expect(1);
    for word in ["identity/role/shop/backend", "database/instance"] {
        assert!(refused.stderr.contains(word), "what refers to it is named: {}", refused.stderr);
    }
    rig.stack(&format!("{}{}{}", &whole[..bastion], &whole[cluster..identity], &whole[interruption..]));
    let plan = rig.eksup(&["plan", text(&stack)]).expect(0);
    assert!(plan.stdout.contains("! data loss: everything in the database"), "{}", plan.stdout);
    rig.apply(&stack);
    rig.expect_empty_plan(&stack);
    let standing = rig.inventory();
    assert!(!standing.keys().any(|kind| kind.contains("/rds/")), "{standing:?}");
    rig.destroy(&stack);
}

#[test]
fn a_network_is_not_made_anew_under_a_cluster_and_a_database() {
    let rig = Rig::start();
    let whole = example("shop.yaml");
    let stack = rig.stack(&whole);
    rig.apply(&stack);
    rig.stack(&whole.replace("10.0.", "10.9."));
    let refused = rig.eksup(&["plan", text(&stack)]).expect(1);
    for word in ["network/vpc", "cluster/cluster", "database/instance", "10.0.0.0/16"] {
        assert!(refused.stderr.contains(word), "{}", refused.stderr);
    }
    rig.stack(&whole);
    let destroyed = rig.eksup(&["destroy", "--yes", "--progress", "json", text(&stack)]).expect(0);
    let lines: Vec<serde_json::Value> =
        destroyed.stdout.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect();
    let last = lines.last().expect("a line");
    assert_eq!((&last["event"], &last["left"]), (&"swept".into(), &serde_json::json!([])), "{last}");
}

#[test]
fn a_database_of_another_engine_takes_the_place_of_the_old_one() {
    let rig = Rig::start();
    let whole = example("shop.yaml");
    let stack = rig.stack(&whole);
    rig.apply(&stack);
    let other = whole
        .replace("engine: mariadb", "engine: postgres")
        .replace("version: \"10.11\"", "version: \"16\"")
        .replace("username: admin", "username: owner");
    rig.stack(&other);
    let plan = rig.eksup(&["plan", text(&stack)]).expect(0);
    assert!(plan.stdout.contains("! data loss: everything in the database"), "{}", plan.stdout);
    rig.apply(&stack);
    rig.expect_empty_plan(&stack);
    rig.destroy(&stack);
}

/// The other half of the choices: what `shop.yaml` does not use.
#[test]
fn the_other_choices_live_too() {
    let rig = Rig::start();
    let stack = rig.stack(
        r#"
apiVersion: eksup.dev/v1
kind: Stack
metadata: { name: other, region: eu-central-1 }
network:
  cidr: 10.8.0.0/16
  zones: 3
  nat: perZone
  endpoints: [s3, ecr.api, ecr.dkr, sts]
  networkAcls:
    public:
      ingress:
        - { ruleNumber: 100, protocol: tcp, ports: 443, cidr: 0.0.0.0/0, action: allow }
        - { ruleNumber: 110, protocol: tcp, ports: 1024-65535, cidr: 0.0.0.0/0, action: allow }
bastion: { access: ssh, keyName: people, allowFrom: [203.0.113.0/24], tools: [postgresql, helm] }
database: { engine: postgres, version: "16", instanceClass: db.t4g.small, storage: 20Gi, maxStorage: 100Gi, multiAz: true, deletionProtection: false, finalSnapshot: false }
cluster:
  version: "1.34"
  endpoint: { public: true, publicCidrs: [203.0.113.0/24], private: true }
  upgradePolicy: extended
  access:
    - { principal: "arn:aws:iam::123456789012:role/admins", policy: clusterAdmin }
    - { principal: "arn:aws:iam::123456789012:role/team-a", policy: edit, namespaces: [team-a] }
  addons:
    - vpc-cni
    - kube-proxy
    - { name: coredns, configuration: { replicaCount: 3 } }
    - eks-pod-identity-agent
    - aws-ebs-csi-driver
  nodeGroups:
    - { name: system, instanceTypes: [m7g.large], min: 2, max: 4, labels: { role: system } }
    - { name: batch, instanceTypes: [m6i.large, m6a.large], capacity: spot, min: 0, max: 5, taints: [{ key: batch, value: "yes", effect: NoSchedule }], diskSize: 50Gi }
identity:
  mode: podIdentity
  serviceAccounts:
    - { namespace: default, name: reader, managedPolicies: ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"] }
interruption: { engine: cloudformation }
"#,
    );
    let people = run(async { people(&connect(&rig.cloud, REGION).await).await });
    let before = rig.counts();
    rig.apply(&stack);
    rig.expect_empty_plan(&stack);
    rig.eksup(&["destroy", "--yes", text(&stack)]).expect(0);
    assert_eq!(rig.counts(), before, "what was there before {people:?} is what is there after");
}

/// The key pair and the roles of the people that the stack lets in.
async fn people(cloud: &Cloud) -> [&'static str; 2] {
    cloud.write.ec2.create_key_pair().key_name("people").send().await.expect("a key pair");
    let roles = ["admins", "team-a"];
    for role in roles {
        let trust = r#"{"Version":"2012-10-17","Statement":[]}"#;
        let sending = cloud.write.iam.create_role().role_name(role).assume_role_policy_document(trust);
        sending.send().await.expect("a role");
    }
    roles
}

#[test]
fn a_role_name_that_is_taken_is_said_before_anything_is_made() {
    let rig = Rig::start();
    let stack = rig.stack(&example("minimal.yaml"));
    run(async {
        let cloud = connect(&rig.cloud, REGION).await;
        let trust = r#"{"Version":"2012-10-17","Statement":[]}"#;
        let sending = cloud.write.iam.create_role().role_name("minimal-eu-central-1-cluster");
        sending.assume_role_policy_document(trust).send().await.expect("a role of somebody else");
    });
    let before = rig.inventory();
    let ran = rig.eksup(&["apply", "--yes", text(&stack)]).expect(1);
    assert!(ran.stderr.contains("minimal-eu-central-1-cluster"), "{}", ran.stderr);
    assert_eq!(rig.inventory(), before, "nothing is made");
}

#[test]
fn a_network_of_others_is_tagged_and_left_standing() {
    let rig = Rig::start();
    let (vpc, subnets) = run(async { network_of_others(&connect(&rig.cloud, REGION).await).await });
    let before = rig.counts();
    let stack = rig.stack(&format!(
        "
apiVersion: eksup.dev/v1
kind: Stack
metadata: {{ name: guest, region: eu-central-1 }}
network:
  existing:
    vpcId: {vpc}
    publicSubnetIds: [{}]
    privateSubnetIds: [{}]
cluster:
  version: \"1.35\"
  nodeGroups:
    - {{ name: system, instanceTypes: [t3.medium], min: 2, max: 3 }}
",
        subnets[..2].join(", "),
        subnets[2..].join(", ")
    ));
    rig.apply(&stack);
    rig.expect_empty_plan(&stack);
    rig.eksup(&["destroy", "--yes", text(&stack)]).expect(0);
    assert_eq!(rig.counts(), before, "the network stands as it stood");
}

async fn network_of_others(cloud: &Cloud) -> (String, Vec<String>) {
    let ec2 = &cloud.write.ec2;
    let owner = Tag::builder().key("owner").value("others").build();
    let tags = TagSpecification::builder().resource_type(ResourceType::Vpc).tags(owner).build();
    let vpc = ec2.create_vpc().cidr_block("10.9.0.0/16").tag_specifications(tags).send().await.expect("a VPC");
    let vpc = vpc.vpc().and_then(|vpc| vpc.vpc_id()).expect("its id").to_owned();
    let mut subnets = Vec::new();
    for number in 0..4 {
        let zone = format!("{REGION}{}", if number % 2 == 0 { "a" } else { "b" });
        let sending =
            ec2.create_subnet().vpc_id(&vpc).cidr_block(format!("10.9.{number}.0/24")).availability_zone(zone);
        let subnet = sending.send().await.expect("a subnet");
        subnets.push(subnet.subnet().and_then(|subnet| subnet.subnet_id()).expect("its id").to_owned());
    }
    (vpc, subnets)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(future)
}
