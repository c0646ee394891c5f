//! Formats of eksup's own values: names, networks, sizes, versions.

use super::{Complaint, made_of};
use crate::spec::model::{Cidr, CidrError, Gibibytes, KubernetesVersion, PortRange};

/// `KarpenterNodeRole-<name>` is a role, and role names end at 64 characters.
const LONGEST_STACK_NAME: usize = 46;

pub(super) fn stack_name(text: &str) -> Result<(), Complaint> {
    let length = text.chars().count();
    if length > LONGEST_STACK_NAME {
        return Err(Complaint::new(
            format!("which has {length} characters; {LONGEST_STACK_NAME} is the most"),
            format!("take a name of {LONGEST_STACK_NAME} characters or fewer"),
        )
        .because("`KarpenterNodeRole-<name>` is made from it, and IAM ends role names at 64 characters"));
    }
    let allowed = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    let well_formed = made_of(text, allowed)
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--");
    match well_formed {
        true => Ok(()),
        false => Err(Complaint::new(
            "which cannot name a cluster, a database and roles alike",
            match tidied(text) {
                Some(tidied) => format!("write `{tidied}`"),
                None => "use lower-case letters, digits and single dashes, with a letter first".to_owned(),
            },
        )
        .because(
            "a name has lower-case letters, digits and single dashes, begins with a letter and does not end with a dash",
        )),
    }
}

/// The text as a name, if that takes little.
fn tidied(text: &str) -> Option<String> {
    let letter = |character: char| match character {
        'a'..='z' | '0'..='9' => Some(character),
        'A'..='Z' => Some(character.to_ascii_lowercase()),
        '-' | '_' | '.' | ' ' => Some('-'),
        _ => None,
    };
    let name: String = text.chars().map(letter).collect::<Option<_>>()?;
    let parts: Vec<&str> = name.split('-').filter(|part| !part.is_empty()).collect();
    let name = parts.join("-");
    name.starts_with(|first: char| first.is_ascii_lowercase()).then_some(name)
}

pub(super) fn cidr(text: &str) -> Result<(), Complaint> {
    match text.parse::<Cidr>() {
        Ok(_) => Ok(()),
        Err(CidrError::HostBits(network)) => {
            Err(Complaint::new("which is an address inside a network, not a network", format!("write `{network}`"))
                .because("the bits after the prefix length must be zero"))
        }
        Err(CidrError::Malformed) => Err(malformed_cidr(text)),
    }
}

fn malformed_cidr(text: &str) -> Complaint {
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    if address.parse::<std::net::Ipv4Addr>().is_ok() {
        return match prefix {
            "" => Complaint::new(
                "an address without a prefix length",
                format!("write a network such as `{}`, or `{text}/32` for this address alone", around(address)),
            ),
            _ => Complaint::new(
                format!("and `/{prefix}` is no prefix length"),
                "write a prefix length from 0 to 32, such as `10.0.0.0/16`",
            ),
        };
    }
    if text.contains(':') && address.parse::<std::net::Ipv6Addr>().is_ok() {
        return Complaint::new("an IPv6 network", "write an IPv4 network, such as `10.0.0.0/16`")
            .because("eksup builds IPv4 networks");
    }
    Complaint::new("not an IPv4 network", "write an address and a prefix length, such as `10.0.0.0/16`")
}

/// The /24 that an address lies in.
fn around(address: &str) -> String {
    let octets: std::net::Ipv4Addr = address.parse().unwrap_or(std::net::Ipv4Addr::UNSPECIFIED);
    Cidr::from_octets(octets.octets(), 24).to_string()
}

pub(super) fn size(text: &str) -> Result<(), Complaint> {
    if text.parse::<Gibibytes>().is_ok() {
        return Ok(());
    }
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let unit = text[digits.len()..].trim();
    let decimal = matches!(unit, "G" | "GB" | "g" | "gb" | "Gb" | "GiB" | "gi" | "GI" | "");
    let help = match (digits.is_empty(), decimal) {
        (false, true) => format!("write `{digits}Gi`"),
        _ => "write whole GiB or TiB, such as `20Gi` or `1Ti`".to_owned(),
    };
    Err(Complaint::new("not a size in GiB", help))
}

pub(super) fn port_range(text: &str) -> Result<(), Complaint> {
    if text.parse::<PortRange>().is_ok() {
        return Ok(());
    }
    let help = "write a port or a range of ports from 0 to 65535, such as `443` or `1024-65535`";
    let ends = text.split_once('-').map(|(from, to)| (from.trim().parse::<u32>(), to.trim().parse::<u32>()));
    match ends {
        Some((Ok(from), Ok(to))) if from > to => {
            Err(Complaint::new("a range that ends before it begins", format!("write `{to}-{from}`")))
        }
        _ => Err(Complaint::new("not a port or a range of ports", help)),
    }
}

pub(super) fn kubernetes_version(text: &str) -> Result<(), Complaint> {
    if text.parse::<KubernetesVersion>().is_ok() {
        return Ok(());
    }
    let plain = text.trim_start_matches(['v', 'V']);
    let mut parts = plain.split('.');
    let minor = match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => format!("{major}.{minor}"),
        _ => String::new(),
    };
    let complaint = Complaint::new(
        "not a Kubernetes minor version",
        match minor.parse::<KubernetesVersion>() {
            Ok(minor) => format!("write `\"{minor}\"`"),
            Err(_) => "write a version such as `\"1.35\"`".to_owned(),
        },
    );
    Err(match plain.split('.').count() {
        3 => complaint.because("EKS chooses the patch version"),
        _ => complaint,
    })
}

pub(super) fn engine_version(text: &str) -> Result<(), Complaint> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
    match text.starts_with(|first: char| first.is_ascii_digit()) && made_of(text, allowed) {
        true => Ok(()),
        false => Err(Complaint::new(
            "not an engine version",
            "write the version as RDS has it, such as `\"10.11\"`, `\"8.4\"` or `\"17\"`",
        )),
    }
}

pub(super) fn release_version(text: &str) -> Result<(), Complaint> {
    let numbers = |text: &str| {
        let parts: Vec<&str> = text.split('.').collect();
        parts.len() == 3 && parts.iter().all(|part| made_of(part, |digit| digit.is_ascii_digit()))
    };
    match text.strip_prefix('v') {
        Some(version) if numbers(version) => Ok(()),
        None if numbers(text) => Err(Complaint::new("a version without its `v`", format!("write `v{text}`"))),
        _ => Err(Complaint::new("not a released version", "write a version such as `v3.5.0`")),
    }
}
