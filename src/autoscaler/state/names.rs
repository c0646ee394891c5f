//! The shared tables of one cluster state: strings, resources, and the label keys with a meaning.

use super::intern::{Interner, Symbol};
use super::resources::ResourceTable;

/// Label keys (and the taint keys) that the scheduler treats specially, as text.
pub mod keys {
    /// The host of a pod: every node is a domain of its own.
    pub const HOSTNAME: &str = "kubernetes.io/hostname";
    /// The availability zone.
    pub const ZONE: &str = "topology.kubernetes.io/zone";
    /// The availability zone by its id.
    pub const ZONE_ID: &str = "topology.k8s.aws/zone-id";
    /// The region.
    pub const REGION: &str = "topology.kubernetes.io/region";
    /// The instance type.
    pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
    /// The processor architecture.
    pub const ARCH: &str = "kubernetes.io/arch";
    /// The operating system.
    pub const OS: &str = "kubernetes.io/os";
    /// `spot`, `on-demand` or `reserved`.
    pub const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
    /// The NodePool that a node belongs to.
    pub const NODE_POOL: &str = "karpenter.sh/nodepool";
    /// Whether the hardware is shared: `default` or `dedicated`.
    pub const TENANCY: &str = "karpenter.k8s.aws/instance-tenancy";
    /// Stands for the `metadata.name` field in node affinities with `matchFields`.
    pub const NODE_NAME_FIELD: &str = "metadata.name";

    /// Older spellings and the keys that replaced them.
    pub const ALIASES: [(&str, &str); 6] = [
        ("failure-domain.beta.kubernetes.io/zone", ZONE),
        ("failure-domain.beta.kubernetes.io/region", REGION),
        ("topology.ebs.csi.aws.com/zone", ZONE),
        ("beta.kubernetes.io/instance-type", INSTANCE_TYPE),
        ("beta.kubernetes.io/arch", ARCH),
        ("beta.kubernetes.io/os", OS),
    ];
}

/// Symbols of the keys in [`keys`].
#[derive(Clone, Copy, Debug)]
pub struct WellKnown {
    /// [`keys::HOSTNAME`]
    pub hostname: Symbol,
    /// [`keys::ZONE`]
    pub zone: Symbol,
    /// [`keys::REGION`]
    pub region: Symbol,
    /// [`keys::INSTANCE_TYPE`]
    pub instance_type: Symbol,
    /// [`keys::ARCH`]
    pub arch: Symbol,
    /// [`keys::OS`]
    pub os: Symbol,
    /// [`keys::CAPACITY_TYPE`]
    pub capacity_type: Symbol,
    /// [`keys::NODE_POOL`]
    pub node_pool: Symbol,
    /// [`keys::NODE_NAME_FIELD`]
    pub node_name: Symbol,
    /// The value `on-demand`.
    pub on_demand: Symbol,
    /// The value `spot`.
    pub spot: Symbol,
    /// The value `reserved`.
    pub reserved: Symbol,
    /// [`keys::TENANCY`]
    pub tenancy: Symbol,
    /// The tenancy `default`: on hardware that is shared.
    pub shared: Symbol,
    /// The tenancy `dedicated`.
    pub dedicated: Symbol,
}

/// Strings, resources and well-known keys of one cluster state.
#[derive(Clone, Debug)]
pub struct Names {
    /// All strings.
    pub strings: Interner,
    /// All resource names.
    pub resources: ResourceTable,
    /// The keys with a meaning.
    pub known: WellKnown,
}

impl Default for Names {
    fn default() -> Self {
        let mut strings = Interner::default();
        strings.pin(true);
        let known = WellKnown {
            hostname: strings.intern(keys::HOSTNAME),
            zone: strings.intern(keys::ZONE),
            region: strings.intern(keys::REGION),
            instance_type: strings.intern(keys::INSTANCE_TYPE),
            arch: strings.intern(keys::ARCH),
            os: strings.intern(keys::OS),
            capacity_type: strings.intern(keys::CAPACITY_TYPE),
            node_pool: strings.intern(keys::NODE_POOL),
            node_name: strings.intern(keys::NODE_NAME_FIELD),
            on_demand: strings.intern("on-demand"),
            spot: strings.intern("spot"),
            reserved: strings.intern("reserved"),
            tenancy: strings.intern(keys::TENANCY),
            shared: strings.intern("default"),
            dedicated: strings.intern("dedicated"),
        };
        strings.pin(false);
        Self { strings, resources: ResourceTable::default(), known }
    }
}

impl Names {
    /// The symbol of a label key, with older spellings replaced.
    pub fn key(&mut self, key: &str) -> Symbol {
        let current = keys::ALIASES.iter().find(|(old, _)| *old == key).map_or(key, |(_, new)| new);
        self.strings.intern(current)
    }

    /// The text of a symbol.
    pub fn text(&self, symbol: Symbol) -> &str {
        self.strings.text(symbol)
    }
}
