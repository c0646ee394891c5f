//! `eksup autoscaler run`, from settings to controllers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use aws_config::BehaviorVersion;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client, Config};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::context::{Context, ServerVersion};
use super::events::Events;
use super::gauges::Gauges;
use super::goods::Goods;
use super::leader::{Candidate, Election};
use super::metrics::Metrics;
use super::server::{Answer, Pages, serve};
use super::settings::Settings;
use super::shared::Shared;
use super::{memory, pace, pod_times, quarantine, watches};
use crate::autoscaler::cloud::{ClusterFacts, Ec2, IpFamily};
use crate::autoscaler::lifecycle::{
    collector, consolidatable, disrupting, drift, launch, node_class, node_pool, nodes, provisioning, repairer, tagging,
};
use crate::autoscaler::state::live::Live;
use crate::autoscaler::{interruption, steering, termination};
use crate::aws::{Cloud, CloudError, call, watch_calls};

/// How long whoever has to stop may take.
const LAST_WORDS: Duration = Duration::from_secs(8);
/// For how long the cluster is asked for at the start.
const DISCOVERY: Duration = Duration::from_secs(120);

/// A controller: it acts until `stop`, and only while this process leads.
struct Controller {
    name: &'static str,
    run: fn(Context, CancellationToken) -> BoxFuture<'static, Result<()>>,
}

/// Everything that acts. To add one, write `pub async fn run(context: Context, stop: CancellationToken) -> Result<()>`
/// and a line here.
const CONTROLLERS: &[Controller] = &[
    Controller { name: "quarantine", run: |context, stop| quarantine::run(context, stop).boxed() },
    Controller { name: "pods", run: |context, stop| pod_times::run(context, stop).boxed() },
    Controller { name: "nodepool", run: |context, stop| node_pool::run(context, stop).boxed() },
    Controller { name: "nodeclass", run: |context, stop| node_class::run(context, stop).boxed() },
    Controller { name: "consolidatable", run: |context, stop| consolidatable::run(context, stop).map(Ok).boxed() },
    Controller { name: "drift", run: |context, stop| drift::run(context, stop).map(Ok).boxed() },
    Controller { name: "disrupting", run: |context, stop| disrupting::run(context, stop).map(Ok).boxed() },
    Controller { name: "provisioning", run: |context, stop| provisioning::run(context, stop).boxed() },
    Controller { name: "launch", run: |context, stop| launch::run(context, stop).boxed() },
    Controller { name: "nodes", run: |context, stop| nodes::run(context, stop).boxed() },
    Controller { name: "tagging", run: |context, stop| tagging::run(context, stop).boxed() },
    Controller { name: "steering", run: |context, stop| steering::run(context, stop).boxed() },
    Controller { name: "termination", run: |context, stop| termination::run(context, stop).boxed() },
    Controller { name: "interruption", run: |context, stop| interruption::run(context, stop).boxed() },
    Controller { name: "garbage", run: |context, stop| collector::run(context, stop).boxed() },
    Controller { name: "repair", run: |context, stop| repairer::run(context, stop).boxed() },
];

/// Runs until `stop`.
///
/// # Errors
/// What keeps it from starting: no way into the cluster, no credentials, a port that is taken.
pub async fn run(settings: Settings, stop: CancellationToken) -> Result<()> {
    settings.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let settings = Arc::new(settings);
    let (tasks, live, metrics) = (TaskTracker::new(), Shared::<Live>::default(), Arc::new(Metrics::new()));
    metrics.collect(Box::new(Gauges::of(&live)));
    let counted = Arc::clone(&metrics);
    watch_calls(Box::new(move |action, took, failure| counted.called(action, took, failure)));
    tasks.spawn(memory::watch(settings.memory_limit, Arc::clone(&metrics), stop.clone()));
    serve_pages(&settings, &live, &metrics, &stop, &tasks).await?;

    let config = kube_config().await?;
    let plain = Client::try_from(config.clone()).context("the API server's address cannot be used")?;
    let client = pace::within(plain, settings.kube_client_qps, settings.kube_client_burst);
    watches::start(&client, &live, &stop, &tasks);

    let cloud = connect().await?;
    let Some((facts, version)) = until_stopped(&stop, discover(&client, &cloud, &settings)).await else {
        return Ok(());
    };
    let (facts, version) = (facts?, version);
    tracing::info!(
        cluster = facts.name,
        endpoint = facts.endpoint,
        version = format!("1.{}", facts.minor),
        "the cluster is known"
    );
    let context = Context {
        events: Events::new(client.clone(), Arc::clone(&metrics)),
        cloud: Arc::new(Ec2::new(cloud, facts, settings.cloud.clone())),
        client,
        settings,
        live,
        metrics,
        version,
        instances: Default::default(),
        plan: Default::default(),
        market: Default::default(),
        launches: Default::default(),
        reserved: Default::default(),
    };
    context.metrics.collect(Box::new(Goods::of(&context.live, &context.market)));
    if until_stopped(&stop, synced(&context.live)).await.is_none() {
        return Ok(());
    }
    tracing::info!("everything has been listed");
    let ended = lead(config, &context, &stop).await;
    tasks.close();
    let _ = tokio::time::timeout(LAST_WORDS, tasks.wait()).await;
    ended
}

async fn until_stopped<T>(stop: &CancellationToken, what: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        result = what => Some(result),
        () = stop.cancelled() => None,
    }
}

async fn serve_pages(
    settings: &Settings,
    live: &Shared<Live>,
    metrics: &Arc<Metrics>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<()> {
    let metrics = Arc::clone(metrics);
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let numbers: Pages = Arc::new(move |path| (path == "/metrics").then(|| Answer(200, text, metrics.text())));
    let live = live.clone();
    let health: Pages = Arc::new(move |path| match path {
        "/healthz" => Some(Answer::text(200, "ok")),
        "/readyz" if live.lock().all_synced() => Some(Answer::text(200, "ok")),
        "/readyz" => Some(Answer::text(503, "not everything has been listed yet")),
        _ => None,
    });
    for (name, port, pages) in
        [("METRICS_PORT", settings.metrics_port, numbers), ("HEALTH_PROBE_PORT", settings.health_probe_port, health)]
    {
        let served = serve(port, pages, stop, tasks).await;
        served.with_context(|| format!("port {port} cannot be had; choose another one with `{name}`"))?;
    }
    Ok(())
}

/// The kubeconfig that the environment names, or the pod's service account.
async fn kube_config() -> Result<Config> {
    let mut config = Config::infer().await.context(
        "there is no way into the cluster: run this in a pod with a service account, or name a kubeconfig in `KUBECONFIG`",
    )?;
    config.connect_timeout = Some(Duration::from_secs(10));
    let agent = http::HeaderValue::from_static(concat!("eksup-autoscaler/", env!("CARGO_PKG_VERSION")));
    config.headers.push((http::header::USER_AGENT, agent));
    Ok(config)
}

async fn connect() -> Result<Cloud> {
    let config = aws_config::defaults(BehaviorVersion::latest()).load().await;
    if config.region().is_none() {
        return Err(anyhow!("no AWS region is known: set `AWS_REGION`"));
    }
    Cloud::with(config).await.context("AWS cannot be used")
}

/// What nodes have to know of the cluster: as the settings say, else as EKS says.
async fn discover(client: &Client, cloud: &Cloud, settings: &Settings) -> (Result<ClusterFacts>, ServerVersion) {
    let began = tokio::time::Instant::now();
    let mut pause = Duration::from_millis(500);
    loop {
        match (facts(client, cloud, settings).await, client.apiserver_version().await) {
            (Ok(facts), Ok(version)) => {
                let version = ServerVersion::of(&version, facts.minor);
                return (Ok(facts), version);
            }
            (facts, version) => {
                let error =
                    facts.err().or(version.err().map(anyhow::Error::from)).unwrap_or_else(|| anyhow!("nothing"));
                if began.elapsed() > DISCOVERY {
                    return (Err(error), ServerVersion::default());
                }
                tracing::warn!(error = format!("{error:#}"), "the cluster cannot be looked up, and is asked for again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            }
        }
    }
}

async fn facts(client: &Client, cloud: &Cloud, settings: &Settings) -> Result<ClusterFacts> {
    let name = &settings.cluster_name;
    let request = cloud.read.eks.describe_cluster().name(name);
    let answer = call("eks:DescribeCluster", request.send()).await;
    let answer = answer.with_context(|| format!("the cluster `{name}` (`CLUSTER_NAME`) cannot be looked up"))?;
    let cluster = answer.cluster.ok_or_else(|| CloudError::incomplete("eks:DescribeCluster", "cluster"))?;
    let network = cluster.kubernetes_network_config();
    let family = match network.and_then(|network| network.ip_family()).map(|family| family.as_str()) {
        Some("ipv6") => IpFamily::V6,
        _ => IpFamily::V4,
    };
    let cidr = network.and_then(|network| match family {
        IpFamily::V4 => network.service_ipv4_cidr(),
        IpFamily::V6 => network.service_ipv6_cidr(),
    });
    let authority = cluster.certificate_authority().and_then(|authority| authority.data());
    let told = |setting: &Option<String>, found: Option<&str>| setting.clone().or(found.map(str::to_owned));
    let minor = cluster.version().and_then(|version| version.split('.').nth(1)?.parse().ok());
    Ok(ClusterFacts {
        name: name.clone(),
        endpoint: told(&settings.cluster_endpoint, cluster.endpoint())
            .with_context(|| format!("the cluster `{name}` has no endpoint yet"))?,
        certificate_authority: told(&settings.cluster_ca_bundle, authority)
            .with_context(|| format!("the cluster `{name}` has no certificate authority yet"))?,
        service_cidr: cidr.unwrap_or_default().to_owned(),
        dns_ip: dns(client, cidr.unwrap_or_default()).await?,
        minor: minor.with_context(|| format!("the cluster `{name}` has no version"))?,
        ip_family: family,
    })
}

/// The address of the cluster's DNS: that of its service, else the tenth of the services' addresses.
async fn dns(client: &Client, cidr: &str) -> Result<String> {
    let service = Api::<Service>::namespaced(client.clone(), "kube-system").get_opt("kube-dns").await;
    let service = match service {
        Err(error @ kube::Error::Api(_)) => {
            tracing::debug!(%error, "the service `kube-dns` cannot be read");
            None
        }
        other => other.context("the service `kube-dns` cannot be read")?,
    };
    let address = service.and_then(|service| service.spec?.cluster_ip).filter(|ip| !ip.is_empty() && ip != "None");
    Ok(address.unwrap_or_else(|| tenth(cidr).unwrap_or_default()))
}

fn tenth(cidr: &str) -> Option<String> {
    match cidr.parse().ok()? {
        ipnet::IpNet::V4(net) => Some(std::net::Ipv4Addr::from(u32::from(net.network()).checked_add(10)?).to_string()),
        ipnet::IpNet::V6(net) => Some(std::net::Ipv6Addr::from(u128::from(net.network()).checked_add(10)?).to_string()),
    }
}

async fn synced(live: &Shared<Live>) {
    let mut changes = live.changes(&crate::autoscaler::state::live::Kind::ALL);
    loop {
        changes.next().await;
        if live.lock().all_synced() {
            return;
        }
    }
}

/// Acts whenever this process leads, and follows when it does not.
async fn lead(config: Config, context: &Context, stop: &CancellationToken) -> Result<()> {
    if context.settings.disable_leader_election {
        act(context, stop, std::future::pending()).await;
        return Ok(());
    }
    let namespace = context.settings.leader_election_namespace.clone();
    let candidate = Candidate {
        name: context.settings.leader_election_name.clone(),
        namespace: namespace.unwrap_or_else(|| config.default_namespace.clone()),
        identity: identity(),
    };
    let election = Election::start(config, candidate).context("no thread can be started for the Lease")?;
    let mut leads = election.leads();
    loop {
        let elected = tokio::select! {
            elected = leads.wait_for(|leads| *leads) => elected.is_ok(),
            () = stop.cancelled() => break,
        };
        if !elected {
            return Err(anyhow!("the election has ended"));
        }
        let mut until = leads.clone();
        act(context, stop, async move {
            let _ = until.wait_for(|leads| !*leads).await;
        })
        .await;
        if stop.is_cancelled() {
            break;
        }
    }
    election.withdraw().await;
    Ok(())
}

/// A name that no other process has.
fn identity() -> String {
    let host = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "eksup".to_owned());
    format!("{host}_{:x}_{:x}", std::process::id(), jiff::Timestamp::now().as_nanosecond())
}

/// Runs every controller until `stop`, or until `lost`; none is left behind.
async fn act(context: &Context, stop: &CancellationToken, lost: impl Future<Output = ()>) {
    context.metrics.leads.set([], 1.0);
    tracing::info!(controllers = CONTROLLERS.len(), "this process leads and acts");
    let (context, halt, mut running) = (context.anew(), stop.child_token(), tokio::task::JoinSet::new());
    context.launches.begin(halt.clone());
    for controller in CONTROLLERS {
        running.spawn(keep_running(controller, context.clone(), halt.clone()));
    }
    tokio::select! {
        () = stop.cancelled() => {}
        () = lost => tracing::warn!("the Lease is lost: this process follows"),
    }
    context.metrics.leads.set([], 0.0);
    halt.cancel();
    let ended = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_WORDS, ended).await.is_err() {
        tracing::warn!("controllers did not stop in time, and are cut off");
        running.shutdown().await;
    }
}

/// A controller that fails or panics is started again; the others do not notice.
async fn keep_running(controller: &'static Controller, context: Context, stop: CancellationToken) {
    let mut pause = Duration::from_secs(1);
    while !stop.is_cancelled() {
        let began = tokio::time::Instant::now();
        let (context, stopped) = (context.clone(), stop.clone());
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move { (controller.run)(context, stopped).await });
        match task.join_next().await {
            Some(Ok(Ok(()))) if stop.is_cancelled() => return,
            Some(Ok(Ok(()))) | None => tracing::error!(controller = controller.name, "has ended, and is started again"),
            Some(Ok(Err(error))) => {
                let error = format!("{error:#}");
                tracing::error!(controller = controller.name, error, "has failed, and is started again");
            }
            Some(Err(panic)) => {
                tracing::error!(controller = controller.name, %panic, "is broken, and is started again")
            }
        }
        if began.elapsed() > Duration::from_secs(60) {
            pause = Duration::from_secs(1);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
        pause = (pause * 2).min(Duration::from_secs(30));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_has_the_tenth_address_of_the_services() {
        assert_eq!(tenth("10.100.0.0/16").as_deref(), Some("10.100.0.10"));
        assert_eq!(tenth("fd00:1::/108").as_deref(), Some("fd00:1::a"));
        assert_eq!(tenth(""), None);
    }
}
