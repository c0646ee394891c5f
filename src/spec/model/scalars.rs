//! Small values with a meaning: address ranges, sizes, versions, ports, architectures.

use std::{borrow::Cow, fmt, net::Ipv4Addr, str::FromStr};

use ipnet::Ipv4Net;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An IPv4 network without host bits, such as `10.0.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(Ipv4Net);

impl Cidr {
    /// Every address: `0.0.0.0/0`.
    pub const EVERYWHERE: Self = Self(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));

    /// The network with this prefix length that contains the address; a length above 32 counts as 32.
    pub fn from_octets(octets: [u8; 4], prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self(Ipv4Net::new_assert(octets.into(), prefix).trunc())
    }

    /// The network as the `ipnet` crate has it.
    pub fn net(self) -> Ipv4Net {
        self.0
    }

    /// The prefix length, 0 to 32.
    pub fn prefix(self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether `other` lies inside this network, or is the same.
    pub fn contains(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether the two networks have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Why a text is not a [`Cidr`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// It is no IPv4 network at all.
    #[error("not an IPv4 network such as `10.0.0.0/16`")]
    Malformed,
    /// It names an address inside a network, not the network.
    #[error("has host bits set; the network is `{0}`")]
    HostBits(Cidr),
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let net = Ipv4Net::from_str(text).map_err(|_| CidrError::Malformed)?;
        match net == net.trunc() {
            true => Ok(Self(net)),
            false => Err(CidrError::HostBits(Self(net.trunc()))),
        }
    }
}

/// A size in whole GiB, written `20Gi` or `1Ti`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gibibytes(pub u32);

impl fmt::Display for Gibibytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            size if size >= 1024 && size % 1024 == 0 => write!(formatter, "{}Ti", size / 1024),
            size => write!(formatter, "{size}Gi"),
        }
    }
}

/// A text is not a [`Gibibytes`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a size such as `20Gi`")]
pub struct SizeError;

impl FromStr for Gibibytes {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let (digits, factor) = match (text.strip_suffix("Gi"), text.strip_suffix("Ti")) {
            (Some(digits), _) => (digits, 1),
            (_, Some(digits)) => (digits, 1024),
            _ => return Err(SizeError),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SizeError);
        }
        let count: u32 = digits.parse().map_err(|_| SizeError)?;
        count.checked_mul(factor).map(Self).ok_or(SizeError)
    }
}

/// A Kubernetes minor version, such as `1.35`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubernetesVersion {
    /// The part before the dot.
    pub major: u16,
    /// The part after the dot.
    pub minor: u16,
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// A text is not a [`KubernetesVersion`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Kubernetes minor version such as `1.35`")]
pub struct VersionError;

impl FromStr for KubernetesVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let number = |part: &str| -> Result<u16, VersionError> {
            let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let padded = part.len() > 1 && part.starts_with('0');
            if plain && !padded { part.parse().map_err(|_| VersionError) } else { Err(VersionError) }
        };
        let (major, minor) = text.split_once('.').ok_or(VersionError)?;
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

/// A port or a range of ports, both ends included; written `443`, `"443"` or `1024-65535`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The first port.
    pub from: u16,
    /// The last port.
    pub to: u16,
}

impl fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from == self.to {
            true => write!(formatter, "{}", self.from),
            false => write!(formatter, "{}-{}", self.from, self.to),
        }
    }
}

/// A text is not a [`PortRange`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a port or a range such as `443` or `1024-65535`")]
pub struct PortError;

impl FromStr for PortRange {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let port = |part: &str| part.trim().parse::<u16>().map_err(|_| PortError);
        let range = Self { from: port(from)?, to: port(to)? };
        if range.from <= range.to { Ok(range) } else { Err(PortError) }
    }
}

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Intel and AMD.
    X86_64,
    /// Graviton.
    Arm64,
}

impl Architecture {
    /// The architecture of an EC2 instance type, told from its name: Graviton families have a `g` right after
    /// the generation (`m7g`, `c6gn`, `t4g`), and `a1` was the first of them.
    pub fn of_instance_type(name: &str) -> Self {
        let family = name.split('.').next().unwrap_or(name);
        let letters = family.trim_start_matches(|character: char| character.is_ascii_lowercase());
        let attributes = letters.trim_start_matches(|character: char| character.is_ascii_digit());
        match family == "a1" || attributes.starts_with('g') {
            true => Self::Arm64,
            false => Self::X86_64,
        }
    }

    /// The name that Kubernetes uses: `amd64` or `arm64`.
    pub fn as_kubernetes_str(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The name that AWS uses: `x86_64` or `arm64`.
    pub fn as_aws_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

/// Serialises by `Display`, deserialises by `FromStr`, and publishes a string schema with a format.
macro_rules! textual {
    ($type:ty, $name:literal, $format:literal, $description:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "description": $description })
            }
        }
    };
}

textual!(Cidr, "Cidr", "cidr", "An IPv4 network, such as `10.0.0.0/16`.");
textual!(Gibibytes, "Size", "size", "A size in whole GiB, such as `20Gi` or `1Ti`.");
textual!(
    KubernetesVersion,
    "KubernetesVersion",
    "kubernetes-version",
    "A Kubernetes minor version as a string, such as `\"1.35\"`."
);

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Port(u16),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Port(port) => Ok(Self { from: port, to: port }),
            Form::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

impl JsonSchema for PortRange {
    fn schema_name() -> Cow<'static, str> {
        "PortRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A port or a range of ports, such as `443` or `1024-65535`.",
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": 65535 },
                { "type": "string", "format": "port-range" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_no_host_bits() {
        assert_eq!("10.0.0.0/16".parse::<Cidr>().map(|cidr| cidr.to_string()), Ok("10.0.0.0/16".to_owned()));
        let network = Cidr::from_octets([10, 0, 0, 0], 16);
        assert_eq!("10.0.3.1/16".parse::<Cidr>(), Err(CidrError::HostBits(network)));
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/16", "::/0", " 10.0.0.0/16"] {
            assert_eq!(text.parse::<Cidr>(), Err(CidrError::Malformed), "{text}");
        }
    }

    #[test]
    fn sizes_are_whole_gibibytes() {
        assert_eq!("20Gi".parse(), Ok(Gibibytes(20)));
        assert_eq!("2Ti".parse(), Ok(Gibibytes(2048)));
        assert_eq!(Gibibytes(2048).to_string(), "2Ti");
        assert_eq!(Gibibytes(2049).to_string(), "2049Gi");
        for text in ["", "Gi", "20", "20G", "-1Gi", "+1Gi", "1.5Gi", "4294967296Gi", "4194304Ti"] {
            assert_eq!(text.parse::<Gibibytes>(), Err(SizeError), "{text}");
        }
    }

    #[test]
    fn versions_compare_by_number() {
        let version = |text: &str| text.parse::<KubernetesVersion>();
        assert!(version("1.9").unwrap() < version("1.35").unwrap());
        assert_eq!(version("1.35").map(|version| version.to_string()), Ok("1.35".to_owned()));
        for text in ["", "1", "1.", ".1", "1.035", "v1.35", "1.35.1", "1.99999", "1.+5"] {
            assert_eq!(version(text), Err(VersionError), "{text}");
        }
    }

    #[test]
    fn ports_are_one_or_a_range() {
        assert_eq!("443".parse(), Ok(PortRange { from: 443, to: 443 }));
        assert_eq!("1024-65535".parse(), Ok(PortRange { from: 1024, to: 65535 }));
        for text in ["", "-", "2-1", "65536", "a", "1-2-3"] {
            assert_eq!(text.parse::<PortRange>(), Err(PortError), "{text}");
        }
    }

    #[test]
    fn graviton_is_told_from_the_name() {
        for name in [
            "a1.large",
            "t4g.micro",
            "m7g.large",
            "c6gn.xlarge",
            "r8gd.2xlarge",
            "x2gd.large",
            "im4gn.large",
            "is4gen.large",
            "g5g.xlarge",
            "hpc7g.4xlarge",
        ] {
            assert_eq!(Architecture::of_instance_type(name), Architecture::Arm64, "{name}");
        }
        for name in [
            "t3.medium",
            "m5.large",
            "g4dn.xlarge",
            "g5.xlarge",
            "g6e.xlarge",
            "gr6.4xlarge",
            "p5en.48xlarge",
            "trn1.2xlarge",
            "c7i-flex.large",
            "u-6tb1.metal",
            "x86",
        ] {
            assert_eq!(Architecture::of_instance_type(name), Architecture::X86_64, "{name}");
        }
    }
}
