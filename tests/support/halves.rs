//! The AWS half of a stack file: what can be built on a cloud that has no Kubernetes.

/// The sections that are made of objects in the cluster.
const IN_THE_CLUSTER: &[&str] = &["addons:", "workloads:"];

/// `stack` without what runs in its cluster. Of an autoscaler stays what it needs in AWS: that of eksup's own is that of
/// one that somebody else installs.
pub fn aws_half(stack: &str) -> String {
    let stack = stack.replace("  engine: eksup\n", "  engine: karpenter\n");
    let mut inside = false;
    let kept = stack.lines().filter(|line| {
        let begins_a_section = line.starts_with(|first: char| first.is_ascii_alphabetic());
        if begins_a_section {
            inside = IN_THE_CLUSTER.iter().any(|section| line.starts_with(section));
        }
        !inside
    });
    kept.map(|line| format!("{line}\n")).collect()
}
