//! Label keys that mean something, and which of them users may set.

/// The pool that a node belongs to.
pub const NODE_POOL: &str = "karpenter.sh/nodepool";
/// How a node is paid for.
pub const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
/// The values of [`CAPACITY_TYPE`].
pub const CAPACITY_TYPES: [&str; 3] = ["on-demand", "spot", "reserved"];
/// The capacity reservation of a reserved node.
pub const RESERVATION_ID: &str = "karpenter.k8s.aws/capacity-reservation-id";
/// `default` or `capacity-block`.
pub const RESERVATION_TYPE: &str = "karpenter.k8s.aws/capacity-reservation-type";
/// Whether EC2 may take the capacity back.
pub const RESERVATION_INTERRUPTIBLE: &str = "karpenter.k8s.aws/capacity-reservation-interruptible";
/// The placement group of a node.
pub const PLACEMENT_GROUP_ID: &str = "karpenter.k8s.aws/placement-group-id";

/// Keys under `karpenter.k8s.aws` that requirements may use.
pub(super) const AWS_KEYS: [&str; 31] = [
    "ec2nodeclass",
    "instance-category",
    "instance-family",
    "instance-generation",
    "instance-size",
    "instance-cpu",
    "instance-memory",
    "instance-cpu-manufacturer",
    "instance-cpu-sustained-clock-speed-mhz",
    "instance-ebs-bandwidth",
    "instance-network-bandwidth",
    "instance-hypervisor",
    "instance-encryption-in-transit-supported",
    "instance-capability-flex",
    "instance-local-nvme",
    "instance-gpu-name",
    "instance-gpu-manufacturer",
    "instance-gpu-count",
    "instance-gpu-memory",
    "instance-accelerator-name",
    "instance-accelerator-manufacturer",
    "instance-accelerator-count",
    "instance-tenancy",
    "capacity-reservation-id",
    "capacity-reservation-type",
    "capacity-reservation-interruptible",
    "placement-group-id",
    "placement-group-partition",
    "nitro-sandbox",
    "instance-type",
    "zone",
];

/// Why users may not set a label, if they may not.
pub fn restriction(key: &str) -> Option<&'static str> {
    if key == "kubernetes.io/hostname" {
        return Some("it is different on every node");
    }
    if key == NODE_POOL {
        return Some("it is set to the name of the pool");
    }
    let (domain, name) = key.split_once('/')?;
    let under = |parent: &str| domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
    if under("karpenter.sh") && key != CAPACITY_TYPE {
        return Some(
            "the domain `karpenter.sh` is kept for the autoscaler; of its labels only `karpenter.sh/capacity-type` can be chosen",
        );
    }
    if under("karpenter.k8s.aws") && !(domain == "karpenter.k8s.aws" && AWS_KEYS.contains(&name)) {
        return Some("the domain `karpenter.k8s.aws` is kept for labels of instance types, and this is none of them");
    }
    None
}

/// What is wrong with a label key, if anything: `[domain/]name` as Kubernetes has it.
pub fn key_fault(key: &str) -> Option<String> {
    let (domain, name) = match key.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, key),
    };
    let domain_fine = domain.is_none_or(|domain| {
        !domain.is_empty()
            && domain.len() <= 253
            && domain.split('.').all(|part| {
                !part.is_empty()
                    && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                    && !part.starts_with('-')
                    && !part.ends_with('-')
            })
    });
    (!domain_fine || name.is_empty() || !name_fine(name))
        .then(|| format!("`{key}` is not a label key: write `name` or `domain/name`, the name of at most 63 letters, digits, `-`, `_` and `.`"))
}

/// What is wrong with a label value, if anything.
pub fn value_fault(value: &str) -> Option<String> {
    (!value.is_empty() && !name_fine(value)).then(|| {
        format!("`{value}` is not a label value: at most 63 letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit")
    })
}

fn name_fine(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    name.len() <= 63
        && edge(name.as_bytes().first())
        && edge(name.as_bytes().last())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
