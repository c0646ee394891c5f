//! The formats of text values that the schema names: an example of each, and what is wrong with a text that is none.

mod arns;
mod aws;
mod kubernetes;
mod values;

use crate::spec::problem::quoted;

pub(super) use aws::is_known_addon;
pub(crate) use aws::known_regions;

/// A format: its name in the schema, a text that has it, and the check.
pub(crate) struct Format {
    pub(crate) name: &'static str,
    pub(crate) example: &'static str,
    pub(crate) check: fn(&str) -> Result<(), Complaint>,
}

/// What is wrong with a text. `what` goes on after "`name` is `text`, …".
pub(crate) struct Complaint {
    pub(crate) what: String,
    pub(crate) why: Option<String>,
    pub(crate) help: String,
}

impl Complaint {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), why: None, help: help.into() }
    }

    fn because(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }
}

const fn format(name: &'static str, example: &'static str, check: fn(&str) -> Result<(), Complaint>) -> Format {
    Format { name, example, check }
}

/// Every format.
pub(crate) const FORMATS: &[Format] = &[
    format("stack-name", "shop", values::stack_name),
    format("cidr", "10.0.0.0/16", values::cidr),
    format("size", "20Gi", values::size),
    format("port-range", "1024-65535", values::port_range),
    format("kubernetes-version", "1.35", values::kubernetes_version),
    format("engine-version", "10.11", values::engine_version),
    format("release-version", "v1.2.3", values::release_version),
    format("region", "eu-central-1", aws::region),
    format("zone-name", "eu-central-1a", aws::zone_name),
    format("vpc-id", "vpc-0123456789abcdef0", aws::vpc_id),
    format("subnet-id", "subnet-0123456789abcdef0", aws::subnet_id),
    format("endpoint-service", "ecr.api", aws::endpoint_service),
    format("instance-type", "t3.medium", aws::instance_type),
    format("instance-class", "db.t3.small", aws::instance_class),
    format("kms-key", "alias/database", arns::kms_key),
    format("kms-key-arn", "arn:aws:kms:<region>:<account>:key/<id>", arns::kms_key_arn),
    format("principal-arn", "arn:aws:iam::<account>:role/<name>", arns::principal_arn),
    format("policy-arn", "arn:aws:iam::aws:policy/<name>", arns::policy_arn),
    format("addon-name", "vpc-cni", aws::addon_name),
    format("addon-version", "v1.20.0-eksbuild.1", aws::addon_version),
    format("node-group-name", "system", aws::node_group_name),
    format("namespace", "default", kubernetes::namespace),
    format("namespace-pattern", "team-*", kubernetes::namespace_pattern),
    format("service-account-name", "backend", kubernetes::object_name),
    format("object-name", "default", kubernetes::object_name),
    format("image-name", "public.ecr.aws/eks/aws-load-balancer-controller", kubernetes::image_name),
    format("image-tag", "0.1.0", kubernetes::image_tag),
    format("cpu-quantity", "100m", kubernetes::cpu_quantity),
    format("memory-quantity", "128Mi", kubernetes::memory_quantity),
    format("scale-target", "deployment/backend", kubernetes::scale_target),
    format("label-key", "example.com/team", kubernetes::label_key),
    format("label-value", "web", kubernetes::label_value),
];

/// The format with this name.
pub(crate) fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// Whether a text has a format; what is wrong with it and what to write instead, if it has not.
pub(crate) fn check_format(name: &str, text: &str) -> Result<(), String> {
    let Some(format) = find(name) else {
        return Ok(());
    };
    (format.check)(text).map_err(|complaint| format!("{}, {}; {}", quoted(text), complaint.what, complaint.help))
}

/// Whether every character is one of those that the check allows, and there is at least one.
fn made_of(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(name: &str, text: &str) -> bool {
        find(name).is_some_and(|format| (format.check)(text).is_ok())
    }

    #[test]
    fn the_example_of_each_format_has_it_unless_it_has_a_gap_to_fill() {
        for format in FORMATS.iter().filter(|format| !format.example.contains('<')) {
            assert!((format.check)(format.example).is_ok(), "{}", format.name);
        }
    }

    #[test]
    fn no_format_accepts_nothing_or_panics_on_odd_text() {
        for format in FORMATS {
            for text in ["", " ", "ü", "\u{1f980}", "-", ".", ":", "/", "arn:", "a".repeat(300).as_str()] {
                let accepted = (format.check)(text).is_ok();
                let may_be_empty = format.name == "label-value" && text.is_empty();
                assert!(may_be_empty || !accepted || text.len() == 300, "{} {text}", format.name);
            }
        }
    }

    #[test]
    fn arns_are_told_apart() {
        let account = "111122223333";
        let role = format!("arn:aws:iam::{account}:role/path/admin");
        assert!(accepts("principal-arn", &role));
        assert!(accepts("principal-arn", &format!("arn:aws-cn:iam::{account}:user/ann")));
        assert!(!accepts("principal-arn", &format!("arn:aws:iam::{account}:root")));
        assert!(!accepts("principal-arn", &format!("arn:aws:sts::{account}:assumed-role/admin/ann")));
        let linked = format!("arn:aws:iam::{account}:role/aws-service-role/eks.amazonaws.com/X");
        assert!(!accepts("principal-arn", &linked));
        assert!(accepts("policy-arn", "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"));
        assert!(accepts("policy-arn", &format!("arn:aws:iam::{account}:policy/mine")));
        assert!(!accepts("policy-arn", &role));
        let key = format!("arn:aws:kms:eu-central-1:{account}:key/11111111-2222-3333-4444-555555555555");
        assert!(accepts("kms-key-arn", &key));
        assert!(accepts("kms-key", "alias/db"));
        assert!(accepts("kms-key", "11111111-2222-3333-4444-555555555555"));
        assert!(!accepts("kms-key-arn", "alias/db"));
    }

    #[test]
    fn names_of_zones_and_regions_are_told_apart() {
        assert!(accepts("region", "ap-northeast-2"));
        assert!(accepts("region", "us-gov-west-1"));
        assert!(!accepts("region", "ap-northeast-2a"));
        assert!(!accepts("region", "ap-northest-2"));
        assert!(accepts("zone-name", "ap-northeast-2a"));
        assert!(!accepts("zone-name", "ap-northeast-2"));
        assert!(!accepts("zone-name", "us-west-2-lax-1a"));
    }
}
