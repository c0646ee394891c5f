//! Formats of AWS names: regions, zones, ids, types, add-ons.

use super::{Complaint, made_of};
use crate::spec::problem::nearest;

/// The regions that were there when this was written. Others are let through, unless they look like a typo.
const REGIONS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// The regions that are known.
pub(crate) fn known_regions() -> &'static [&'static str] {
    REGIONS
}

/// The part of a region's name before its number.
fn area(region: &str) -> &str {
    region.rsplit_once('-').map_or(region, |(area, _)| area)
}

pub(super) fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [first, middle @ .., number] = parts.as_slice() else {
        return false;
    };
    let letters = |part: &str| made_of(part, |letter| letter.is_ascii_lowercase());
    first.len() == 2
        && letters(first)
        && !middle.is_empty()
        && middle.iter().all(|part| letters(part))
        && number.len() == 1
        && made_of(number, |digit| digit.is_ascii_digit())
}

pub(super) fn region(text: &str) -> Result<(), Complaint> {
    let without_letter = text.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    if without_letter.len() + 1 == text.len() && is_region(without_letter) {
        return Err(Complaint::new("an availability zone, not a region", format!("write `{without_letter}`")));
    }
    if is_region(text) {
        let areas = || REGIONS.iter().map(|region| area(region));
        let own = area(text);
        let typo = nearest(own, areas()).filter(|_| !areas().any(|known| known == own));
        return match typo {
            None => Ok(()),
            Some(meant) => {
                let number = text.rsplit('-').next().unwrap_or("1");
                Err(Complaint::new("a region that nobody knows", format!("write `{meant}-{number}`, if that is meant")))
            }
        };
    }
    Err(Complaint::new(
        "not the name of a region",
        match nearest(text, REGIONS.iter().copied()) {
            Some(region) => format!("write `{region}`, if that is meant"),
            None => "write a region such as `eu-central-1`".to_owned(),
        },
    ))
}

pub(super) fn zone_name(text: &str) -> Result<(), Complaint> {
    let region = text.strip_suffix(|letter: char| letter.is_ascii_lowercase());
    if region.is_some_and(is_region) {
        return Ok(());
    }
    if is_region(text) {
        return Err(Complaint::new("a region, not an availability zone", format!("write its letter too: `{text}a`")));
    }
    if text.len() == 1 && made_of(text, |letter| letter.is_ascii_lowercase()) {
        return Err(Complaint::new(
            "the letter of a zone alone",
            format!("write the whole name, such as `eu-central-1{text}`"),
        ));
    }
    if text.contains("-az") {
        return Err(Complaint::new(
            "the id of a zone, not its name",
            "write the name that your account has for it, such as `eu-central-1a`",
        ));
    }
    Err(Complaint::new("not the name of an availability zone", "write a name such as `eu-central-1a`")
        .because("local zones and wavelength zones hold neither EKS clusters nor databases of this kind"))
}

fn resource_id(text: &str, prefix: &'static str) -> Result<(), Complaint> {
    let hexadecimal = |character: char| matches!(character, '0'..='9' | 'a'..='f');
    let digits = text.strip_prefix(prefix).filter(|digits| made_of(digits, hexadecimal));
    match digits.is_some_and(|digits| matches!(digits.len(), 8 | 17)) {
        true => Ok(()),
        false => Err(Complaint::new(
            format!("not an id that begins with `{prefix}`"),
            format!("write the id as AWS has it: `{prefix}` and 17 hexadecimal digits"),
        )),
    }
}

pub(super) fn vpc_id(text: &str) -> Result<(), Complaint> {
    resource_id(text, "vpc-")
}

pub(super) fn subnet_id(text: &str) -> Result<(), Complaint> {
    resource_id(text, "subnet-")
}

pub(super) fn endpoint_service(text: &str) -> Result<(), Complaint> {
    if text.starts_with("com.amazonaws.") {
        // `com.amazonaws.eu-central-1.ecr.api`: the service begins after the region.
        let service = text.splitn(4, '.').nth(3).unwrap_or("s3");
        return Err(Complaint::new("a full service name", format!("write only its last part, `{service}`")));
    }
    let allowed = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || matches!(character, '.' | '-')
    };
    let ends = |end: char| end.is_ascii_lowercase() || end.is_ascii_digit();
    match made_of(text, allowed) && text.starts_with(ends) && text.ends_with(ends) {
        true => Ok(()),
        false => Err(Complaint::new(
            "not the name of an endpoint service",
            "write the last part of the service's name, such as `s3`, `ecr.api` or `sts`",
        )),
    }
}

/// `family.size`, both of them made of lower-case letters, digits and dashes.
fn is_instance_type(text: &str) -> bool {
    let allowed = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    let Some((family, size)) = text.split_once('.') else {
        return false;
    };
    made_of(family, allowed)
        && made_of(size, allowed)
        && family.contains(|digit: char| digit.is_ascii_digit())
        && family.starts_with(|first: char| first.is_ascii_lowercase())
}

pub(super) fn instance_type(text: &str) -> Result<(), Complaint> {
    if let Some(plain) = text.strip_prefix("db.").filter(|plain| is_instance_type(plain)) {
        return Err(Complaint::new("an instance class of RDS", format!("write `{plain}`")));
    }
    let lower = text.to_lowercase();
    match is_instance_type(text) {
        true => Ok(()),
        false if is_instance_type(&lower) => Err(Complaint::new("not in lower case", format!("write `{lower}`"))),
        false => Err(Complaint::new("not an EC2 instance type", "write a type such as `t3.medium`")),
    }
}

pub(super) fn instance_class(text: &str) -> Result<(), Complaint> {
    match text.strip_prefix("db.") {
        Some(plain) if is_instance_type(plain) => Ok(()),
        None if is_instance_type(text) => Err(Complaint::new("an instance type of EC2", format!("write `db.{text}`"))),
        _ => Err(Complaint::new("not an RDS instance class", "write a class such as `db.t3.small`")),
    }
}

/// Add-ons that are likely to be meant by a name with a typo.
const ADDONS: &[&str] = &[
    "vpc-cni",
    "kube-proxy",
    "coredns",
    "eks-pod-identity-agent",
    "aws-ebs-csi-driver",
    "aws-efs-csi-driver",
    "aws-mountpoint-s3-csi-driver",
    "aws-fsx-csi-driver",
    "snapshot-controller",
    "metrics-server",
    "kube-state-metrics",
    "prometheus-node-exporter",
    "cert-manager",
    "external-dns",
    "fluent-bit",
    "amazon-cloudwatch-observability",
    "adot",
    "eks-node-monitoring-agent",
];

/// Whether this is an add-on that eksup has heard of.
pub(in crate::spec::structure) fn is_known_addon(text: &str) -> bool {
    ADDONS.contains(&text)
}

pub(super) fn addon_name(text: &str) -> Result<(), Complaint> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    if ADDONS.contains(&text) {
        return Ok(());
    }
    let likely = nearest(text, ADDONS.iter().copied()).or(match text {
        "cni" | "amazon-vpc-cni" | "aws-node" => Some("vpc-cni"),
        "ebs-csi" | "ebs-csi-driver" => Some("aws-ebs-csi-driver"),
        "pod-identity-agent" | "pod-identity" => Some("eks-pod-identity-agent"),
        _ => None,
    });
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    match (likely, starts_well && made_of(text, allowed)) {
        (Some(likely), _) => Err(Complaint::new("not an EKS add-on", format!("write `{likely}`"))),
        (None, true) => Ok(()),
        (None, false) => Err(Complaint::new(
            "not the name of an EKS add-on",
            "write a name such as `vpc-cni`; `aws eks describe-addon-versions` lists them",
        )),
    }
}

pub(super) fn addon_version(text: &str) -> Result<(), Complaint> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
    match text.starts_with('v') && text.contains('.') && made_of(text, allowed) {
        true => Ok(()),
        false => Err(Complaint::new(
            "not an add-on version",
            "write the whole version as EKS has it, such as `v1.20.0-eksbuild.1`, or leave it out for the recommended one",
        )),
    }
}

pub(super) fn node_group_name(text: &str) -> Result<(), Complaint> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    if text.chars().count() > 63 {
        return Err(Complaint::new("which is too long", "use 63 characters or fewer"));
    }
    match starts_well && made_of(text, allowed) {
        true => Ok(()),
        false => Err(Complaint::new(
            "which cannot name a node group",
            "use letters, digits, dashes and underscores, with a letter or digit first",
        )),
    }
}
