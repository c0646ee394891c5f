//! Facts about IPv4 networks that several rules need.

use crate::spec::model::Cidr;

/// The networks that are meant for private use: RFC 1918 and the shared range of RFC 6598.
const PRIVATE: [([u8; 4], u8); 4] =
    [([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16), ([100, 64, 0, 0], 10)];

/// The networks that no VPC can have.
const UNUSABLE: [([u8; 4], u8); 4] =
    [([0, 0, 0, 0], 8), ([127, 0, 0, 0], 8), ([169, 254, 0, 0], 16), ([224, 0, 0, 0], 3)];

/// Whether every address is meant for private use.
pub(super) fn is_private(cidr: Cidr) -> bool {
    PRIVATE.iter().any(|(octets, prefix)| Cidr::from_octets(*octets, *prefix).contains(cidr))
}

/// Whether every address is one of RFC 1918's.
pub(super) fn is_rfc1918(cidr: Cidr) -> bool {
    PRIVATE[..3].iter().any(|(octets, prefix)| Cidr::from_octets(*octets, *prefix).contains(cidr))
}

/// Whether some address can belong to no host.
pub(super) fn is_unusable(cidr: Cidr) -> bool {
    UNUSABLE.iter().any(|(octets, prefix)| Cidr::from_octets(*octets, *prefix).overlaps(cidr))
}
