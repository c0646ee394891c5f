//! What others hang on a stack goes with it, and what only looks alike stays.

mod support;

use aws_sdk_ec2::types::{
    InstanceType, IpPermission, ResourceType, Tag, TagSpecification, UserIdGroupPair, VpcEndpointType,
};
use eksup::aws::Cloud;
use eksup::engine::{self, Events};
use eksup::plan::{Disposal, Kept, Observed, RESOURCE, STACK};
use support::{Rig, connect};
use tokio_util::sync::CancellationToken;

const NAME: &str = "shop";
const REGION: &str = "us-east-1";

type Pairs<'a> = &'a [(&'a str, &'a str)];

#[tokio::test(flavor = "multi_thread")]
async fn what_others_hung_on_a_stack_goes_with_it_and_what_only_looks_alike_stays() {
    let rig = tokio::task::spawn_blocking(Rig::start).await.expect("a thread");
    let cloud = connect(&rig.cloud, REGION).await;
    let ours = plant(&cloud, NAME, "10.1.0.0/16", true).await;
    let theirs = plant(&cloud, "other", "10.2.0.0/16", false).await;

    let (left, kept) = destroy(&cloud, Disposal::KeepData).await;
    assert!(left.is_empty(), "{left:#?}");
    let identities: Vec<&str> = kept.iter().map(|kept| kept.identity.as_str()).collect();
    assert_eq!(identities, [ours.volume.as_str()], "the data of a claim is kept");
    assert_eq!(standing(&cloud, &ours).await, ["volume"]);
    assert_eq!(standing(&cloud, &theirs).await, Planted::KINDS, "nothing of another cluster is touched");

    let (left, kept) = destroy(&cloud, Disposal::DeleteData).await;
    assert!(left.is_empty() && kept.is_empty(), "{left:#?} {kept:#?}");
    assert!(standing(&cloud, &ours).await.is_empty());
    assert_eq!(standing(&cloud, &theirs).await, Planted::KINDS);
}

/// Destroys the stack, and gives what the sweep says.
async fn destroy(cloud: &Cloud, disposal: Disposal) -> (Vec<Observed>, Vec<Kept>) {
    let stop = CancellationToken::new();
    let (plan, kept) = engine::plan_destroy(NAME, cloud, disposal, &Events::silent()).await.expect("a plan");
    engine::apply(&plan, cloud, &Events::silent(), &stop).await.expect("it is carried out");
    let swept = engine::sweep(NAME, cloud, disposal, &kept, &Events::silent(), &stop).await.expect("a sweep");
    (swept.left, swept.kept)
}

/// What stands around a cluster.
struct Planted {
    vpc: String,
    load_balancer: String,
    target_group: String,
    classic: String,
    group: String,
    interface: String,
    instance: String,
    template: String,
    profile: String,
    log_group: String,
    endpoint: String,
    volume: String,
}

impl Planted {
    const KINDS: [&str; 12] = [
        "VPC",
        "load balancer",
        "target group",
        "classic load balancer",
        "security group",
        "interface",
        "instance",
        "launch template",
        "instance profile",
        "log group",
        "endpoint",
        "volume",
    ];
}

/// A VPC, of eksup's stack `name` if it is `ours`, with everything in it that controllers of the
/// cluster `name` leave behind.
async fn plant(cloud: &Cloud, name: &str, cidr: &str, ours: bool) -> Planted {
    let owned = format!("kubernetes.io/cluster/{name}");
    let of_controller: Pairs<'_> = &[("elbv2.k8s.aws/cluster", name)];
    let of_autoscaler: Pairs<'_> = &[("eks:eks-cluster-name", name), ("karpenter.sh/nodepool", "default")];
    let (vpc, subnets) = plant_network(cloud, name, cidr, ours).await;
    let group = plant_group(cloud, &format!("k8s-traffic-{name}"), &vpc, of_controller).await;
    let mut eksups: Vec<(&str, &str)> = vec![("Name", "database")];
    if ours {
        eksups.extend([(STACK, name), (RESOURCE, "database/security-group")]);
    }
    let referring = plant_group(cloud, &format!("{name}-database"), &vpc, &eksups).await;
    let pair =
        UserIdGroupPair::builder().group_id(&group).description("elbv2.k8s.aws/targetGroupBinding=shared").build();
    let rule = IpPermission::builder().ip_protocol("tcp").from_port(80).to_port(80).user_id_group_pairs(pair).build();
    let sending = cloud.write.ec2.authorize_security_group_ingress().group_id(&referring).ip_permissions(rule);
    sending.send().await.expect("a rule");
    Planted {
        load_balancer: plant_load_balancer(cloud, name, &subnets, &group, of_controller).await,
        target_group: plant_target_group(cloud, name, &vpc, of_controller).await,
        classic: plant_classic(cloud, name, &subnets, &group, &owned).await,
        interface: plant_interface(cloud, &subnets[0], &group).await,
        instance: plant_instance(cloud, &subnets[0], &group, of_autoscaler).await,
        template: plant_template(cloud, name, of_autoscaler).await,
        profile: plant_profile(cloud, name, &owned).await,
        log_group: plant_log_group(cloud, name).await,
        endpoint: plant_endpoint(cloud, &vpc, &subnets[0]).await,
        volume: plant_volume(cloud, &owned).await,
        vpc,
        group,
    }
}

async fn plant_network(cloud: &Cloud, name: &str, cidr: &str, ours: bool) -> (String, Vec<String>) {
    let tags = |kind: ResourceType, address: &'static str| {
        let pairs: Vec<(&str, &str)> =
            if ours { vec![(STACK, name), (RESOURCE, address)] } else { vec![("Name", "theirs")] };
        at_birth(kind, &pairs)
    };
    let client = &cloud.write.ec2;
    let sending = client.create_vpc().cidr_block(cidr).tag_specifications(tags(ResourceType::Vpc, "network/vpc"));
    let vpc = sending.send().await.expect("a VPC").vpc.and_then(|vpc| vpc.vpc_id).expect("an id");
    let door = client.create_internet_gateway();
    let door = door.tag_specifications(tags(ResourceType::InternetGateway, "network/internet-gateway"));
    let door = door.send().await.expect("a gateway").internet_gateway.and_then(|door| door.internet_gateway_id);
    let attach = client.attach_internet_gateway().vpc_id(&vpc).set_internet_gateway_id(door);
    attach.send().await.expect("attached");
    let mut subnets = Vec::new();
    for (third, zone, address) in
        [("1", "us-east-1a", "network/subnet/private/a"), ("2", "us-east-1b", "network/subnet/private/b")]
    {
        let block = cidr.replace(".0.0/16", &format!(".{third}.0/24"));
        let sending = client.create_subnet().vpc_id(&vpc).cidr_block(block).availability_zone(zone);
        let sending = sending.tag_specifications(tags(ResourceType::Subnet, address));
        let subnet = sending.send().await.expect("a subnet").subnet.and_then(|subnet| subnet.subnet_id);
        subnets.push(subnet.expect("an id"));
    }
    (vpc, subnets)
}

async fn plant_group(cloud: &Cloud, name: &str, vpc: &str, tags: Pairs<'_>) -> String {
    let sending = cloud.write.ec2.create_security_group().group_name(name).description("planted").vpc_id(vpc);
    let sending = sending.tag_specifications(at_birth(ResourceType::SecurityGroup, tags));
    sending.send().await.expect("a group").group_id.expect("an id")
}

async fn plant_load_balancer(cloud: &Cloud, name: &str, subnets: &[String], group: &str, tags: Pairs<'_>) -> String {
    let sending = cloud.write.elbv2.create_load_balancer().name(format!("k8s-{name}"));
    let sending = sending.set_subnets(Some(subnets.to_vec())).security_groups(group).set_tags(Some(elbv2(tags)));
    let made = sending.send().await.expect("a load balancer").load_balancers.unwrap_or_default();
    made.into_iter().next().and_then(|made| made.load_balancer_arn).expect("an ARN")
}

async fn plant_target_group(cloud: &Cloud, name: &str, vpc: &str, tags: Pairs<'_>) -> String {
    use aws_sdk_elasticloadbalancingv2::types::ProtocolEnum;
    let sending = cloud.write.elbv2.create_target_group().name(format!("k8s-{name}")).vpc_id(vpc).port(80);
    let sending = sending.protocol(ProtocolEnum::Http).set_tags(Some(elbv2(tags)));
    let made = sending.send().await.expect("a target group").target_groups.unwrap_or_default();
    made.into_iter().next().and_then(|made| made.target_group_arn).expect("an ARN")
}

async fn plant_classic(cloud: &Cloud, name: &str, subnets: &[String], group: &str, owned: &str) -> String {
    use aws_sdk_elasticloadbalancing::types::{Listener, Tag};
    let listener = Listener::builder().protocol("TCP").load_balancer_port(80).instance_port(80).build();
    let tag = Tag::builder().key(owned).value("owned").build().expect("a tag");
    let name = format!("classic-{name}");
    let sending = cloud.write.elb.create_load_balancer().load_balancer_name(&name).listeners(listener.expect("whole"));
    let sending = sending.set_subnets(Some(subnets.to_vec())).security_groups(group).tags(tag);
    sending.send().await.expect("a classic load balancer");
    name
}

async fn plant_interface(cloud: &Cloud, subnet: &str, group: &str) -> String {
    let sending = cloud.write.ec2.create_network_interface().subnet_id(subnet).groups(group);
    let sending = sending.description("aws-K8S-i-0123456789abcdef0");
    let made = sending.send().await.expect("an interface").network_interface;
    made.and_then(|made| made.network_interface_id).expect("an id")
}

async fn plant_instance(cloud: &Cloud, subnet: &str, group: &str, tags: Pairs<'_>) -> String {
    let images = cloud.read.ec2.describe_images().owners("amazon").send().await.expect("images");
    let image = images.images().iter().find_map(|image| image.image_id()).expect("an image");
    let sending = cloud.write.ec2.run_instances().image_id(image).min_count(1).max_count(1);
    let sending = sending.instance_type(InstanceType::T3Micro).subnet_id(subnet).security_group_ids(group);
    let sending = sending.tag_specifications(at_birth(ResourceType::Instance, tags));
    let made = sending.send().await.expect("an instance").instances.unwrap_or_default();
    made.into_iter().next().and_then(|made| made.instance_id).expect("an id")
}

async fn plant_template(cloud: &Cloud, name: &str, tags: Pairs<'_>) -> String {
    use aws_sdk_ec2::types::RequestLaunchTemplateData;
    let data = RequestLaunchTemplateData::builder().instance_type(InstanceType::T3Micro).build();
    let sending = cloud.write.ec2.create_launch_template().launch_template_name(format!("karpenter.k8s.aws/{name}"));
    let sending = sending.launch_template_data(data).tag_specifications(at_birth(ResourceType::LaunchTemplate, tags));
    let made = sending.send().await.expect("a template").launch_template;
    made.and_then(|made| made.launch_template_id).expect("an id")
}

async fn plant_profile(cloud: &Cloud, name: &str, owned: &str) -> String {
    use aws_sdk_iam::types::Tag;
    let profile = format!("{name}_1234567890");
    let marks =
        [(owned, "owned"), ("karpenter.k8s.aws/ec2nodeclass", "default"), ("topology.kubernetes.io/region", REGION)];
    let tags = marks.map(|(key, value)| Tag::builder().key(key).value(value).build().expect("a tag"));
    let sending = cloud.write.iam.create_instance_profile().instance_profile_name(&profile);
    let sending = sending.path(format!("/karpenter/{REGION}/{name}/uid/")).set_tags(Some(tags.to_vec()));
    sending.send().await.expect("a profile");
    let role = format!("{name}-nodes-of-others");
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    let sending = cloud.write.iam.create_role().role_name(&role).assume_role_policy_document(trust);
    sending.send().await.expect("a role");
    let sending = cloud.write.iam.add_role_to_instance_profile().instance_profile_name(&profile).role_name(role);
    sending.send().await.expect("the role in the profile");
    profile
}

async fn plant_log_group(cloud: &Cloud, name: &str) -> String {
    let group = format!("/aws/containerinsights/{name}/performance");
    cloud.write.logs.create_log_group().log_group_name(&group).send().await.expect("a log group");
    group
}

async fn plant_endpoint(cloud: &Cloud, vpc: &str, subnet: &str) -> String {
    let sending = cloud.write.ec2.create_vpc_endpoint().vpc_id(vpc).subnet_ids(subnet);
    let sending = sending.vpc_endpoint_type(VpcEndpointType::Interface);
    let sending = sending.service_name(format!("com.amazonaws.{REGION}.guardduty-data"));
    let made = sending.send().await.expect("an endpoint").vpc_endpoint;
    made.and_then(|made| made.vpc_endpoint_id).expect("an id")
}

async fn plant_volume(cloud: &Cloud, owned: &str) -> String {
    let tags = at_birth(ResourceType::Volume, &[(owned, "owned"), ("CSIVolumeName", "pvc-1")]);
    let sending = cloud.write.ec2.create_volume().availability_zone("us-east-1a").size(8).tag_specifications(tags);
    sending.send().await.expect("a volume").volume_id.expect("an id")
}

fn at_birth(kind: ResourceType, pairs: Pairs<'_>) -> TagSpecification {
    let tags = pairs.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build()).collect();
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags)).build()
}

fn elbv2(pairs: Pairs<'_>) -> Vec<aws_sdk_elasticloadbalancingv2::types::Tag> {
    use aws_sdk_elasticloadbalancingv2::types::Tag;
    pairs.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build()).collect()
}

/// Which of the planted things the cloud still shows.
async fn standing(cloud: &Cloud, planted: &Planted) -> Vec<&'static str> {
    let (ec2, elbv2, iam) = (&cloud.read.ec2, &cloud.read.elbv2, &cloud.read.iam);
    let instances = ec2.describe_instances().instance_ids(&planted.instance).send().await;
    let runs = instances.is_ok_and(|answer| {
        let all = answer.reservations().iter().flat_map(|reservation| reservation.instances());
        all.filter_map(|instance| instance.state()?.name()).any(|state| state.as_str() == "running")
    });
    let groups = cloud.read.logs.describe_log_groups().log_group_name_prefix(&planted.log_group).send().await;
    let endpoints = ec2.describe_vpc_endpoints().vpc_endpoint_ids(&planted.endpoint).send().await;
    let balancers = elbv2.describe_load_balancers().load_balancer_arns(&planted.load_balancer).send().await;
    let targets = elbv2.describe_target_groups().target_group_arns(&planted.target_group).send().await;
    let classics = cloud.read.elb.describe_load_balancers().load_balancer_names(&planted.classic).send().await;
    let interfaces = ec2.describe_network_interfaces().network_interface_ids(&planted.interface).send().await;
    let templates = ec2.describe_launch_templates().launch_template_ids(&planted.template).send().await;
    let there = [
        ec2.describe_vpcs().vpc_ids(&planted.vpc).send().await.is_ok(),
        balancers.is_ok_and(|answer| !answer.load_balancers().is_empty()),
        targets.is_ok_and(|answer| !answer.target_groups().is_empty()),
        classics.is_ok_and(|answer| !answer.load_balancer_descriptions().is_empty()),
        ec2.describe_security_groups().group_ids(&planted.group).send().await.is_ok(),
        interfaces.is_ok_and(|answer| !answer.network_interfaces().is_empty()),
        runs,
        templates.is_ok_and(|answer| !answer.launch_templates().is_empty()),
        iam.get_instance_profile().instance_profile_name(&planted.profile).send().await.is_ok(),
        groups.is_ok_and(|answer| !answer.log_groups().is_empty()),
        endpoints.is_ok_and(|answer| !answer.vpc_endpoints().is_empty()),
        ec2.describe_volumes().volume_ids(&planted.volume).send().await.is_ok(),
    ];
    Planted::KINDS.into_iter().zip(there).filter(|(_, there)| *there).map(|(kind, _)| kind).collect()
}
