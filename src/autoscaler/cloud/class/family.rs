//! Families of images: how nodes that run them are told what to do.

/// A family of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Amazon Linux 2.
    Al2,
    /// Amazon Linux 2023.
    Al2023,
    /// Bottlerocket.
    Bottlerocket,
    /// Windows Server 2019.
    Windows2019,
    /// Windows Server 2022.
    Windows2022,
    /// Windows Server 2025.
    Windows2025,
    /// Anything else: the user's own.
    Custom,
}

impl Family {
    /// All of them, by the value of `amiFamily`.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Al2, "AL2"),
        (Self::Al2023, "AL2023"),
        (Self::Bottlerocket, "Bottlerocket"),
        (Self::Windows2019, "Windows2019"),
        (Self::Windows2022, "Windows2022"),
        (Self::Windows2025, "Windows2025"),
        (Self::Custom, "Custom"),
    ];

    /// The family that `amiFamily`, or the first half of an alias, names.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, text)| text.eq_ignore_ascii_case(name)).map(|(family, _)| *family)
    }

    /// The value of `amiFamily`.
    pub fn text(self) -> &'static str {
        Self::ALL.iter().find(|(family, _)| *family == self).map_or("", |(_, text)| text)
    }

    /// Whether it is a Windows.
    pub fn is_windows(self) -> bool {
        matches!(self, Self::Windows2019 | Self::Windows2022 | Self::Windows2025)
    }

    /// The value of the label `node.kubernetes.io/windows-build`.
    pub fn windows_build(self) -> Option<&'static str> {
        match self {
            Self::Windows2019 => Some("10.0.17763"),
            Self::Windows2022 => Some("10.0.20348"),
            Self::Windows2025 => Some("10.0.26100"),
            _ => None,
        }
    }

    /// The value of the label `kubernetes.io/os`.
    pub fn operating_system(self) -> &'static str {
        if self.is_windows() { "windows" } else { "linux" }
    }
}
