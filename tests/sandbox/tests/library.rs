//! The library: a cloud for a test, told how to behave, asked what happened and what is left.

mod support;

use anyhow::Result;
use sandbox::{FailOnce, Kind, KubernetesWeather, Sandbox, Weather, WhenToKill};
use support::{ec2, is_alive, until};

const CREATE: &str = "Action=CreateVpc&CidrBlock=10.0.0.0/16";

#[test]
fn a_cloud_answers_logs_lists_and_forgets() -> Result<()> {
    let cloud = Sandbox::start(Weather::default())?;
    assert_eq!(cloud.inventory()?.len(), 0);
    let (status, body) = ec2(cloud.port(), CREATE)?;
    assert_eq!(status, 200, "{body}");
    let calls = cloud.calls()?;
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].name(), "ec2:CreateVpc");
    assert!(calls[0].mutating && calls[0].succeeded());
    assert_eq!(calls[0].region, "eu-west-1");
    assert_eq!(cloud.inventory()?["eu-west-1/ec2/vpcs"].len(), 1);
    cloud.clear_calls()?;
    assert_eq!(cloud.calls()?, []);
    cloud.reset()?;
    assert_eq!(cloud.inventory()?.len(), 0);
    Ok(())
}

#[test]
fn the_environment_leads_to_this_cloud_and_nowhere_else() -> Result<()> {
    let cloud = Sandbox::start(Weather::default())?;
    let environment = cloud.environment();
    assert!(environment.contains(&("AWS_ENDPOINT_URL".into(), cloud.endpoint())));
    assert!(environment.contains(&("AWS_EC2_METADATA_DISABLED".into(), "true".into())));
    assert!(environment.iter().all(|(name, _)| name != "AWS_REGION"));
    Ok(())
}

#[test]
fn every_field_of_the_weather_reaches_the_cloud() -> Result<()> {
    let weather = Weather {
        create_seconds: [(Kind::Cluster, 1.0)].into(),
        delete_seconds: [(Kind::LoadBalancer, 2.0)].into(),
        latency_ms: 1.0,
        throttled: 0.1,
        server_error: 0.1,
        lost_answer: 0.1,
        lost_answer_reads: true,
        seed: 3,
        role_delay_seconds: 1.0,
        kill_at: Some(100),
        kill_when: WhenToKill::Before,
        deny: vec!["ec2:CreateVpc".into()],
        expired: false,
        invalid_credentials: false,
        insufficient_capacity: vec!["m5.large".into()],
        fleet_limit: Some(1),
        quotas: [("L-F678F1CE".to_owned(), 1.0)].into(),
        late_log_writes: true,
        queue_name_seconds: 1.0,
        callers: vec!["*karpenter.sh*".to_owned()],
        calls: vec!["ec2:*".to_owned()],
        kubernetes: KubernetesWeather {
            callers: vec!["inside".to_owned()],
            latency_ms: 1.0,
            throttled: 0.1,
            server_error: 0.1,
            lost_answer: 0.1,
            seed: 3,
            kill_at: Some(100),
            kill_when: WhenToKill::Before,
            unreachable: true,
        },
        fail: vec![FailOnce { call: "ec2:CreateVpc".into(), code: "Unlucky".into(), message: "m".into(), status: 400 }],
        ..Weather::default()
    }
    .takes(Kind::Nat, 4.0);
    let cloud = Sandbox::start(weather.clone())?;
    let (_, text) = support::get(cloud.port(), "/sandbox/weather")?;
    assert_eq!(serde_json::from_str::<Weather>(&text)?, weather);
    cloud.set_weather(&Weather::default())?;
    let (_, text) = support::get(cloud.port(), "/sandbox/weather")?;
    assert_eq!(serde_json::from_str::<Weather>(&text)?, Weather::default());
    Ok(())
}

#[test]
fn the_weather_changes_what_calls_answer() -> Result<()> {
    let cloud = Sandbox::start(Weather { deny: vec!["ec2:*".into()], ..Weather::default() })?;
    let (status, body) = ec2(cloud.port(), CREATE)?;
    assert_eq!(status, 403);
    assert!(body.contains("UnauthorizedOperation"), "{body}");
    cloud.set_weather(&Weather::default())?;
    assert_eq!(ec2(cloud.port(), CREATE)?.0, 200);
    Ok(())
}

#[test]
fn time_can_be_let_pass() -> Result<()> {
    let cloud = Sandbox::start(Weather::default().takes(Kind::Nat, 600.0))?;
    let id = |text: &str, tag: &str| {
        let inner = text.split(&format!("<{tag}>")).nth(1).unwrap_or_default();
        inner.split('<').next().unwrap_or_default().to_owned()
    };
    let vpc = id(&ec2(cloud.port(), CREATE)?.1, "vpcId");
    let create = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.0.0/24");
    let subnet = id(&ec2(cloud.port(), &create)?.1, "subnetId");
    let create = format!("Action=CreateNatGateway&SubnetId={subnet}&ConnectivityType=private");
    assert_eq!(id(&ec2(cloud.port(), &create)?.1, "state"), "pending");
    cloud.forward(700.0)?;
    let described = ec2(cloud.port(), "Action=DescribeNatGateways")?.1;
    assert_eq!(id(&described, "state"), "available");
    Ok(())
}

#[test]
fn clouds_side_by_side_know_nothing_of_each_other() -> Result<()> {
    let (one, two) = (Sandbox::start(Weather::default())?, Sandbox::start(Weather::default())?);
    ec2(one.port(), CREATE)?;
    assert!(!one.inventory()?.is_empty());
    assert!(two.inventory()?.is_empty());
    Ok(())
}

#[test]
fn a_dropped_cloud_is_gone() -> Result<()> {
    let cloud = Sandbox::start(Weather::default())?;
    let pid = cloud.process_id();
    assert!(is_alive(pid));
    drop(cloud);
    until("the cloud is gone", || !is_alive(pid))
}
