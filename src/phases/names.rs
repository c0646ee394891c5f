//! Names that AWS wants to be unique, derived from the stack and nothing else.

use crate::plan::Fingerprint;

const IAM_LIMIT: usize = 64;

/// The name of an IAM role or instance profile of the stack: `shop-eu-central-1-cluster`.
///
/// IAM knows no regions, so the region is part of the name; a name that would be too long ends in
/// a fingerprint of itself.
pub fn iam(stack: &str, region: &str, purpose: &str) -> String {
    shortened(format!("{stack}-{region}-{purpose}"), IAM_LIMIT)
}

/// The path below which every IAM thing of the stack lives: what is there is the stack's.
pub fn iam_path(stack: &str, region: &str) -> String {
    format!("/eksup/{region}/{stack}/")
}

/// The identifier of the stack's database, and the name of its subnet group: `shop-database`.
pub fn database(stack: &str) -> String {
    format!("{stack}-database")
}

/// The name of the queue for interruption notices: the cluster's, as autoscalers expect it.
pub fn interruption_queue(cluster: &str) -> String {
    cluster.to_owned()
}

/// What the names of all of the stack's event rules begin with.
pub fn event_rule_prefix(stack: &str) -> String {
    format!("{stack}-")
}

/// The name of an event rule. With a `purpose` of up to 17 characters it fits EventBridge's 64.
pub fn event_rule(stack: &str, purpose: &str) -> String {
    format!("{}{purpose}", event_rule_prefix(stack))
}

/// The name of the CloudFormation stack that holds what an autoscaler needs.
pub fn cloudformation_stack(cluster: &str) -> String {
    format!("Karpenter-{cluster}")
}

/// `text` if it fits into `limit` characters, else its beginning and a fingerprint of all of it.
pub fn shortened(text: String, limit: usize) -> String {
    if text.len() <= limit {
        return text;
    }
    let fingerprint = Fingerprint::short(&text, 8);
    let kept: String = text.chars().take(limit - fingerprint.len() - 1).collect();
    format!("{}-{fingerprint}", kept.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_fits_and_stays_distinct() {
        let stack = "a".repeat(46);
        let (one, other) =
            (iam(&stack, "ap-northeast-2", "default-reader"), iam(&stack, "ap-northeast-2", "default-writer"));
        assert!(one.len() <= IAM_LIMIT && other.len() <= IAM_LIMIT);
        assert_ne!(one, other);
    }
}
