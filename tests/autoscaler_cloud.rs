//! The cloud's side of the autoscaler on a local cloud: classes resolved, nodes bought, leftovers taken away.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ec2::types::{
    CapacityReservationInstancePlatform, InstanceMatchCriteria, ResourceType, Tag, TagSpecification,
};
use base64::Engine as _;
use eksup::autoscaler::api::EC2NodeClass;
use eksup::autoscaler::cloud::{
    CapacityType, ClassCondition, ClassFault, CloudSettings, ClusterFacts, Ec2, InstanceState, IpFamily, LaunchError,
    LaunchOption, LaunchRequest, Launched, ResolvedClass,
};
use eksup::autoscaler::state::instance_types::Price;
use eksup::autoscaler::state::names::Names;
use eksup::aws::{Cloud, filter};
use sandbox::{FailOnce, Sandbox, Weather};
use serde_json::{Value, json};

const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// A cloud with a network, a role, and the autoscaler's door to it.
struct Stage {
    sandbox: Sandbox,
    cloud: Cloud,
    ec2: Ec2,
    subnets: Vec<String>,
    group: String,
}

fn facts() -> ClusterFacts {
    ClusterFacts {
        name: "shop".into(),
        endpoint: "https://shop.example".into(),
        certificate_authority: "LS0tLQ==".into(),
        service_cidr: "172.20.0.0/16".into(),
        dns_ip: "172.20.0.10".into(),
        minor: 35,
        ip_family: IpFamily::V4,
    }
}

fn tagged(kind: ResourceType, tags: &[(&str, &str)]) -> TagSpecification {
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build()).collect();
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags)).build()
}

impl Stage {
    async fn set() -> Self {
        let sandbox = Sandbox::start(Weather::default()).expect("a local cloud");
        let cloud = support::connect(&sandbox, "us-east-1").await;
        let client = &cloud.write.ec2;
        let vpc = client.create_vpc().cidr_block("10.0.0.0/16").send().await.expect("a VPC");
        let vpc = vpc.vpc().and_then(|vpc| vpc.vpc_id()).expect("its id").to_owned();
        let mut subnets = Vec::new();
        for (at, zone) in ZONES.iter().enumerate() {
            let made = client
                .create_subnet()
                .vpc_id(&vpc)
                .cidr_block(format!("10.0.{at}.0/24"))
                .availability_zone(*zone)
                .tag_specifications(tagged(ResourceType::Subnet, &[("karpenter.sh/discovery", "shop")]));
            let made = made.send().await.expect("a subnet");
            subnets.push(made.subnet().and_then(|subnet| subnet.subnet_id()).expect("its id").to_owned());
        }
        let group = client
            .create_security_group()
            .vpc_id(&vpc)
            .group_name("nodes")
            .description("nodes")
            .tag_specifications(tagged(ResourceType::SecurityGroup, &[("karpenter.sh/discovery", "shop")]));
        let group = group.send().await.expect("a group").group_id().expect("its id").to_owned();
        for role in ["nodes", "other"] {
            cloud
                .write
                .iam
                .create_role()
                .role_name(role)
                .assume_role_policy_document(TRUST)
                .send()
                .await
                .expect("a role");
        }
        let spot = cloud.write.iam.create_service_linked_role().aws_service_name("spot.amazonaws.com");
        spot.send().await.expect("the role of spot");
        let ec2 = Ec2::new(cloud.clone(), facts(), CloudSettings::default());
        Self { sandbox, cloud, ec2, subnets, group }
    }

    async fn resolved(&self, class: &EC2NodeClass) -> Arc<ResolvedClass> {
        self.ec2.resolve(class).await.unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn calls(&self, action: &str) -> usize {
        self.sandbox.calls().expect("a log").iter().filter(|call| call.action == action).count()
    }

    fn clear(&self) {
        self.sandbox.clear_calls().expect("a log");
    }

    fn weather(&self, weather: Weather) {
        self.sandbox.set_weather(&weather).expect("a weather");
    }

    /// Launches, and expects an instance for each.
    async fn launch(&self, requests: Vec<LaunchRequest>) -> Vec<Launched> {
        let answers = self.ec2.launch(requests, &BTreeSet::new()).await;
        answers.into_iter().map(|(claim, answer)| answer.unwrap_or_else(|error| panic!("{claim}: {error}"))).collect()
    }

    async fn living(&self) -> Vec<eksup::autoscaler::cloud::Instance> {
        let mut all = self.ec2.instances().await.expect("instances");
        all.retain(|instance| instance.lives());
        all
    }
}

/// A class with the usual selectors, and `changes` laid over its spec.
fn class(changes: Value) -> EC2NodeClass {
    let mut spec = json!({
        "subnetSelectorTerms": [{ "tags": { "karpenter.sh/discovery": "shop" } }],
        "securityGroupSelectorTerms": [{ "tags": { "karpenter.sh/discovery": "*" } }],
        "amiSelectorTerms": [{ "alias": "al2023@latest" }],
        "role": "nodes",
    });
    for (key, value) in changes.as_object().expect("an object") {
        spec[key] = value.clone();
    }
    spec.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    let mut class = EC2NodeClass::new("general", serde_json::from_value(spec).expect("a spec"));
    class.metadata.uid = Some("0a1b".into());
    class
}

fn options(types: &[&str], zones: &[&str], capacity_types: &[CapacityType]) -> Arc<[LaunchOption]> {
    let mut all = Vec::new();
    for (&capacity_type, price) in capacity_types.iter().zip(1..) {
        for (name, step) in types.iter().zip(1..) {
            for zone in zones {
                let price = Price(price * 1000 + step);
                let (instance_type, zone) = ((*name).into(), (*zone).into());
                all.push(LaunchOption { instance_type, zone, capacity_type, reservation: None, price });
            }
        }
    }
    all.into()
}

fn request(number: usize, class: &Arc<ResolvedClass>, options: &Arc<[LaunchOption]>) -> LaunchRequest {
    LaunchRequest {
        claim: format!("default-{number}"),
        uid: format!("uid-{number}"),
        attempt: 0,
        unsure: false,
        pool: "default".into(),
        class: Arc::clone(class),
        options: Arc::clone(options),
        fabric: false,
        labels: BTreeMap::from([("team".to_owned(), "web".to_owned())]),
        taints: Vec::new(),
        startup_taints: Vec::new(),
    }
}

fn requests(count: usize, class: &Arc<ResolvedClass>, options: &Arc<[LaunchOption]>) -> Vec<LaunchRequest> {
    (0..count).map(|number| request(number, class, options)).collect()
}

const ON_DEMAND: [CapacityType; 1] = [CapacityType::OnDemand];

#[tokio::test]
async fn a_class_is_resolved_into_its_status_and_asked_about_once() {
    let stage = Stage::set().await;
    let class = class(json!({}));
    stage.clear();
    let found = stage.resolved(&class).await;
    let status = found.status();
    let zones: BTreeSet<&str> = status.subnets.iter().map(|subnet| subnet.zone.as_str()).collect();
    assert_eq!(zones, ZONES.into());
    assert!(status.subnets.iter().all(|subnet| subnet.zone_id.starts_with("use1-az")), "{:?}", status.subnets);
    assert_eq!(
        (status.security_groups[0].id.as_str(), status.security_groups[0].name.as_str()),
        (stage.group.as_str(), "nodes")
    );
    let mut images: Vec<String> = status
        .amis
        .iter()
        .map(|image| {
            format!("{} {}", image.name.split("-1.35").next().unwrap_or_default(), image.requirements[0].values[0])
        })
        .collect();
    images.sort_unstable();
    assert_eq!(
        images,
        [
            "amazon-eks-node-al2023-arm64-nvidia arm64",
            "amazon-eks-node-al2023-arm64-standard arm64",
            "amazon-eks-node-al2023-x86_64-neuron amd64",
            "amazon-eks-node-al2023-x86_64-nvidia amd64",
            "amazon-eks-node-al2023-x86_64-standard amd64",
        ]
    );
    assert!(status.instance_profile.is_some_and(|name| name.starts_with("shop_")));
    assert_eq!(stage.calls("DescribeSubnets"), 1);
    assert_eq!(stage.calls("DescribeSecurityGroups"), 1);
    assert_eq!(stage.calls("DescribeImages"), 1);
    stage.clear();
    let again = stage.resolved(&class).await;
    assert_eq!((again, stage.sandbox.calls().expect("a log").len()), (found, 0));
}

#[tokio::test]
async fn images_are_found_by_alias_id_name_and_parameter() {
    let stage = Stage::set().await;
    let resolve = async |terms: Value, family: Value| {
        let class = class(json!({ "amiSelectorTerms": terms, "amiFamily": family }));
        stage
            .ec2
            .resolve(&class)
            .await
            .map(|found| found.images.iter().map(|image| image.name.clone()).collect::<BTreeSet<_>>())
    };
    let bottlerocket = resolve(json!([{ "alias": "bottlerocket@latest" }]), Value::Null).await.expect("images");
    assert_eq!(bottlerocket.len(), 4, "{bottlerocket:?}");
    assert!(bottlerocket.iter().all(|name| name.starts_with("bottlerocket-aws-k8s-1.35")), "{bottlerocket:?}");
    let name = "al2023-ami-2023.9.*-kernel-6.12-x86_64";
    let named = resolve(json!([{ "name": name }]), json!("Custom")).await.expect("images");
    assert_eq!(named.len(), 1, "{named:?}");
    let parameter = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64";
    let found = resolve(json!([{ "ssmParameter": parameter }]), json!("AL2023")).await.expect("images");
    assert!(found.iter().all(|name| name.ends_with("-arm64")) && found.len() == 1, "{found:?}");
    for (terms, family, words) in [
        (json!([{ "alias": "al2@latest" }]), Value::Null, "al2023@latest"),
        (json!([{ "alias": "windows2022@latest" }]), Value::Null, "Windows_Server-2022"),
        (json!([{ "alias": "al2023@v19990101" }]), Value::Null, "v19990101"),
        (json!([{ "id": "ami-0123456789abcdef0" }]), json!("AL2023"), "amiSelectorTerms"),
    ] {
        let fault = resolve(terms, family).await.expect_err("no image");
        assert_eq!(fault.unmet[0].condition, ClassCondition::AmisReady);
        assert!(fault.to_string().contains(words), "{fault}");
    }
}

#[tokio::test]
async fn what_keeps_a_class_from_being_ready_is_told_field_by_field() {
    let stage = Stage::set().await;
    let unmet = |fault: &ClassFault| fault.unmet.iter().map(|unmet| unmet.condition).collect::<Vec<_>>();
    let nothing = json!([{ "tags": { "karpenter.sh/discovery": "nobody" } }]);
    let lost =
        class(json!({ "subnetSelectorTerms": nothing, "securityGroupSelectorTerms": nothing, "role": "nobody" }));
    let fault = stage.ec2.resolve(&lost).await.expect_err("three things are missing");
    assert_eq!(
        unmet(&fault),
        [ClassCondition::SubnetsReady, ClassCondition::SecurityGroupsReady, ClassCondition::InstanceProfileReady]
    );
    assert!(fault.found.amis.len() > 1, "what was found is told all the same");
    for word in ["spec.subnetSelectorTerms", "spec.securityGroupSelectorTerms", "spec.role", "nobody"] {
        assert!(fault.to_string().contains(word), "{fault}");
    }
    let long = class(json!({ "userData": format!("#!/bin/sh\n{}", "x".repeat(17_000)) }));
    let fault = stage.ec2.resolve(&long).await.expect_err("too long");
    assert_eq!(unmet(&fault), [ClassCondition::ValidationSucceeded]);
    assert!(fault.to_string().contains("16384"), "{fault}");
    stage.weather(Weather { deny: vec!["ec2:CreateFleet".into()], ..Weather::default() });
    let fault = stage.ec2.resolve(&class(json!({}))).await.expect_err("it may not launch");
    assert_eq!(unmet(&fault), [ClassCondition::ValidationSucceeded]);
    assert!(fault.to_string().contains("ec2:CreateFleet"), "{fault}");
}

#[tokio::test]
async fn every_field_of_a_class_arrives_in_the_template_and_the_instance() {
    let stage = Stage::set().await;
    let class = class(json!({
        "userData": "#!/bin/sh\necho hello\n",
        "detailedMonitoring": true,
        "associatePublicIPAddress": true,
        "ipPrefixCount": 1,
        "tags": { "owner": "web" },
        "kubelet": { "maxPods": 20, "systemReserved": { "cpu": "100m" } },
        "blockDeviceMappings": [{ "deviceName": "/dev/xvda", "ebs": {
            "volumeSize": "33Gi", "volumeType": "gp3", "encrypted": true, "iops": 4000, "throughput": 200,
            "deleteOnTermination": true } }],
        "instanceStorePolicy": "RAID0",
        "metadataOptions": { "httpEndpoint": "enabled", "httpProtocolIPv6": "disabled",
                             "httpPutResponseHopLimit": 2, "httpTokens": "required" },
        "connectionTracking": { "tcpEstablishedTimeout": 600 },
        "cpuOptions": { "nestedVirtualization": "enabled" },
    }));
    let found = stage.resolved(&class).await;
    let options = options(&["m5.large"], &ZONES[1..2], &ON_DEMAND);
    let launched = stage.launch(requests(1, &found, &options)).await.remove(0);
    assert_eq!((launched.zone.as_str(), launched.instance_type.as_str()), (ZONES[1], "m5.large"));
    assert_eq!(launched.provider_id, format!("aws:///{}/{}", ZONES[1], launched.instance_id));

    let client = &stage.cloud.read.ec2;
    let templates = client.describe_launch_templates().send().await.expect("templates");
    let name = templates.launch_templates()[0].launch_template_name().expect("a name").to_owned();
    assert!(name.starts_with("karpenter.sh/"), "{name}");
    let versions = client.describe_launch_template_versions().launch_template_name(&name).versions("$Latest");
    let versions = versions.send().await.expect("a version");
    let data = versions.launch_template_versions()[0].launch_template_data().expect("its data");
    let interface = &data.network_interfaces()[0];
    assert_eq!(interface.groups(), std::slice::from_ref(&stage.group));
    assert_eq!(interface.associate_public_ip_address(), Some(true));
    assert_eq!(data.monitoring().and_then(|monitoring| monitoring.enabled()), Some(true));
    assert_eq!(data.image_id(), Some(launched.image_id.as_str()));
    let volume = data.block_device_mappings()[0].ebs().expect("a volume");
    assert_eq!((volume.volume_size(), volume.iops(), volume.throughput()), (Some(33), Some(4000), Some(200)));
    let user_data = base64::engine::general_purpose::STANDARD.decode(data.user_data().expect("user data"));
    let user_data = String::from_utf8(user_data.expect("base64")).expect("text");
    for word in [
        "echo hello",
        "maxPods: 20",
        "cpu: 100m",
        "RAID0",
        "cidr: 172.20.0.0/16",
        "karpenter.sh/unregistered",
        "team=web",
        "karpenter.sh/nodepool=default",
        "karpenter.sh/capacity-type=on-demand",
    ] {
        assert!(user_data.contains(word), "{word} is not in:\n{user_data}");
    }

    let seen = client.describe_instances().instance_ids(&launched.instance_id).send().await.expect("it is there");
    let seen = &seen.reservations()[0].instances()[0];
    assert_eq!(seen.security_groups()[0].group_id(), Some(stage.group.as_str()));
    assert_eq!(seen.subnet_id(), Some(stage.subnets[1].as_str()));
    let profile = seen.iam_instance_profile().and_then(|profile| profile.arn()).unwrap_or_default();
    assert!(profile.ends_with(&found.instance_profile), "{profile}");
    let metadata = seen.metadata_options().expect("options");
    assert_eq!(
        (metadata.http_put_response_hop_limit(), metadata.http_tokens().map(|tokens| tokens.as_str())),
        (Some(2), Some("required"))
    );
    let volume = seen.block_device_mappings()[0].ebs().and_then(|ebs| ebs.volume_id()).expect("a volume");
    let volumes = client.describe_volumes().volume_ids(volume).send().await.expect("the volume");
    assert_eq!(volumes.volumes()[0].size(), Some(33));
    let wanted = [
        ("eks:eks-cluster-name", "shop"),
        ("karpenter.k8s.aws/ec2nodeclass", "general"),
        ("karpenter.sh/nodepool", "default"),
        ("kubernetes.io/cluster/shop", "owned"),
        ("owner", "web"),
    ];
    let own = |tags: &[Tag]| -> Vec<(String, String)> {
        let pairs = tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned())));
        let mut pairs: Vec<_> = pairs.filter(|(key, _)| !key.starts_with("aws:")).collect();
        pairs.sort_unstable();
        pairs
    };
    let wanted: Vec<(String, String)> = wanted.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    assert_eq!(own(seen.tags()), wanted, "the instance");
    assert_eq!(own(volumes.volumes()[0].tags()), wanted, "the volume");
    assert_eq!(own(templates.launch_templates()[0].tags()), wanted, "the template");
    let interfaces =
        client.describe_network_interfaces().filters(filter("attachment.instance-id", &launched.instance_id));
    let interfaces = interfaces.send().await.expect("interfaces");
    assert_eq!(own(interfaces.network_interfaces()[0].tag_set()), wanted, "the interface");
}

#[tokio::test]
async fn a_hundred_nodes_take_few_calls() {
    let stage = Stage::set().await;
    let class = stage.resolved(&class(json!({}))).await;
    stage.ec2.catalogue(&mut Names::default(), &class).await.expect("a catalogue");
    let (large, xlarge) =
        (options(&["m5.large", "m6i.large"], &ZONES, &ON_DEMAND), options(&["c5.xlarge"], &ZONES, &ON_DEMAND));
    let mut all = requests(60, &class, &large);
    all.extend((60..100).map(|number| request(number, &class, &xlarge)));
    stage.clear();
    let launched = stage.launch(all).await;
    let ids: BTreeSet<&str> = launched.iter().map(|each| each.instance_id.as_str()).collect();
    assert_eq!(ids.len(), 100);
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for call in stage.sandbox.calls().expect("a log") {
        *calls.entry(call.action).or_default() += 1;
    }
    println!("calls for 100 nodes: {calls:?}");
    assert_eq!(calls.get("CreateFleet"), Some(&2), "{calls:?}");
    assert!(calls.values().sum::<usize>() <= 10, "{calls:?}");
    // The cheapest is taken on demand.
    assert!(launched[..60].iter().all(|each| each.instance_type == "m5.large" && !each.image_id.is_empty()));
}

#[tokio::test]
async fn without_room_in_a_zone_another_is_taken_at_once_and_the_first_is_remembered() {
    let stage = Stage::set().await;
    let class = stage.resolved(&class(json!({}))).await;
    stage.weather(Weather {
        insufficient_capacity: vec!["*/us-east-1a".into(), "*/us-east-1b".into()],
        ..Weather::default()
    });
    let list = options(&["m5.large"], &ZONES, &ON_DEMAND);
    let launched = stage.launch(requests(5, &class, &list)).await;
    assert!(launched.iter().all(|each| each.zone == ZONES[2]), "{launched:?}");
    let until = |zone| stage.ec2.unavailable().until(CapacityType::OnDemand, "m5.large", zone, jiff::Timestamp::now());
    let mut names = Names::default();
    let catalogue = stage.ec2.catalogue(&mut names, &class).await.expect("a catalogue");
    for (zone, open) in [(ZONES[0], false), (ZONES[2], true)] {
        if until(zone).is_none() {
            // EC2 tells only of pools that it has tried.
            continue;
        }
        assert!(!open, "{zone}");
        let (large, symbol) = (names.strings.intern("m5.large"), names.strings.intern(zone));
        let found = catalogue.types.iter().find(|each| each.name == large).expect("the type");
        let offering =
            found.offerings.iter().find(|each| each.zone == symbol && each.capacity_type == names.known.on_demand);
        assert_eq!(offering.map(|offering| offering.available), Some(false), "{zone}");
    }
    assert!(until(ZONES[0]).is_some() || until(ZONES[1]).is_some());
    stage.clear();
    let more = (10..12).map(|number| request(number, &class, &list)).collect();
    stage.launch(more).await;
    assert_eq!(stage.calls("CreateFleet"), 1, "what failed is not asked for again");
}

#[tokio::test]
async fn when_every_spot_pool_is_empty_the_error_says_so_unless_on_demand_will_do() {
    let stage = Stage::set().await;
    let class = stage.resolved(&class(json!({}))).await;
    stage.weather(Weather { insufficient_capacity: vec!["*/*/spot".into()], ..Weather::default() });
    let both = options(&["m5.large", "m6i.large"], &ZONES, &[CapacityType::Spot, CapacityType::OnDemand]);
    let launched = stage.launch(requests(2, &class, &both)).await;
    assert!(launched.iter().all(|each| each.capacity_type == CapacityType::OnDemand), "{launched:?}");
    let spot = options(&["m5.large", "m6i.large"], &ZONES, &[CapacityType::Spot]);
    let mut answers = stage.ec2.launch(vec![request(7, &class, &spot)], &BTreeSet::new()).await;
    let (claim, answer) = answers.remove(0);
    let error = answer.expect_err("nothing is left");
    assert_eq!(claim, "default-7");
    assert!(matches!(error, LaunchError::InsufficientCapacity { .. }), "{error:?}");
    for words in ["spot m5.large in us-east-1a", "6 offerings", "asked for again at"] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_fleet_that_gives_a_part_is_handed_out_and_the_rest_is_asked_for_at_once() {
    let stage = Stage::set().await;
    let class = stage.resolved(&class(json!({}))).await;
    stage.weather(Weather { fleet_limit: Some(2), ..Weather::default() });
    let list = options(&["m5.large", "m6i.large", "m7i.large"], &ZONES, &ON_DEMAND);
    let launched = stage.launch(requests(5, &class, &list)).await;
    let ids: BTreeSet<&str> = launched.iter().map(|each| each.instance_id.as_str()).collect();
    assert_eq!((ids.len(), stage.living().await.len()), (5, 5));
}

#[tokio::test]
async fn throttling_errors_and_lost_answers_buy_nothing_twice() {
    for (seed, weather) in [
        (1, Weather { throttled: 0.4, ..Weather::default() }),
        (2, Weather { server_error: 0.3, ..Weather::default() }),
        (3, Weather { lost_answer: 0.5, ..Weather::default() }),
    ] {
        let stage = Stage::set().await;
        stage.weather(Weather { seed, ..weather });
        let class = stage.resolved(&class(json!({}))).await;
        let mut all = requests(4, &class, &options(&["m5.large"], &ZONES, &ON_DEMAND));
        for (number, name) in (4..).zip(["c5.large", "r5.large", "m6i.xlarge"]) {
            all.push(request(number, &class, &options(&[name], &ZONES, &ON_DEMAND)));
        }
        let launched = stage.launch(all).await;
        stage.weather(Weather::default());
        let bought: BTreeSet<String> = launched.into_iter().map(|each| each.instance_id).collect();
        let there: BTreeSet<String> = stage.living().await.into_iter().map(|each| each.id).collect();
        assert_eq!((bought.len(), bought), (7, there), "seed {seed}");
    }
}

#[tokio::test]
async fn what_was_bought_and_not_written_down_is_taken_over_by_the_next_process() {
    let stage = Stage::set().await;
    let class = stage.resolved(&class(json!({}))).await;
    let list = options(&["m5.large"], &ZONES, &ON_DEMAND);
    let first = stage.launch(requests(3, &class, &list)).await;
    // The same process, asked again because a claim could not be written.
    let again = stage.launch(requests(3, &class, &list)).await;
    assert_eq!(first, again);
    assert!(stage.ec2.is_handed_out(&first[0].instance_id));
    // The next process: one of the claims was written, and one more is new.
    let next = Ec2::new(stage.cloud.clone(), facts(), CloudSettings::default());
    let claimed = BTreeSet::from([first[0].instance_id.clone()]);
    let unsure = |number| LaunchRequest { unsure: true, ..request(number, &class, &list) };
    let answers = next.launch(vec![unsure(1), unsure(2), unsure(3)], &claimed).await;
    let answers: Vec<Launched> = answers.into_iter().map(|(_, answer)| answer.expect("an instance")).collect();
    assert_eq!(answers.iter().filter(|each| each.adopted).count(), 2);
    let ids: BTreeSet<String> = answers.into_iter().map(|each| each.instance_id).chain(claimed).collect();
    let there: BTreeSet<String> = stage.living().await.into_iter().map(|each| each.id).collect();
    assert_eq!((ids.len(), ids), (4, there));
}

#[tokio::test]
async fn a_launch_template_that_vanished_or_has_no_room_is_made_all_the_same() {
    let stage = Stage::set().await;
    let class = stage.resolved(&class(json!({}))).await;
    let list = options(&["m5.large"], &ZONES, &ON_DEMAND);
    stage.launch(requests(1, &class, &list)).await;
    let templates = stage.cloud.read.ec2.describe_launch_templates().send().await.expect("templates");
    for template in templates.launch_templates() {
        let name = template.launch_template_name().expect("a name");
        stage.cloud.write.ec2.delete_launch_template().launch_template_name(name).send().await.expect("gone");
    }
    stage.launch(vec![request(1, &class, &list)]).await;
    stage.weather(Weather {
        fail: vec![FailOnce {
            call: "ec2:CreateLaunchTemplate".into(),
            code: "ResourceLimitExceeded".into(),
            message: "You have reached the maximum number of launch templates".into(),
            status: 400,
        }],
        ..Weather::default()
    });
    stage.launch(vec![request(2, &class, &options(&["c5.large"], &ZONES, &ON_DEMAND))]).await;
    assert_eq!(stage.living().await.len(), 3);
}

#[tokio::test]
async fn profiles_and_templates_live_as_long_as_their_class() {
    let stage = Stage::set().await;
    let first = class(json!({}));
    let found = stage.resolved(&first).await;
    let iam = &stage.cloud.read.iam;
    let profile = iam.get_instance_profile().instance_profile_name(&found.instance_profile).send().await.expect("made");
    let profile = profile.instance_profile().expect("it");
    assert_eq!((profile.path(), profile.roles()[0].role_name()), ("/karpenter/us-east-1/shop/0a1b/", "nodes"));
    let mut keys: Vec<&str> = profile.tags().iter().map(|tag| tag.key()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "eks:eks-cluster-name",
            "karpenter.k8s.aws/ec2nodeclass",
            "kubernetes.io/cluster/shop",
            "topology.kubernetes.io/region"
        ]
    );
    let other = class(json!({ "role": "other" }));
    let changed = stage.resolved(&other).await;
    assert_ne!(changed.instance_profile, found.instance_profile, "another role is another profile");
    let names = async || {
        let listed = iam.list_instance_profiles().send().await.expect("a list");
        listed.instance_profiles().iter().map(|each| each.instance_profile_name().to_owned()).collect::<BTreeSet<_>>()
    };
    stage.ec2.collect_profiles(std::slice::from_ref(&other)).await.expect("collected");
    assert_eq!(names().await.len(), 2, "what was just made is protected");
    stage.launch(requests(1, &changed, &options(&["m5.large"], &ZONES, &ON_DEMAND))).await;
    stage.ec2.collect_launch_templates().await.expect("collected");
    let templates = async || {
        let shown = stage.cloud.read.ec2.describe_launch_templates().send().await.expect("templates");
        shown.launch_templates().len()
    };
    assert_eq!(templates().await, 1, "what was just used is kept");
    stage.ec2.delete_class(&other).await.expect("deleted");
    assert_eq!((names().await.len(), templates().await), (0, 0));
}

#[tokio::test]
async fn instances_are_read_tagged_and_ended() {
    let stage = Stage::set().await;
    let class = stage.resolved(&class(json!({}))).await;
    let launched = stage.launch(requests(3, &class, &options(&["m5.large"], &ZONES, &[CapacityType::Spot]))).await;
    let ids: Vec<String> = launched.iter().map(|each| each.instance_id.clone()).collect();
    stage.ec2.tag_registered(&ids[0], "ip-10-0-0-4.ec2.internal", "default-0").await.expect("tagged");
    stage.ec2.tag_registered("i-0123456789abcdef0", "gone", "gone").await.expect("what is gone needs no name");
    stage.clear();
    let seen = futures::future::join_all(ids.iter().map(|id| stage.ec2.instance(id))).await;
    assert_eq!(stage.calls("DescribeInstances"), 1, "questions of one moment share a call");
    let seen: Vec<_> = seen.into_iter().map(|seen| seen.expect("an answer").expect("an instance")).collect();
    assert_eq!(
        (seen[0].claim(), seen[0].pool(), seen[0].class()),
        (Some("default-0"), Some("default"), Some("general"))
    );
    assert_eq!(seen[1].claim(), None);
    assert!(seen.iter().all(|each| each.capacity_type == CapacityType::Spot && each.lives()));
    assert_eq!(stage.ec2.instance("i-0123456789abcdef0").await.expect("an answer"), None);
    assert!(stage.ec2.statuses().await.expect("an answer").is_empty());
    stage.clear();
    let mut doomed = ids.clone();
    doomed.push("i-0123456789abcdef0".to_owned());
    stage.ec2.terminate(&doomed).await.expect("ended");
    assert!(stage.calls("TerminateInstances") <= 2, "one refusal that names what is gone, one call");
    assert!(stage.living().await.is_empty());
    let gone = stage.ec2.instance(&ids[0]).await.expect("an answer");
    assert!(gone.is_none_or(|gone| gone.state >= InstanceState::ShuttingDown));
}

#[tokio::test]
async fn nodes_can_be_bought_while_the_price_list_is_away() {
    let stage = Stage::set().await;
    let class = stage.resolved(&class(json!({}))).await;
    stage.weather(Weather { deny: vec!["pricing:GetProducts".into()], ..Weather::default() });
    let mut names = Names::default();
    let catalogue = stage.ec2.catalogue(&mut names, &class).await.expect("a catalogue");
    let price = |name: &str| {
        let found = catalogue.types.iter().find(|each| names.text(each.name) == name).expect("the type");
        let on_demand = found.offerings.iter().filter(|offering| offering.capacity_type == names.known.on_demand);
        on_demand.map(|offering| offering.price).min()
    };
    assert!(price("m5.large") < price("m5.4xlarge") && price("m5.large").is_some());
    let before = stage.ec2.catalogue_version();
    stage.launch(requests(1, &class, &options(&["m5.large"], &ZONES, &ON_DEMAND))).await;
    assert_eq!(stage.ec2.catalogue_version(), before, "a launch that works changes no catalogue");
}

impl Stage {
    /// A reservation of so many instances in the first zone.
    async fn reserve(&self, count: i32, criteria: InstanceMatchCriteria) -> String {
        let tags = tagged(ResourceType::CapacityReservation, &[("team", "web")]);
        let request = self.cloud.write.ec2.create_capacity_reservation();
        let request = request.instance_type("m5.large").availability_zone(ZONES[0]).instance_count(count);
        let request = request.instance_platform(CapacityReservationInstancePlatform::LinuxUnix);
        let made = request.instance_match_criteria(criteria).tag_specifications(tags).send().await;
        let made = made.expect("a reservation");
        made.capacity_reservation().and_then(|one| one.capacity_reservation_id()).expect("its id").to_owned()
    }

    /// How many instances EC2 says are left.
    async fn left(&self, id: &str) -> i32 {
        let found = self.cloud.read.ec2.describe_capacity_reservations().capacity_reservation_ids(id).send().await;
        found.expect("the reservation").capacity_reservations()[0].available_instance_count().unwrap_or(-1)
    }
}

fn into(id: &str) -> Arc<[LaunchOption]> {
    let all = options(&["m5.large"], &ZONES[..1], &[CapacityType::Reserved]);
    all.iter().map(|option| LaunchOption { reservation: Some(id.into()), ..option.clone() }).collect()
}

#[tokio::test]
async fn reservations_are_found_and_launched_into_until_nothing_is_left_and_then_left_alone() {
    let stage = Stage::set().await;
    let id = stage.reserve(3, InstanceMatchCriteria::Targeted).await;
    let terms = json!({ "capacityReservationSelectorTerms": [{ "tags": { "team": "*" } }, { "id": "cr-0123" }] });
    let class = stage.resolved(&class(terms)).await;
    let status = class.status();
    let found: Vec<(&str, &str)> = status
        .capacity_reservations
        .iter()
        .map(|found| (found.id.as_str(), found.instance_match_criteria.as_str()))
        .collect();
    assert_eq!(found, [(id.as_str(), "targeted")], "an id that is not there selects nothing");
    let nobody = BTreeSet::new();
    assert_eq!(stage.ec2.left_of(&class, &class.reservations[0], &nobody), 3);

    let mut names = Names::default();
    let catalogue = stage.ec2.catalogue(&mut names, &class).await.expect("a catalogue");
    let reserved = catalogue.types.iter().flat_map(|one| &one.offerings);
    let reserved: Vec<_> = reserved.filter(|offering| offering.capacity_type == names.known.reserved).collect();
    assert_eq!(reserved.len(), 1);
    assert_eq!((reserved[0].reservation(&names), reserved[0].available), (Some(id.as_str()), false));
    assert!(reserved[0].price.dollars() < 0.000_001, "it is paid for already");

    let answers = stage.ec2.launch(requests(5, &class, &into(&id)), &nobody).await;
    let (got, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, answer)| answer.is_ok());
    assert_eq!((got.len(), refused.len()), (3, 2));
    let told = |(_, answer): (String, Result<Launched, LaunchError>)| answer.map(|launched| launched.reservation);
    assert!(got.into_iter().map(told).all(|answer| answer.is_ok_and(|own| own.as_deref() == Some(&*id))));
    for (_, answer) in refused {
        let error = answer.expect_err("nothing is left");
        assert!(matches!(error, LaunchError::InsufficientCapacity { .. }), "{error:?}");
        assert!(error.to_string().contains("ReservationCapacityExceeded"), "{error}");
    }
    assert_eq!((stage.left(&id).await, stage.ec2.left_of(&class, &class.reservations[0], &nobody)), (0, 0));
    assert!(stage.ec2.unavailable().until_reservation(&id, jiff::Timestamp::now()).is_some());
    let seen = stage.living().await;
    let told = |each: &eksup::autoscaler::cloud::Instance| (each.capacity_type, each.reservation.clone());
    assert!(seen.iter().all(|each| told(each) == (CapacityType::Reserved, Some(id.clone()))), "{seen:?}");
}

#[tokio::test]
async fn nodes_keep_out_of_open_reservations_once_a_class_selects_any_and_not_before() {
    let stage = Stage::set().await;
    let id = stage.reserve(2, InstanceMatchCriteria::Open).await;
    let plain = stage.resolved(&class(json!({}))).await;
    let list = options(&["m5.large"], &ZONES[..1], &ON_DEMAND);
    stage.launch(requests(1, &plain, &list)).await;
    assert_eq!(stage.left(&id).await, 1, "EC2 has put it there by itself");
    let seen = stage.living().await;
    assert_eq!(seen[0].capacity_type, CapacityType::OnDemand, "it was bought on demand all the same");
    stage.resolved(&class(json!({ "capacityReservationSelectorTerms": [{ "id": id }] }))).await;
    stage.launch(vec![request(7, &plain, &list)]).await;
    assert_eq!(stage.left(&id).await, 1);
}

#[tokio::test]
async fn where_reservations_are_switched_off_nothing_is_asked_about_them() {
    let stage = Stage::set().await;
    let id = stage.reserve(2, InstanceMatchCriteria::Open).await;
    let settings = CloudSettings { reserved_capacity: false, ..CloudSettings::default() };
    let ec2 = Ec2::new(stage.cloud.clone(), facts(), settings);
    stage.clear();
    let class = class(json!({ "capacityReservationSelectorTerms": [{ "id": id }] }));
    let class = ec2.resolve(&class).await.unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!((class.reservations.len(), stage.calls("DescribeCapacityReservations")), (0, 0));
}
