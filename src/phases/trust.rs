//! Who may take a role: trust policies.

use serde_json::{Value, json};

use super::Cluster;
use crate::spec::IdentityMode;

/// A service account in a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// A service of AWS takes the role: `eks.amazonaws.com`.
pub fn service(name: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Principal": { "Service": name }, "Action": "sts:AssumeRole" }],
    })
}

/// EC2 takes the role for its instances.
pub fn ec2(partition: &str) -> Value {
    service(if partition == "aws-cn" { "ec2.amazonaws.com.cn" } else { "ec2.amazonaws.com" })
}

/// The pods of one service account in one cluster take the role, and nobody else.
pub fn pods(account: Account<'_>, mode: IdentityMode, cluster: &Cluster) -> Value {
    match (mode, &cluster.oidc_provider) {
        (IdentityMode::Irsa, Some(provider)) => web_identity(account, provider.arn.as_str(), provider.issuer.as_str()),
        _ => pod_identity(account, &cluster.arn),
    }
}

fn web_identity(account: Account<'_>, provider: &str, issuer: &str) -> Value {
    let subject = format!("system:serviceaccount:{}:{}", account.namespace, account.name);
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Federated": provider },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    format!("{issuer}:aud"): "sts.amazonaws.com",
                    format!("{issuer}:sub"): subject,
                },
            },
        }],
    })
}

/// EKS takes the role for a pod, and says in session tags for which one.
fn pod_identity(account: Account<'_>, cluster: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "pods.eks.amazonaws.com" },
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {
                "StringEquals": {
                    "aws:RequestTag/eks-cluster-arn": cluster,
                    "aws:RequestTag/kubernetes-namespace": account.namespace,
                    "aws:RequestTag/kubernetes-service-account": account.name,
                },
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_identity_is_bound_to_subject_and_audience() {
        let trust = web_identity(Account { namespace: "default", name: "backend" }, "arn:p", "host/id/A");
        let equals = &trust["Statement"][0]["Condition"]["StringEquals"];
        assert_eq!(equals["host/id/A:sub"], "system:serviceaccount:default:backend");
        assert_eq!(equals["host/id/A:aud"], "sts.amazonaws.com");
    }

    #[test]
    fn a_pod_identity_is_bound_to_cluster_and_service_account() {
        let trust = pod_identity(Account { namespace: "default", name: "backend" }, "arn:c");
        let statement = &trust["Statement"][0];
        assert_eq!(statement["Action"], json!(["sts:AssumeRole", "sts:TagSession"]));
        assert_eq!(statement["Condition"]["StringEquals"].as_object().map(serde_json::Map::len), Some(3));
    }

    #[test]
    fn ec2_has_its_own_name_in_china() {
        assert!(ec2("aws-cn").to_string().contains("ec2.amazonaws.com.cn"));
        assert!(!ec2("aws-us-gov").to_string().contains(".cn"));
    }
}
