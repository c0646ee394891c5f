//! What the environment and flags say, under the names that Karpenter uses.

use clap::Args;
use std::time::Duration;

use super::memory;
use crate::autoscaler::api::duration;
use crate::autoscaler::cloud::CloudSettings;
use crate::autoscaler::state::quantity::Quantity;

/// The settings as they are written: each is an environment variable, and a flag of the same name.
#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// The EKS cluster whose nodes are scaled.
    #[arg(long, env = "CLUSTER_NAME", value_name = "NAME")]
    pub cluster_name: Option<String>,
    /// The address of its API server; asked of EKS when left out.
    #[arg(long, env = "CLUSTER_ENDPOINT", value_name = "URL")]
    pub cluster_endpoint: Option<String>,
    /// Its certificate authority, PEM in base64; asked of EKS when left out.
    #[arg(long, env = "CLUSTER_CA_BUNDLE", value_name = "BASE64")]
    pub cluster_ca_bundle: Option<String>,
    /// The SQS queue that announces interruptions; none when empty.
    #[arg(long, env = "INTERRUPTION_QUEUE", value_name = "NAME")]
    pub interruption_queue: Option<String>,
    /// Where metrics are served.
    #[arg(long, env = "METRICS_PORT", value_name = "PORT", default_value = "8080")]
    pub metrics_port: String,
    /// Where health and readiness are served.
    #[arg(long, env = "HEALTH_PROBE_PORT", value_name = "PORT", default_value = "8081")]
    pub health_probe_port: String,
    /// The most requests to the API server a second.
    #[arg(long, env = "KUBE_CLIENT_QPS", value_name = "NUMBER", default_value = "1000")]
    pub kube_client_qps: String,
    /// The most requests to the API server at once.
    #[arg(long, env = "KUBE_CLIENT_BURST", value_name = "NUMBER", default_value = "1500")]
    pub kube_client_burst: String,
    /// The container's memory in bytes, of which nine tenths are warned about; -1 is without a limit.
    #[arg(long, env = "MEMORY_LIMIT", value_name = "BYTES", default_value = "-1", allow_hyphen_values = true)]
    pub memory_limit: String,
    /// The container's share of processors; decides how many threads work.
    #[arg(long, env = "CPU_REQUESTS", value_name = "QUANTITY", default_value = "1000m")]
    pub cpu_requests: String,
    /// `debug`, `info`, `warn` or `error`.
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
    /// The longest pause between pods of one decision; adaptive when left out.
    #[arg(long, env = "BATCH_IDLE_DURATION", value_name = "DURATION")]
    pub batch_idle_duration: Option<String>,
    /// The longest that pods are gathered for one decision; adaptive when left out.
    #[arg(long, env = "BATCH_MAX_DURATION", value_name = "DURATION")]
    pub batch_max_duration: Option<String>,
    /// `Respect` or `Ignore`: whether preferences of pods are looked at.
    #[arg(long, env = "PREFERENCE_POLICY", value_name = "POLICY", default_value = "Respect")]
    pub preference_policy: String,
    /// `Strict` or `BestEffort`: what becomes of minValues that cannot be had.
    #[arg(long, env = "MIN_VALUES_POLICY", value_name = "POLICY", default_value = "Strict")]
    pub min_values_policy: String,
    /// Whether pods are told how dear it is to let them go, so that a scale-in empties nodes.
    #[arg(long, env = "POD_DELETION_COST", value_name = "BOOL", default_value = "true")]
    pub pod_deletion_cost: String,
    /// Whether pods with resource claims are left alone.
    #[arg(long, env = "IGNORE_DRA_REQUESTS", value_name = "BOOL", default_value = "true")]
    pub ignore_dra_requests: String,
    /// Accepted for compatibility; there is no profiler.
    #[arg(long, env = "ENABLE_PROFILING", value_name = "BOOL", default_value = "false")]
    pub enable_profiling: String,
    /// Whether this process acts without asking who leads.
    #[arg(long, env = "DISABLE_LEADER_ELECTION", value_name = "BOOL", default_value = "false")]
    pub disable_leader_election: String,
    /// The Lease that decides who leads.
    #[arg(long, env = "LEADER_ELECTION_NAME", value_name = "NAME", default_value = "karpenter-leader-election")]
    pub leader_election_name: String,
    /// The namespace of the Lease; that of the pod when left out.
    #[arg(long, env = "LEADER_ELECTION_NAMESPACE", value_name = "NAMESPACE")]
    pub leader_election_namespace: Option<String>,
    /// The share of memory that the hypervisor keeps.
    #[arg(long, env = "VM_MEMORY_OVERHEAD_PERCENT", value_name = "SHARE", default_value = "0.075")]
    pub vm_memory_overhead_percent: String,
    /// Network interfaces that pods do not get.
    #[arg(long, env = "RESERVED_ENIS", value_name = "NUMBER", default_value = "0")]
    pub reserved_enis: String,
    /// Whether only EC2 can be reached, without IAM and the price list.
    #[arg(long, env = "ISOLATED_VPC", value_name = "BOOL", default_value = "false")]
    pub isolated_vpc: String,
    /// Whether the control plane is EKS's own to run this in.
    #[arg(long, env = "EKS_CONTROL_PLANE", value_name = "BOOL", default_value = "false")]
    pub eks_control_plane: String,
    /// How often images are looked up again.
    #[arg(long, env = "AMI_REFRESH_INTERVAL", value_name = "DURATION", default_value = "1m")]
    pub ami_refresh_interval: String,
    /// How often subnets are looked up again.
    #[arg(long, env = "SUBNET_REFRESH_INTERVAL", value_name = "DURATION", default_value = "1m")]
    pub subnet_refresh_interval: String,
    /// Whether permissions are believed without a trial.
    #[arg(long, env = "DISABLE_DRY_RUN", value_name = "BOOL", default_value = "false")]
    pub disable_dry_run: String,
    /// Accepted for compatibility; zones that traffic is shifted away from are treated as all others.
    #[arg(long, env = "ENABLE_ZONAL_SHIFT", value_name = "BOOL", default_value = "false")]
    pub enable_zonal_shift: String,
    /// `Name=true,Other=false`.
    #[arg(long, env = "FEATURE_GATES", value_name = "GATES", default_value = "")]
    pub feature_gates: String,
}

/// Functions that can be switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct FeatureGates {
    /// Capacity reservations are used.
    pub reserved_capacity: bool,
    /// Nodes that stay unhealthy are replaced.
    pub node_repair: bool,
    /// Spot nodes are replaced by cheaper spot nodes.
    pub spot_to_spot_consolidation: bool,
    /// NodeOverlays count.
    pub node_overlay: bool,
    /// `spec.replicas` of a pool counts.
    pub static_capacity: bool,
    /// CapacityBuffers count.
    pub capacity_buffer: bool,
}

impl Default for FeatureGates {
    fn default() -> Self {
        Self {
            reserved_capacity: true,
            node_repair: false,
            spot_to_spot_consolidation: false,
            node_overlay: false,
            static_capacity: false,
            capacity_buffer: false,
        }
    }
}

/// The settings, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The EKS cluster.
    pub cluster_name: String,
    /// The address of its API server, if it is told.
    pub cluster_endpoint: Option<String>,
    /// Its certificate authority, if it is told.
    pub cluster_ca_bundle: Option<String>,
    /// The queue that announces interruptions.
    pub interruption_queue: Option<String>,
    /// Where metrics are served.
    pub metrics_port: u16,
    /// Where health and readiness are served.
    pub health_probe_port: u16,
    /// The most requests to the API server a second.
    pub kube_client_qps: u32,
    /// The most requests to the API server at once.
    pub kube_client_burst: u32,
    /// The container's memory in bytes.
    pub memory_limit: Option<u64>,
    /// The container's processors, in thousandths.
    pub cpu_milli: u32,
    /// The most that is logged.
    pub log_level: LogLevel,
    /// The longest pause between pods of one decision, if it is told.
    pub batch_idle: Option<Duration>,
    /// The longest that pods are gathered, if it is told.
    pub batch_max: Option<Duration>,
    /// Whether preferences of pods are looked at.
    pub preferences: bool,
    /// Whether pods are told how dear it is to let them go.
    pub pod_deletion_cost: bool,
    /// Whether minValues that cannot be had are lowered.
    pub min_values_best_effort: bool,
    /// Whether this process acts without asking who leads.
    pub disable_leader_election: bool,
    /// The Lease that decides who leads.
    pub leader_election_name: String,
    /// Its namespace, if it is told.
    pub leader_election_namespace: Option<String>,
    /// What concerns the cloud.
    pub cloud: CloudSettings,
    /// Functions that can be switched.
    pub gates: FeatureGates,
    /// Words about settings that do nothing.
    pub warnings: Vec<String>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they say")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsError(pub Vec<String>);

impl Settings {
    /// Reads what is written.
    ///
    /// # Errors
    /// Everything that is wrong, each with the name of the setting and what to write instead.
    pub fn read(flags: &Flags) -> Result<Self, SettingsError> {
        let mut faults = Vec::new();
        let read = Reader { faults: &mut faults }.all(flags);
        if faults.is_empty() { Ok(read) } else { Err(SettingsError(faults)) }
    }
}

struct Reader<'a> {
    faults: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn all(mut self, flags: &Flags) -> Settings {
        let text = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let cluster_name = text(&flags.cluster_name).unwrap_or_else(|| {
            self.fault("CLUSTER_NAME", "is not set: name the EKS cluster whose nodes are to be scaled");
            String::new()
        });
        let (gates, warnings) = self.gates(&flags.feature_gates);
        let memory_limit = self.number::<i64>("MEMORY_LIMIT", &flags.memory_limit, -1, "a number of bytes, or -1");
        let memory_limit = u64::try_from(memory_limit).ok().filter(|bytes| *bytes > 0);
        let warnings = warnings.into_iter().chain(memory::too_low(memory_limit)).collect();
        Settings {
            cluster_name,
            cluster_endpoint: text(&flags.cluster_endpoint),
            cluster_ca_bundle: text(&flags.cluster_ca_bundle),
            interruption_queue: text(&flags.interruption_queue),
            metrics_port: self.number("METRICS_PORT", &flags.metrics_port, 8080, "a port"),
            health_probe_port: self.number("HEALTH_PROBE_PORT", &flags.health_probe_port, 8081, "a port"),
            kube_client_qps: self.positive("KUBE_CLIENT_QPS", &flags.kube_client_qps),
            kube_client_burst: self.positive("KUBE_CLIENT_BURST", &flags.kube_client_burst),
            memory_limit,
            cpu_milli: self.processors(&flags.cpu_requests),
            log_level: self.level(&flags.log_level),
            batch_idle: self.optional_duration("BATCH_IDLE_DURATION", flags.batch_idle_duration.as_deref()),
            batch_max: self.optional_duration("BATCH_MAX_DURATION", flags.batch_max_duration.as_deref()),
            preferences: self.choice("PREFERENCE_POLICY", &flags.preference_policy, ["Respect", "Ignore"]),
            min_values_best_effort: !self.choice(
                "MIN_VALUES_POLICY",
                &flags.min_values_policy,
                ["Strict", "BestEffort"],
            ),
            pod_deletion_cost: self.switch("POD_DELETION_COST", &flags.pod_deletion_cost),
            disable_leader_election: self.switch("DISABLE_LEADER_ELECTION", &flags.disable_leader_election),
            leader_election_name: flags.leader_election_name.clone(),
            leader_election_namespace: text(&flags.leader_election_namespace),
            cloud: CloudSettings { reserved_capacity: gates.reserved_capacity, ..self.cloud(flags) },
            gates,
            warnings: self.silent(flags, warnings),
        }
    }

    /// Words about settings that are accepted and do nothing.
    fn silent(&mut self, flags: &Flags, mut warnings: Vec<String>) -> Vec<String> {
        if self.switch("ENABLE_PROFILING", &flags.enable_profiling) {
            warnings.push("ENABLE_PROFILING does nothing here: there is no profiler".to_owned());
        }
        if self.switch("ENABLE_ZONAL_SHIFT", &flags.enable_zonal_shift) {
            warnings.push(
                "ENABLE_ZONAL_SHIFT is not supported: zones that traffic is shifted away from are treated as all others, so \
                 nodes are bought and ended there; leave such a zone out with a requirement on \
                 `topology.kubernetes.io/zone` in the NodePools"
                    .to_owned(),
            );
        }
        if !self.switch("IGNORE_DRA_REQUESTS", &flags.ignore_dra_requests) {
            warnings.push(
                "IGNORE_DRA_REQUESTS=false is not supported: no nodes are bought for pods with resource claims"
                    .to_owned(),
            );
        }
        if self.switch("EKS_CONTROL_PLANE", &flags.eks_control_plane) {
            warnings
                .push("EKS_CONTROL_PLANE does nothing here: the cluster's version is always asked of EKS".to_owned());
        }
        warnings
    }

    fn cloud(&mut self, flags: &Flags) -> CloudSettings {
        let share = "VM_MEMORY_OVERHEAD_PERCENT";
        let memory_overhead = self.number(share, &flags.vm_memory_overhead_percent, 0.075, "a share such as 0.075");
        if !(0.0..1.0).contains(&memory_overhead) {
            self.fault(share, "has to be at least 0 and less than 1: 0.075 is seven and a half percent");
        }
        let reserved_interfaces =
            self.number::<u16>("RESERVED_ENIS", &flags.reserved_enis, 0, "a whole number of zero or more");
        CloudSettings {
            memory_overhead,
            reserved_interfaces: i64::from(reserved_interfaces),
            image_refresh: self.interval("AMI_REFRESH_INTERVAL", &flags.ami_refresh_interval),
            subnet_refresh: self.interval("SUBNET_REFRESH_INTERVAL", &flags.subnet_refresh_interval),
            isolated: self.switch("ISOLATED_VPC", &flags.isolated_vpc),
            disable_dry_run: self.switch("DISABLE_DRY_RUN", &flags.disable_dry_run),
            ..CloudSettings::default()
        }
    }

    fn fault(&mut self, name: &str, what: &str) {
        self.faults.push(format!("`{name}` {what}"));
    }

    fn number<N: std::str::FromStr>(&mut self, name: &str, text: &str, otherwise: N, wanted: &str) -> N {
        text.trim().parse().unwrap_or_else(|_| {
            self.fault(name, &format!("is `{text}`, which is not {wanted}"));
            otherwise
        })
    }

    fn positive(&mut self, name: &str, text: &str) -> u32 {
        let number = self.number(name, text, 1_u32, "a whole number above zero");
        if number == 0 {
            self.fault(name, "is 0, which lets no request through: write a whole number above zero");
        }
        number.max(1)
    }

    fn switch(&mut self, name: &str, text: &str) -> bool {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "t" => true,
            "false" | "0" | "f" | "" => false,
            _ => {
                self.fault(name, &format!("is `{text}`: write `true` or `false`"));
                false
            }
        }
    }

    /// Whether it is the first of two.
    fn choice(&mut self, name: &str, text: &str, [first, second]: [&str; 2]) -> bool {
        if text != first && text != second {
            self.fault(name, &format!("is `{text}`: write `{first}` or `{second}`"));
        }
        text != second
    }

    fn level(&mut self, text: &str) -> LogLevel {
        match text.trim().to_ascii_lowercase().as_str() {
            "debug" => LogLevel::Debug,
            "info" | "" => LogLevel::Info,
            "warn" | "warning" => LogLevel::Warn,
            "error" => LogLevel::Error,
            _ => {
                self.fault("LOG_LEVEL", &format!("is `{text}`: write `debug`, `info`, `warn` or `error`"));
                LogLevel::Info
            }
        }
    }

    fn processors(&mut self, text: &str) -> u32 {
        let milli = Quantity::parse(text).ok().and_then(|quantity| u32::try_from(quantity.milli()).ok());
        milli.filter(|milli| *milli > 0).unwrap_or_else(|| {
            self.fault("CPU_REQUESTS", &format!("is `{text}`, which is no amount of processors: write `500m` or `2`"));
            1000
        })
    }

    fn duration(&mut self, name: &str, text: &str) -> Duration {
        // Fractions of a second are cut by the reader of the API's durations, and count here.
        let milliseconds = text.strip_suffix("ms").and_then(|number| number.parse::<u64>().ok());
        if let Some(milliseconds) = milliseconds {
            return Duration::from_millis(milliseconds);
        }
        duration::seconds(text).map(Duration::from_secs).unwrap_or_else(|error| {
            self.fault(name, &format!("is {error}"));
            Duration::ZERO
        })
    }

    fn optional_duration(&mut self, name: &str, text: Option<&str>) -> Option<Duration> {
        text.filter(|text| !text.trim().is_empty()).map(|text| self.duration(name, text))
    }

    fn interval(&mut self, name: &str, text: &str) -> Duration {
        let before = self.faults.len();
        let read = self.duration(name, text);
        if read < Duration::from_secs(60) && self.faults.len() == before {
            self.fault(name, &format!("is `{text}`, which is too often: write `1m` or more"));
        }
        read.max(Duration::from_secs(60))
    }

    /// `Name=true,Other=false`, and words about names that are not known.
    fn gates(&mut self, text: &str) -> (FeatureGates, Vec<String>) {
        let (mut gates, mut warnings) = (FeatureGates::default(), Vec::new());
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                self.fault(
                    "FEATURE_GATES",
                    &format!("has `{part}`: write `Name=true` or `Name=false`, with commas between"),
                );
                continue;
            };
            let value = self.switch(&format!("FEATURE_GATES: {}", name.trim()), value);
            match name.trim() {
                "ReservedCapacity" => gates.reserved_capacity = value,
                "NodeRepair" => gates.node_repair = value,
                "SpotToSpotConsolidation" => gates.spot_to_spot_consolidation = value,
                "NodeOverlay" => gates.node_overlay = value,
                "StaticCapacity" => gates.static_capacity = value,
                "CapacityBuffer" => gates.capacity_buffer = value,
                other => warnings.push(format!(
                    "FEATURE_GATES names `{other}`, which is unknown and does nothing; known are ReservedCapacity, \
                     NodeRepair, SpotToSpotConsolidation, NodeOverlay, StaticCapacity and CapacityBuffer"
                )),
            }
        }
        (gates, warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn read(words: &[&str]) -> Result<Settings, SettingsError> {
        let words = std::iter::once("run").chain(words.iter().copied());
        Settings::read(&Line::try_parse_from(words).expect("a command line").flags)
    }

    #[test]
    fn defaults_are_those_of_karpenter_but_for_the_pace_at_which_pods_are_told() {
        let settings = read(&["--cluster-name", "shop"]).expect("settings");
        assert_eq!((settings.metrics_port, settings.health_probe_port), (8080, 8081));
        assert_eq!((settings.kube_client_qps, settings.kube_client_burst), (1000, 1500));
        assert_eq!((settings.memory_limit, settings.cpu_milli), (None, 1000));
        assert_eq!((settings.batch_idle, settings.batch_max), (None, None));
        assert!(settings.preferences && !settings.min_values_best_effort);
        assert!(!settings.disable_leader_election && settings.gates == FeatureGates::default());
        assert_eq!(settings.leader_election_name, "karpenter-leader-election");
        assert_eq!(settings.cloud, CloudSettings::default());
        assert!(settings.warnings.is_empty());
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_name() {
        let words = ["--metrics-port", "http", "--preference-policy", "Maybe", "--ami-refresh-interval", "5s"];
        let SettingsError(faults) = read(&words).expect_err("faults");
        for name in ["CLUSTER_NAME", "METRICS_PORT", "PREFERENCE_POLICY", "AMI_REFRESH_INTERVAL"] {
            assert!(faults.iter().any(|fault| fault.starts_with(&format!("`{name}`"))), "{name} in {faults:?}");
        }
    }

    #[test]
    fn what_is_accepted_and_does_nothing_is_said() {
        let settings = read(&["--cluster-name", "shop", "--enable-zonal-shift", "true"]).expect("settings");
        assert!(matches!(settings.warnings.as_slice(), [one] if one.contains("ENABLE_ZONAL_SHIFT is not supported")));
    }

    #[test]
    fn a_gate_that_nobody_knows_is_named_and_stops_nothing() {
        let gates = "NodeRepair=true,SpotToSpotConsolidation=true,Later=true";
        let settings = read(&["--cluster-name", "shop", "--feature-gates", gates]).expect("settings");
        assert!(settings.gates.node_repair && settings.gates.spot_to_spot_consolidation);
        assert!(matches!(settings.warnings.as_slice(), [warning] if warning.contains("`Later`")));
        assert!(read(&["--cluster-name", "shop", "--feature-gates", "NodeRepair"]).is_err());
    }
}
