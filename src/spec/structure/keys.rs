//! Keys that are unknown or missing: the likely one, where the key belongs, or why there is none.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::schema::description;
use super::values::first_sentence;
use super::{formats, holder_of};
use crate::spec::document::{Path, Span};
use crate::spec::problem::{Problem, holds_secrets, list, nearest, quoted};

/// Keys that people write out of habit from other tools: where, what, why it is not here, and what to do.
/// `*` stands for every place.
const HABITS: &[(&str, &[&str], &str, &str)] = &[
    (
        "database",
        &["password", "masterPassword", "masterUserPassword", "passwordSecret"],
        "RDS makes the password itself and keeps it in Secrets Manager, so that it never stands in a file, a plan or a log",
        "remove the line; `eksup outputs` names the secret that holds the password",
    ),
    (
        "database",
        &["publiclyAccessible", "public"],
        "databases stand in the private subnets, always",
        "remove the line; `allowFrom` lets in further networks that reach the VPC",
    ),
    (
        "*",
        &["password", "accessKey", "secretKey", "secretAccessKey", "awsSecretAccessKey", "token"],
        "a stack file holds no secrets: it is made to be shared, and its values end up in plans and API calls",
        "remove the line; eksup uses the credentials of your environment or profile",
    ),
    ("cluster", &["name"], "the cluster has the name of the stack", "remove the line, and set `metadata.name`"),
    (
        "cluster",
        &["authenticationMode", "accessConfig", "awsAuth"],
        "access to the cluster is by access entries alone",
        "remove the line, and list who may do what under `access`",
    ),
    (
        "cluster",
        &["subnetIds", "vpcId", "vpc"],
        "the cluster stands in the private subnets of `network`",
        "remove the line; for a VPC of others see `network.existing`",
    ),
    (
        "cluster.nodeGroups[]",
        &["desired", "desiredSize", "desiredCapacity"],
        "the number of nodes belongs to whoever scales the group, and is never set again once the group stands",
        "write `initial` for the number to begin with",
    ),
    (
        "cluster.nodeGroups[]",
        &["remoteAccess", "sshKey", "ssh", "keyName"],
        "nodes are reached through Session Manager, without keys or open ports",
        "remove the line",
    ),
    (
        "metadata",
        &["namespace", "account", "accountId", "profile"],
        "the account is that of the credentials that eksup runs with",
        "remove the line",
    ),
    ("bastion", &["ami", "amiId", "imageId"], "the bastion is the current Amazon Linux 2023", "remove the line"),
    (
        "workloads.autoscaling[]",
        &["replicas", "desired"],
        "the number of replicas belongs to the HorizontalPodAutoscaler",
        "remove the line; `min` and `max` are the bounds",
    ),
    (
        "",
        &["spec"],
        "the sections stand at the top of the file",
        "remove `spec:`, and move what is under it two columns to the left",
    ),
];

/// Words that other tools use for a key: where, theirs, ours.
const SYNONYMS: &[(&str, &str, &str)] = &[
    ("network", "vpcCidr", "cidr"),
    ("network", "cidrBlock", "cidr"),
    ("network", "availabilityZones", "zones"),
    ("network", "azs", "zones"),
    ("network", "natGateway", "nat"),
    ("network", "natGateways", "nat"),
    ("network", "vpcEndpoints", "endpoints"),
    ("network", "nacls", "networkAcls"),
    ("network", "acls", "networkAcls"),
    ("network", "vpcId", "existing"),
    ("network", "vpc", "existing"),
    ("network", "publicSubnetIds", "existing"),
    ("network", "privateSubnetIds", "existing"),
    ("bastion", "type", "instanceType"),
    ("bastion", "allowedCidrs", "allowFrom"),
    ("bastion", "allowedCidr", "allowFrom"),
    ("bastion", "sshKey", "keyName"),
    ("bastion", "key", "keyName"),
    ("bastion", "packages", "tools"),
    ("database", "class", "instanceClass"),
    ("database", "instanceType", "instanceClass"),
    ("database", "engineVersion", "version"),
    ("database", "allocatedStorage", "storage"),
    ("database", "maxAllocatedStorage", "maxStorage"),
    ("database", "dbName", "name"),
    ("database", "databaseName", "name"),
    ("database", "masterUsername", "username"),
    ("database", "user", "username"),
    ("database", "backupRetention", "backupRetentionDays"),
    ("database", "backupRetentionPeriod", "backupRetentionDays"),
    ("database", "storageEncrypted", "encrypted"),
    ("database", "kmsKey", "kmsKeyId"),
    ("database", "multiAZ", "multiAz"),
    ("cluster", "kubernetesVersion", "version"),
    ("cluster", "k8sVersion", "version"),
    ("cluster", "nodes", "nodeGroups"),
    ("cluster", "managedNodeGroups", "nodeGroups"),
    ("cluster", "logs", "logging"),
    ("cluster", "enabledLogTypes", "logging"),
    ("cluster", "accessEntries", "access"),
    ("cluster", "serviceIpv4Cidr", "serviceCidr"),
    ("cluster", "supportType", "upgradePolicy"),
    ("cluster", "kmsKey", "secretsKey"),
    ("cluster", "publicCidrs", "endpoint"),
    ("cluster.endpoint", "publicAccess", "public"),
    ("cluster.endpoint", "privateAccess", "private"),
    ("cluster.endpoint", "publicAccessCidrs", "publicCidrs"),
    ("cluster.endpoint", "cidrs", "publicCidrs"),
    ("cluster.access[]", "principalArn", "principal"),
    ("cluster.access[]", "arn", "principal"),
    ("cluster.access[]", "role", "principal"),
    ("cluster.access[]", "user", "principal"),
    ("cluster.access[]", "namespace", "namespaces"),
    ("cluster.nodeGroups[]", "minSize", "min"),
    ("cluster.nodeGroups[]", "maxSize", "max"),
    ("cluster.nodeGroups[]", "instanceType", "instanceTypes"),
    ("cluster.nodeGroups[]", "instances", "instanceTypes"),
    ("cluster.nodeGroups[]", "volumeSize", "diskSize"),
    ("cluster.nodeGroups[]", "capacityType", "capacity"),
    ("cluster.nodeGroups[]", "amiFamily", "amiType"),
    ("cluster.nodeGroups[]", "ami", "amiType"),
    ("cluster.addons[]", "configurationValues", "configuration"),
    ("cluster.addons[]", "config", "configuration"),
    ("cluster.addons[]", "addonVersion", "version"),
    ("identity", "type", "mode"),
    ("identity.serviceAccounts[]", "policy", "policyFile"),
    ("identity.serviceAccounts[]", "policyArns", "managedPolicies"),
    ("identity.serviceAccounts[]", "policies", "managedPolicies"),
    ("identity.serviceAccounts[]", "serviceAccount", "name"),
    ("interruption", "mode", "engine"),
    ("interruption", "type", "engine"),
    ("autoscaler", "type", "engine"),
    ("autoscaler", "pools", "nodePools"),
    ("autoscaler", "classes", "nodeClasses"),
    ("autoscaler", "ec2NodeClasses", "nodeClasses"),
    ("addons", "awsLoadBalancerController", "loadBalancerController"),
    ("addons", "albController", "loadBalancerController"),
    ("addons", "lbc", "loadBalancerController"),
    ("network.networkAcls.public.ingress[]", "port", "ports"),
    ("network.networkAcls.public.egress[]", "port", "ports"),
    ("network.networkAcls.private.ingress[]", "port", "ports"),
    ("network.networkAcls.private.egress[]", "port", "ports"),
    ("addons.loadBalancerController", "replicaCount", "replicas"),
    ("addons.loadBalancerController", "tag", "version"),
    ("addons.loadBalancerController", "enableShield", "shield"),
    ("addons.loadBalancerController", "enableWaf", "waf"),
    ("addons.metricsServer", "replicaCount", "replicas"),
    ("addons.metricsServer", "tag", "version"),
    ("addons.metricsServer", "metricResolution", "resolution"),
    ("workloads", "files", "manifests"),
    ("workloads", "hpa", "autoscaling"),
    ("workloads", "hpas", "autoscaling"),
    ("workloads.autoscaling[]", "minReplicas", "min"),
    ("workloads.autoscaling[]", "maxReplicas", "max"),
    ("workloads.autoscaling[]", "scaleTargetRef", "target"),
    ("workloads.autoscaling[]", "behaviour", "behavior"),
    ("workloads.autoscaling[]", "targetCPUUtilizationPercentage", "cpu"),
    ("", "vpc", "network"),
    ("", "eks", "cluster"),
    ("", "rds", "database"),
    ("", "db", "database"),
    ("", "karpenter", "autoscaler"),
    ("", "addOns", "addons"),
    ("", "apps", "workloads"),
    ("", "hpa", "workloads"),
];

/// Keys that belong into one section only, for those who write them elsewhere.
const HOMES: &[(&str, &str)] = &[
    ("keyName", "bastion"),
    ("region", "metadata"),
    ("tags", "metadata"),
    ("nodeGroups", "cluster"),
    ("endpoints", "network"),
    ("zones", "network"),
    ("cidr", "network"),
    ("nat", "network"),
    ("publicSubnets", "network"),
    ("privateSubnets", "network"),
    ("nodePools", "autoscaler"),
    ("nodeClasses", "autoscaler"),
    ("serviceAccounts", "identity"),
    ("multiAz", "database"),
    ("instanceClass", "database"),
    ("logging", "cluster"),
    ("metricsServer", "addons"),
    ("loadBalancerController", "addons"),
    ("manifests", "workloads"),
    ("autoscaling", "workloads"),
];

/// Whether a key is the name, or a secret's name with a typo.
fn is_meant(name: &str, key: &str) -> bool {
    name == key || (holds_secrets(name) && nearest(key, [name]).is_some())
}

/// The message for a key that is not known at a place, and the known key that was meant, if one is likely.
pub(super) fn unknown<'a>(
    path: &Path,
    key: &str,
    span: &Span,
    known: &[&'a str],
    given: &HashSet<String>,
) -> (Problem, Option<&'a str>) {
    let place = path.pattern();
    let holder = if path.is_root() { "a stack file".to_owned() } else { holder_of(path) };
    let habit = HABITS
        .iter()
        .find(|(where_, keys, ..)| (*where_ == place || *where_ == "*") && keys.iter().any(|name| is_meant(name, key)));
    if let Some((_, _, why, help)) = habit {
        let message = format!("{} cannot stand in {holder}", quoted(key));
        return (Problem::error(span.clone(), message, *help).because(*why), None);
    }
    let message = format!("{} is not a key of {holder}", quoted(key));
    let synonym = SYNONYMS
        .iter()
        .find(|(where_, theirs, _)| *where_ == place && theirs.eq_ignore_ascii_case(key))
        .and_then(|(_, _, ours)| known.iter().find(|name| *name == ours));
    let likely = synonym.copied().or_else(|| nearest(key, known.iter().copied()));
    if let Some(likely) = likely {
        let help = match given.contains(likely) {
            true => format!("`{likely}` is given already; remove one of the two"),
            false if likely == "existing" => {
                "write `existing: { vpcId: vpc-…, publicSubnetIds: […], privateSubnetIds: […] }`".to_owned()
            }
            false => format!("write `{likely}`"),
        };
        return (Problem::error(span.clone(), message, help), Some(likely));
    }
    if place == "cluster.addons[]" && !known.is_empty() && formats::is_known_addon(key) {
        let help = format!("write `name: {key}`, with `version` and `configuration` beside it");
        return (Problem::error(span.clone(), message, help), Some("name"));
    }
    let home = HOMES.iter().find(|(name, home)| *name == key && !place.starts_with(home));
    if let Some((_, home)) = home {
        let help = format!("move it to `{home}`");
        return (Problem::error(span.clone(), message, help), None);
    }
    let help = match known.is_empty() {
        true => format!("remove it; {holder} has no keys yet"),
        false => format!("remove it; there are {}", list(known)),
    };
    (Problem::error(span.clone(), message, help), None)
}

/// The message for a key that is not known at a place, without a guess at what was meant.
pub(super) fn unexplained(path: &Path, key: &str, span: &Span) -> Problem {
    let holder = if path.is_root() { "a stack file".to_owned() } else { holder_of(path) };
    Problem::error(span.clone(), format!("{} is not a key of {holder}", quoted(key)), "remove it")
}

/// The message for keys that a place needs.
pub(super) fn missing(
    root: &Json,
    properties: &serde_json::Map<String, Json>,
    path: &Path,
    names: &[&str],
    span: Span,
) -> Problem {
    let meaning = |name: &&str| {
        let text = properties.get(*name).and_then(|schema| description(root, schema));
        text.map(|text| format!("`{name}`: {}", first_sentence(text)))
    };
    let meanings: Vec<String> = names.iter().filter_map(meaning).collect();
    let noun = if names.len() == 1 { "the key" } else { "the keys" };
    let lines: Vec<String> = names.iter().map(|name| sample(path, name)).collect();
    let problem = Problem::error(
        span,
        format!("{} lacks {noun} {}", holder_of(path), list(names)),
        format!("add {}", lines.join(", ")),
    );
    match meanings.is_empty() {
        true => problem,
        false => problem.because(meanings.join("; ")),
    }
}

/// A line that gives a missing key a value.
fn sample(path: &Path, name: &str) -> String {
    let value = match (path.pattern().as_str(), name) {
        ("", "apiVersion") => "eksup.dev/v1",
        ("", "kind") => "Stack",
        ("", "metadata") => "{ name: shop, region: eu-central-1 }",
        ("metadata", "name") => "shop",
        ("metadata", "region") => "eu-central-1",
        ("database", "engine") => "mariadb",
        ("database", "version") => "\"10.11\"",
        ("cluster", "version") => "\"1.35\"",
        ("cluster.nodeGroups[]", "name") => "system",
        ("cluster.nodeGroups[]", "instanceTypes") => "[t3.medium]",
        ("cluster.nodeGroups[]", "max") => "3",
        ("cluster.access[]", "policy") => "clusterAdmin",
        ("cluster.access[]", "principal") => "arn:aws:iam::<account>:role/<name>",
        ("autoscaler", "engine") => "eksup",
        ("autoscaler.nodePools[]" | "autoscaler.nodeClasses[]", "name") => "default",
        ("autoscaler.nodePools[]" | "autoscaler.nodeClasses[]", "spec") => "{ … }",
        ("workloads.autoscaling[]", "target") => "deployment/backend",
        ("workloads.autoscaling[]", "max") => "10",
        ("network.existing", "vpcId") => "vpc-…",
        ("network.existing", "privateSubnetIds") => "[subnet-…, subnet-…]",
        (_, "cidr") => "10.0.0.0/16",
        (_, "ruleNumber") => "100",
        (_, "action") => "allow",
        (_, "effect") => "NoSchedule",
        _ => "…",
    };
    format!("`{name}: {value}`")
}
